-- how retries multiplied the load: tries per call of every edge that tried again, in the window and in the baseline
with

tries as (
    select
        period,
        client_service,
        service,
        call_id,
        max(attempts) as attempts,
        bool_or(is_error) filter (where attempt = attempts) as is_error,
        bool_or(list_contains(string_split(flags, ','), 'URX')) as is_limit_reached,
    from incident_calls
    where service is not null
    group by all
),

edges as (
    select
        client_service,
        service,
        count(*) filter (where period = 'incident') as calls,
        sum(attempts) filter (where period = 'incident')::bigint as attempts,
        count(*) filter (where period = 'incident' and (attempts > 1 or is_limit_reached)) as retried,
        count(*) filter (where period = 'incident' and attempts > 1 and not is_error) as saved,
        count(*) filter (where period = 'incident' and (attempts > 1 or is_limit_reached) and is_error) as wasted,
        count(*) filter (where period = 'baseline') as baseline_calls,
        count(*) filter (where period = 'baseline' and (attempts > 1 or is_limit_reached)) as baseline_retried,
        avg(attempts) filter (where period = 'incident') as attempts_per_call,
        avg(attempts) filter (where period = 'baseline') as baseline_attempts_per_call,
    from tries
    group by client_service, service
),

ranked as (
    select
        *,
        attempts_per_call / baseline_attempts_per_call as amplification,
        count(*) over () as found,
    from edges
    where retried > 0
    order by attempts - calls desc, retried desc, client_service, service
    limit $limit
)

select * from ranked
