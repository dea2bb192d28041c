-- one row per source: what was read from it, and how much of it found its other side
-- key: source
-- lines to blank count everything that was ever read from the source; the rest counts its rows in the window.
with

loads as (
    select
        source,
        sum(lines)::bigint as lines,
        sum(rows)::bigint as rows,
        sum(rejects)::bigint as rejects,
        sum(noise)::bigint as noise,
        sum(blank)::bigint as blank,
        max(problem) as problem,
    from loads
    group by source
),

paired as (
    select client_line_id as line_id from line_pairs
    where link in ('address', 'endpoint')
    union all
    select server_line_id as line_id from line_pairs
    where link in ('address', 'endpoint')
),

lines as (
    select
        *,
        line_id in (select line_id from paired where line_id is not null) as is_paired,
    from access_logs_around
    cross join session_window
    where
        (since is null or started_at >= since)
        and (until is null or started_at < until)
),

in_window as (
    select
        source,
        any_value(pod) as pod,
        count(*) as rows_in_window,
        min(started_at) as first_started_at,
        max(started_at) as last_started_at,
        count(*) filter (where direction = 'outbound') as outbound,
        count(*) filter (where direction = 'inbound') as inbound,
        count(*) filter (where direction = 'unknown') as unknown_direction,
        count(*) filter (where is_paired) as paired,
        count(*) filter (where not is_paired) as unpaired,
    from lines
    group by source
),

joined as (
    select
        source,
        in_window.pod,
        loads.lines,
        loads.rows,
        loads.rejects,
        loads.noise,
        loads.blank,
        coalesce(in_window.rows_in_window, 0) as rows_in_window,
        in_window.first_started_at,
        in_window.last_started_at,
        coalesce(in_window.outbound, 0) as outbound,
        coalesce(in_window.inbound, 0) as inbound,
        coalesce(in_window.unknown_direction, 0) as unknown_direction,
        coalesce(in_window.paired, 0) as paired,
        coalesce(in_window.unpaired, 0) as unpaired,
        loads.problem,
    from loads
    full join in_window using (source)
)

select * from joined
