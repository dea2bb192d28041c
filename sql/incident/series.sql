-- calls and bad calls in every step of time: of the requests that entered the mesh, and of the edges with trouble
-- Edge 0 are the requests. The others are the edges whose calls went wrong more often than their usual share lets expect,
-- at most $edges of them. A step has about ten requests, and there are at most 180 steps. k of n are the bad calls, scaled
-- down to 100 a step, so that a busy mesh needs a change of points, and not of a few in a million, to count as changed.
-- Where the baseline does not end where the window begins, its steps still stand right before the window's, and what lies
-- between takes none: a minute held against the same minute of the day before is told in seconds.
with

calls as (
    select * from incident_calls
),

stretches as (
    select
        period = 'incident' or $baseline_until::timestamptz = $since::timestamptz as is_window,
        min(started_at) as first_at,
        max(started_at) as last_at,
        count(*) filter (where is_entry) as requests,
    from calls
    group by is_window
),

spanned as (
    select
        greatest(1, sum(epoch(last_at) - epoch(first_at))) as seconds,
        sum(requests) as requests,
    from stretches
),

stepped as (
    select
        spanned.*,
        (
            select coalesce(min(width), 86400)
            from (select unnest([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200]) as width)
            where width * 180 >= spanned.seconds and width * spanned.requests >= 5 * spanned.seconds
        ) as wished,
    from spanned
    where requests is not null
),

-- few requests ask for long steps, and a change-point needs at least a dozen of them
widths as (
    select
        *,
        to_seconds((
            select min(width)
            from (select unnest([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200]) as width)
            where width >= least(wished, seconds / 24) and width * 180 >= seconds
        )) as step,
    from stepped
),

grid as (
    select
        step_at,
        row_number() over (order by bool_or(is_window), step_at) - 1 as position,
        extract(epoch from any_value(step))::bigint as step_seconds,
    from (
        select
            step,
            is_window,
            unnest(generate_series(time_bucket(step, first_at), last_at, step)) as step_at,
        from stretches
        cross join widths
    )
    group by step_at
),

placed as (
    select
        calls.*,
        time_bucket(widths.step, calls.started_at) as step_at,
    from calls
    cross join widths
),

---------- which edges

compared as (
    select
        client_service,
        service,
        count(*) as calls,
        count(*) filter (where is_bad and period = 'incident') as bad,
        coalesce(
            count(*) filter (where is_bad and period = 'baseline') / nullif(count(*) filter (where period = 'baseline'), 0),
            0
        ) * count(*) filter (where period = 'incident') as expected,
    from placed
    group by client_service, service
),

edges as (
    select
        row_number() over (order by bad - expected desc, calls desc, client_service, service) as edge,
        client_service,
        service,
    from compared
    where bad - expected >= 3 and bad >= 2 * expected
    qualify edge <= $edges
),

---------- their steps

counted as (
    select
        0 as edge,
        step_at,
        count(*) as calls,
        count(*) filter (where is_error) as failed,
        count(*) filter (where is_bad) as bad,
        count(*) filter (where began_here) as began,
    from placed
    where is_entry
    group by step_at
    union all
    select
        edges.edge,
        placed.step_at,
        count(*) as calls,
        count(*) filter (where placed.is_error) as failed,
        count(*) filter (where placed.is_bad) as bad,
        count(*) filter (where placed.began_here) as began,
    from placed
    inner join edges
        on placed.client_service is not distinct from edges.client_service
        and placed.service is not distinct from edges.service
    group by all
),

lines as (
    select 0 as edge, null as client_service, null as service
    union all
    select edge, client_service, service from edges
),

series as (
    select
        lines.edge,
        lines.client_service,
        lines.service,
        grid.position,
        grid.step_at,
        grid.step_seconds,
        coalesce(counted.calls, 0) as calls,
        coalesce(counted.failed, 0) as failed,
        coalesce(counted.bad, 0) as bad,
        coalesce(counted.bad, 0) - coalesce(counted.failed, 0) as slow,
        coalesce(counted.began, 0) as began,
        counted.bad / counted.calls as bad_share,
        coalesce(least(counted.calls, 100), 0)::double as n,
        coalesce(counted.bad * least(1, 100 / counted.calls), 0)::double as k,
    from lines
    cross join grid
    left join counted on lines.edge = counted.edge and grid.step_at = counted.step_at
)

select * from series
order by edge, position
