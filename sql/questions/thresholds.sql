-- how the window compares with thresholds: one row per threshold and what it was held against, the broken ones first
-- $limits is a list of {measure, cause, service, except_for, threshold, slo, min_requests} as JSON; one without a service
-- is for all services but those of except_for. is_met is null where nothing can be said: no value, or fewer requests than
-- min_requests. A cause that must not occur needs no number.
with

limits as (
    select one.*,
    from (select unnest(from_json($limits::json, '[{
        "measure": "varchar", "cause": "varchar", "service": "varchar", "except_for": "varchar[]",
        "threshold": "double", "slo": "double", "min_requests": "bigint"
    }]')) as one)
),

---------- what there is to measure

calls as (
    select
        service,
        kind,
        is_error,
        coalesce(client_duration_ms, server_duration_ms) as duration_ms,
    from hops
    where service is not null and attempt = attempts
),

services as (
    select
        service,
        count(*) as requests,
        count(*) filter (where is_error) / count(*) as error_rate,
        quantile_cont(duration_ms, 0.95) filter (where kind <> 'tcp') as p95_ms,
        quantile_cont(duration_ms, 0.99) filter (where kind <> 'tcp') as p99_ms,
    from calls
    group by service
),

-- as in retries, over all callers of a service: attempts per attempt that there would be without any retry
multiplied as (
    select
        service,
        count(distinct call_id) as requests,
        count(*) / nullif(count(*) filter (where not is_repeat), 0) as retry_amplification,
    from trace_spans
    where service is not null
    group by service
),

paired as (
    select
        sum(rows_in_window)::bigint as lines,
        sum(unpaired) / nullif(sum(rows_in_window), 0) as unpaired_rate,
    from coverage
),

-- what was read of a source counts when it gave the window a line, and so does one without any that was read meanwhile
judged_loads as (
    select
        *,
        coalesce(
            (since is null or last_started_at >= since) and (until is null or first_started_at < until), false
        ) as is_in_window,
    from loads
    cross join session_window
),

read as (
    select
        sum(lines)::bigint as lines,
        sum(rejects) / nullif(sum(lines), 0) as rejected_rate,
    from (
        select
            *,
            min(loaded_at) filter (where is_in_window) over () as first_loaded_at,
            max(loaded_at) filter (where is_in_window) over () as last_loaded_at,
        from judged_loads
    )
    where is_in_window or (rows = 0 and loaded_at between first_loaded_at and last_loaded_at)
),

occurred as (
    select
        cause,
        culprit_service as service,
        sum(calls)::bigint as calls,
        sum(edge_calls)::bigint as requests,
    from diagnoses
    group by cause, culprit_service
),

measured as (
    select 'error_rate' as measure, null::varchar as cause, service, requests, error_rate as value, from services
    union all by name
    select 'burn_rate' as measure, service, requests, error_rate as value, from services
    union all by name
    select 'p95_ms' as measure, service, requests, p95_ms as value, from services
    union all by name
    select 'p99_ms' as measure, service, requests, p99_ms as value, from services
    union all by name
    select 'retry_amplification' as measure, service, requests, retry_amplification as value, from multiplied
    union all by name
    select 'unpaired_rate' as measure, lines as requests, unpaired_rate as value, from paired
    union all by name
    select 'rejected_rate' as measure, lines as requests, rejected_rate as value, from read
    union all by name
    select 'cause' as measure, cause, service, requests, calls as value, from occurred
),

---------- what was asked

compared as (
    select
        limits.measure,
        limits.cause,
        coalesce(measured.service, limits.service) as service,
        case limits.measure
            -- at 1 the error budget of 1 - slo lasts exactly as long as it is meant to; 1 - 0.9 is not quite 0.1
            when 'burn_rate' then measured.value / round(1 - limits.slo / 100, 12)
            when 'cause' then coalesce(measured.value, 0)
            else measured.value
        end as value,
        limits.threshold,
        measured.requests,
        limits.min_requests,
    from limits
    left join measured
        on limits.measure = measured.measure
        and limits.cause is not distinct from measured.cause
        and case
            when limits.service is not null then limits.service = measured.service
            else measured.service is null or not list_contains(limits.except_for, measured.service)
        end
),

judged as (
    select
        *,
        case when measure = 'cause' or requests >= min_requests then value <= threshold end as is_met,
        case when measure in ('unpaired_rate', 'rejected_rate') then 'lines' else 'requests' end as counted,
    from compared
),

told as (
    select
        measure,
        cause,
        service,
        value,
        threshold,
        requests,
        is_met,
        case
            when measure = 'cause' and not is_met then format('{:d} calls show {}', value::bigint, cause)
            when measure = 'cause' then format('no call shows {}', cause)
            when value is null then format('no {} to judge', measure)
            when is_met is null then format('fewer than {:d} {}', min_requests, counted)
            when is_met then format('{} {:.6g} of at most {:.6g}, {:d} {}', measure, value, threshold, requests, counted)
            else format('{} {:.6g} is more than {:.6g}, {:d} {}', measure, value, threshold, requests, counted)
        end as reason,
    from judged
    order by
        is_met nulls last,
        case when is_met is null then reason end,
        measure,
        value / nullif(threshold, 0) desc,
        value desc,
        service,
        cause
)

select * from told
