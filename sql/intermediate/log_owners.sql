-- one row per source and pod that left lines of unknown direction: the proxy that its other lines show
-- key: source, pod
-- A pod is called at the address from which it calls. Where a tenth of the lines shows others, the log is of several pods.
with

undecided as (
    select distinct source, pod, from lake_access_logs
    where direction = 'unknown' and upstream_cluster is null
),

decided as (
    select
        lines.source,
        lines.pod,
        lines.direction,
        lines.reporter,
        regexp_extract(
            case when lines.direction = 'inbound' then lines.downstream_local_address else lines.upstream_local_address end,
            '^(\[.+\]|[\d.]+):\d+$', 1
        ) as address,
    from lake_access_logs as lines
    semi join undecided on lines.source = undecided.source and lines.pod is not distinct from undecided.pod
    where lines.direction <> 'unknown'
),

counted as (
    select
        source,
        pod,
        direction,
        address,
        count(*) as lines,
        count(*) filter (where reporter = 'gateway') as gateway_lines,
        bool_or(reporter = 'waypoint') as has_waypoint,
    from decided
    group by all
),

sides as (
    select
        source,
        pod,
        direction,
        arg_max(address, (lines, address)) filter (where address <> '') as address,
        max(lines) filter (where address <> '') >= 0.9 * sum(lines) filter (where address <> '') as is_of_one_pod,
        sum(gateway_lines) > sum(lines) / 2 as is_gateway,
        bool_or(has_waypoint) as is_waypoint,
    from counted
    group by source, pod, direction
),

owners as (
    select
        source,
        pod,
        case when count(distinct address) = 1 and bool_and(is_of_one_pod) and not bool_or(is_waypoint)
            then any_value(address) end as address,
        -- a gateway has no inbound clusters
        case when bool_or(is_waypoint) then 'waypoint' when bool_and(is_gateway) then 'gateway' else 'sidecar' end
            as reporter,
    from sides
    group by source, pod
)

select * from owners
