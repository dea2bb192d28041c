-- one row per endpoint of a proxy's cluster, as it stood in the snapshot in force
-- key: proxy, cluster, address
with

parts as (
    select * from lake_mesh_endpoints
),

in_force as (
    select * from mesh_snapshots
    where kind = 'endpoint' and is_in_force
),

latest as (
    select
        parts.proxy,
        parts.cluster,
        parts.address,
        parts.status,
        parts.outlier_check,
        parts.zone,
        parts.snapshot_at,
        in_force.is_later,
        parts.source,
    from parts
    inner join in_force
        on parts.proxy is not distinct from in_force.proxy
        and parts.snapshot_at = in_force.snapshot_at
    qualify row_number() over (
        partition by parts.proxy, parts.cluster, parts.address
        order by parts.read_at desc, parts.source is null, parts.source desc, parts.document desc
    ) = 1
)

select * from latest
