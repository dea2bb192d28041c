-- how many calls there were, how many of them failed, and how long they took, as their callers saw them
with

all_services as (
    select * from service_calls
    where is_total
),

-- a row also where no call was logged
counted as (
    select
        coalesce(any_value(calls), 0) as calls,
        coalesce(any_value(failed), 0) as failed,
        any_value(error_rate) as error_rate,
        any_value(p50_ms) as p50_ms,
        any_value(p95_ms) as p95_ms,
    from all_services
)

select * from counted
