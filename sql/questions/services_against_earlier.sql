-- which services' calls differ from those of earlier windows by much and not by chance: one row per service and window
-- $earlier lists the earlier windows that have data, each with its earlier_services. What fails more or less differs by a
-- hundredth and by three standard errors (two proportions); slower or faster is half as slow again or the reverse, by
-- 20 ms, over fifty calls; more or fewer calls is twice or half as many, of a hundred.
with

today as (
    select * from service_calls
    where not is_total and service is not null
),

periods as (
    select
        unnest(from_json($earlier::json, '[{"period": "varchar", "services": "json"}]'), recursive := true),
        generate_subscripts(from_json($earlier::json, '[{"period": "varchar"}]'), 1) as period_place,
),

earlier as (
    select
        period,
        period_place,
        unnest(from_json(services, '[{
            "service": "varchar", "calls": "bigint", "failed": "bigint", "error_rate": "double", "p95_ms": "double"
        }]'), recursive := true),
    from periods
),

known as (
    select distinct service from today
    union
    select distinct service from earlier
),

compared as (
    select
        known.service,
        periods.period,
        periods.period_place,
        coalesce(today.calls, 0) as calls,
        coalesce(earlier.calls, 0) as calls_before,
        coalesce(today.failed, 0) as failed,
        today.error_rate,
        earlier.error_rate as error_rate_before,
        today.error_rate - earlier.error_rate as error_rate_difference,
        today.p95_ms,
        earlier.p95_ms as p95_before_ms,
        today.p95_ms - earlier.p95_ms as p95_difference_ms,
        (coalesce(today.failed, 0) + coalesce(earlier.failed, 0))
            / nullif(coalesce(today.calls, 0) + coalesce(earlier.calls, 0), 0) as pooled_rate,
    from known
    cross join periods
    left join today using (service)
    left join earlier on known.service = earlier.service and periods.period = earlier.period
),

tested as (
    select
        * exclude (pooled_rate),
        abs(error_rate_difference) >= 0.01
            and abs(error_rate_difference)
            >= 3 * sqrt(pooled_rate * (1 - pooled_rate) * (1 / nullif(calls, 0) + 1 / nullif(calls_before, 0)))
            as is_other_rate,
        abs(p95_difference_ms) >= 20
            and greatest(p95_ms, p95_before_ms) >= 1.5 * least(p95_ms, p95_before_ms)
            and least(calls, calls_before) >= 50 as is_other_time,
        greatest(calls, calls_before) >= 100 and greatest(calls, calls_before) >= 2 * least(calls, calls_before)
            as is_other_load,
    from compared
),

worded as (
    select
        *,
        list_filter([
            case when calls_before = 0 then 'new' when calls = 0 then 'gone' end,
            case when is_other_rate then case when error_rate_difference > 0 then 'fails more' else 'fails less' end end,
            case when is_other_time then case when p95_difference_ms > 0 then 'slower' else 'faster' end end,
            case when is_other_load and calls > 0 and calls_before > 0
                then case when calls > calls_before then 'more calls' else 'fewer calls' end end,
        ], lambda word: word is not null) as changes,
    from tested
),

-- what cost the most calls stands first, then what cost the most time
ranked as (
    select
        service,
        period,
        array_to_string(changes, ', ') as change,
        list_has_any(changes, ['fails more', 'slower']) as is_worse,
        calls,
        calls_before,
        error_rate,
        error_rate_before,
        p95_ms,
        p95_before_ms,
        count(*) over () as found,
    from worded
    where len(changes) > 0
    order by
        case when is_other_rate and error_rate_difference > 0 then error_rate_difference * calls else 0 end desc,
        case when is_other_time and p95_difference_ms > 0 then p95_difference_ms * calls else 0 end desc,
        greatest(calls, calls_before) desc, service, period_place
    limit $limit
)

select * from ranked
