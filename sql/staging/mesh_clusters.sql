-- one row per cluster of a proxy, as it stood in the snapshot in force
-- key: proxy, cluster
with

parts as (
    select * from lake_mesh_clusters
),

in_force as (
    select * from mesh_snapshots
    where kind = 'cluster' and is_in_force
),

latest as (
    select
        parts.proxy,
        parts.cluster,
        parts.direction,
        parts.port,
        parts.subset,
        parts.host,
        parts.type,
        parts.destination_rule,
        parts.is_static,
        parts.settings,
        parts.snapshot_at,
        in_force.is_later,
        parts.source,
    from parts
    inner join in_force
        on parts.proxy is not distinct from in_force.proxy
        and parts.snapshot_at = in_force.snapshot_at
    qualify row_number() over (
        partition by parts.proxy, parts.cluster
        order by parts.read_at desc, parts.settings is null, parts.source desc, parts.document desc
    ) = 1
)

select * from latest
