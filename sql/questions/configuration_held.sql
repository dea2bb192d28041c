-- which snapshots of the mesh's configuration the lake holds, the newest first, and what of each is in force in the window
-- $limit bigint = 20: how many rows at most
with

snapshots as (
    select * from mesh_snapshots
),

-- a mesh has many proxies: they are counted, not named
by_kind as (
    select
        snapshot_at,
        kind,
        sum(items)::bigint as items,
        count(distinct proxy) as proxies,
        bool_or(is_in_force) as is_in_force,
    from snapshots
    group by snapshot_at, kind
),

held as (
    select
        snapshot_at,
        list(items || ' ' || kind || case when proxies > 0 then ' of ' || proxies || ' proxies' else '' end order by kind)
            as holds,
        coalesce(list(kind order by kind) filter (where is_in_force), []) as in_force,
    from by_kind
    group by snapshot_at
)

select
    *,
    count(*) over () as found,
from held
order by snapshot_at desc
limit $limit
