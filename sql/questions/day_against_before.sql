-- how the totals of a day differ from those of the day before: one row per measure
-- $today and $before are rows of day_totals as JSON objects; a change below a twentieth counts as none.
with

measures as (
    select
        unnest(['requests', 'failed', 'error_rate', 'p50_ms', 'p95_ms']) as measure,
        unnest(['count', 'count', 'rate', 'ms', 'ms']) as unit,
        unnest([1, 2, 3, 4, 5]) as place,
),

valued as (
    select
        *,
        ($today::json ->> measure)::double as value,
        case when ($before::json ->> 'requests')::bigint > 0 then ($before::json ->> measure)::double end as before,
    from measures
),

compared as (
    select
        measure,
        unit,
        value,
        before,
        value - before as difference,
        case
            when value is null or before is null or measure = 'requests' then null
            when abs(value - before) <= 0.05 * before then 'same'
            when value > before then 'worse'
            else 'better'
        end as trend,
    from valued
    order by place
)

select * from compared
