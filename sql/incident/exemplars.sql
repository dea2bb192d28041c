-- which requests to look at: for every way in which requests went wrong one that shows most of it, the commonest first
with

calls as (
    select * from incident_calls
    where period = 'incident'
),

-- the call of a request where most of its trouble began
origins as (
    select
        trace_id,
        bool_or(is_error) as has_failed,
        arg_max(service, own_ms) filter (where is_slow_here) as slow_service,
    from calls
    where trace_id is not null
    group by trace_id
    having bool_or(is_bad)
),

told as (
    select
        traces.* exclude (cause, culprit_service),
        coalesce(traces.cause, case when origins.slow_service is not null then 'slow' end) as cause,
        coalesce(causes.title, case when origins.slow_service is not null then 'slower than usual' end) as title,
        coalesce(traces.culprit_service, origins.slow_service) as culprit_service,
    from traces
    inner join origins using (trace_id)
    left join causes on traces.cause = causes.cause
    where traces.started_at >= $since::timestamptz and traces.started_at < $until::timestamptz
),

grouped as (
    select
        *,
        count(*) over (partition by cause, culprit_service) as alike,
        count(*) over () as found,
        row_number() over (
            partition by cause, culprit_service
            order by is_error desc, is_complete desc, hops desc, duration_ms desc, started_at, trace_id
        ) as place,
    from told
),

examples as (
    select * exclude (place)
    from grouped
    where place = 1
    order by alike desc, started_at, trace_id
    limit $limit
)

select * from examples
