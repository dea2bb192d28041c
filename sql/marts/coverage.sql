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

pairs as (
    select client_source as source, client_line_number as line_number, link, from line_pairs
    where client_source is not null
    union
    select server_source as source, server_line_number as line_number, link, from line_pairs
    where server_source is not null
),

paired_lines as (
    select
        source,
        line_number,
        bool_or(link in ('address', 'endpoint')) as is_paired,
    from pairs
    group by source, line_number
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
    from access_logs
    left join paired_lines using (source, line_number)
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
