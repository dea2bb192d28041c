-- one row per proxy whose bootstrap or sync status was read, as it stood in the snapshot in force
-- key: proxy
with

parts as (
    select * from lake_mesh_proxies
),

in_force as (
    select * from mesh_snapshots
    where kind in ('bootstrap', 'sync status') and is_in_force
),

latest as (
    select
        parts.proxy,
        any_value(parts.node_id) as node_id,
        any_value(parts.workload) as workload,
        any_value(parts.version) as version,
        any_value(parts.istio_version) as istio_version,
        any_value(parts.region) as region,
        any_value(parts.zone) as zone,
        any_value(parts.admin_port) as admin_port,
        any_value(parts.stats_port) as stats_port,
        any_value(parts.sync_state) as sync_state,
        max(parts.snapshot_at) as snapshot_at,
        bool_or(in_force.is_later) as is_later,
    from parts
    inner join in_force
        on parts.proxy is not distinct from in_force.proxy
        and parts.snapshot_at = in_force.snapshot_at
        and (parts.sync_state is null) = (in_force.kind = 'bootstrap')
    group by parts.proxy
)

select * from latest
