-- one row per called service, and one without a name for all calls: how many there were, how many failed, how long they took
-- key: is_total, service
-- Counts one side of each call, its caller's, whose line says what the caller got; where no caller logged, the server's.
-- It needs no pairing, so that days can be held against each other at the price of reading them.
with

lines as (
    select * from access_logs
),

chosen as (
    select * from lines
    where direction <> 'inbound' or not exists (select 1 from lines where direction = 'outbound')
),

counted as (
    select
        grouping(service) = 1 as is_total,
        service,
        count(*) as calls,
        count(*) filter (where is_error) as failed,
        quantile_cont(duration_ms, [0.5, 0.95]) filter (where kind <> 'tcp') as percentiles_ms,
    from chosen
    group by grouping sets ((service), ())
),

rated as (
    select
        is_total,
        service,
        calls,
        failed,
        failed / nullif(calls, 0) as error_rate,
        percentiles_ms[1] as p50_ms,
        percentiles_ms[2] as p95_ms,
    from counted
)

select * from rated
