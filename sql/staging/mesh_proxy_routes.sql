-- one row per route of a proxy, in the order in which it tries them, as it stood in the snapshot in force
-- key: proxy, route_config, place
with

parts as (
    select * from lake_mesh_routes
),

in_force as (
    select * from mesh_snapshots
    where kind = 'route' and is_in_force
),

latest as (
    select
        parts.proxy,
        parts.route_config,
        parts.virtual_host,
        parts.domains,
        parts.place,
        parts.route_name,
        parts.match,
        parts.cluster,
        parts.virtual_service,
        parts.settings,
        parts.snapshot_at,
        in_force.is_later,
        parts.source,
    from parts
    inner join in_force
        on parts.proxy is not distinct from in_force.proxy
        and parts.snapshot_at = in_force.snapshot_at
    qualify row_number() over (
        partition by parts.proxy, parts.route_config, parts.place
        order by parts.read_at desc, parts.settings is null, parts.source desc, parts.document desc
    ) = 1
)

select * from latest
