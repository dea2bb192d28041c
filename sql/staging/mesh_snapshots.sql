-- one row per snapshot of a kind of configuration, of proxies' state per proxy, and whether it is in force in the window
-- key: api_group, kind, proxy, snapshot_at
-- In force is the latest at or before the window's end (the last line's start where it is open), else the first after it.
with

parts as (
    select api_group, kind, null::varchar as proxy, snapshot_at, from lake_mesh_objects
    union all
    -- a later istioctl proxy-status does not take the bootstrap's place
    select
        null as api_group,
        case when sync_state is null then 'bootstrap' else 'sync status' end as kind,
        proxy,
        snapshot_at,
    from lake_mesh_proxies
    union all
    select null as api_group, 'listener' as kind, proxy, snapshot_at, from lake_mesh_listeners
    union all
    select null as api_group, 'route' as kind, proxy, snapshot_at, from lake_mesh_routes
    union all
    select null as api_group, 'cluster' as kind, proxy, snapshot_at, from lake_mesh_clusters
    union all
    select null as api_group, 'endpoint' as kind, proxy, snapshot_at, from lake_mesh_endpoints
),

window_end as (
    select coalesce(until, (select max(started_at) from lake_access_logs)) as ended_at
    from session_window
),

counted as (
    select
        api_group,
        kind,
        proxy,
        snapshot_at,
        count(*) as items,
        coalesce(snapshot_at > max(window_end.ended_at), false) as is_later,
    from parts
    cross join window_end
    group by api_group, kind, proxy, snapshot_at
),

ranked as (
    select
        *,
        row_number() over (
            partition by api_group, kind, proxy
            order by is_later, case when is_later then snapshot_at end, snapshot_at desc
        ) = 1 as is_in_force,
    from counted
)

select * from ranked
