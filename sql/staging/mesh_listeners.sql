-- one row per filter chain of a proxy's listener, in its order, as it stood in the snapshot in force
-- key: proxy, listener, address, port, place
with

parts as (
    select * from lake_mesh_listeners
),

in_force as (
    select * from mesh_snapshots
    where kind = 'listener' and is_in_force
),

latest as (
    select
        parts.proxy,
        parts.listener,
        parts.address,
        parts.port,
        parts.place,
        parts.match,
        parts.destination,
        parts.snapshot_at,
        in_force.is_later,
        parts.source,
    from parts
    inner join in_force
        on parts.proxy is not distinct from in_force.proxy
        and parts.snapshot_at = in_force.snapshot_at
    qualify row_number() over (
        partition by parts.proxy, parts.listener, parts.address, parts.port, parts.place
        order by parts.read_at desc, parts.source is null, parts.source desc, parts.document desc
    ) = 1
)

select * from latest
