-- how the calls of the window differ from those of earlier ones: one row per measure and earlier window
-- $earlier lists the earlier windows, each with its window_calls; a change below a twentieth counts as none.
with

measures as (
    select
        unnest(['calls', 'failed', 'error_rate', 'p50_ms', 'p95_ms']) as measure,
        unnest(['count', 'count', 'rate', 'ms', 'ms']) as unit,
        unnest([1, 2, 3, 4, 5]) as place,
),

this_window as (
    select to_json(service_calls) as calls
    from service_calls
    where is_total
),

periods as (
    select
        unnest(from_json($earlier::json, '[{"period": "varchar", "calls": "json"}]'), recursive := true),
        generate_subscripts(from_json($earlier::json, '[{"period": "varchar"}]'), 1) as period_place,
),

valued as (
    select
        measures.*,
        periods.period_place,
        periods.period,
        (this_window.calls ->> measure)::double as value,
        case when (periods.calls ->> 'calls')::bigint > 0 then (periods.calls ->> measure)::double end as before,
    from measures
    cross join this_window
    cross join periods
),

compared as (
    select
        place,
        measure,
        unit,
        value,
        period,
        before,
        value - before as difference,
        case
            when value is null or before is null or measure = 'calls' then null
            when abs(value - before) <= 0.05 * before then 'same'
            when value > before then 'worse'
            else 'better'
        end as trend,
    from valued
    order by place, period_place
)

select * from compared
