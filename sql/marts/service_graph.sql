-- one row per edge: a calling service and a called one
-- key: client_service, service
with

calls as (
    select *
    from calls_in_window
    where service is not null and is_last_attempt
),

edges as (
    select
        client_service,
        service,
        count(*) as calls,
        count(*) filter (where is_error) as errors,
        count(*) filter (where is_error) / count(*) as error_rate,
        count(*) filter (where link in ('address', 'endpoint')) as paired,
        quantile_cont(client_duration_ms, 0.5) filter (where kind <> 'tcp') as p50_ms,
        quantile_cont(client_duration_ms, 0.95) filter (where kind <> 'tcp') as p95_ms,
        quantile_cont(client_duration_ms, 0.99) filter (where kind <> 'tcp') as p99_ms,
        sum(client_bytes_received)::bigint as request_bytes,
        sum(client_bytes_sent)::bigint as response_bytes,
    from calls
    group by client_service, service
)

select * from edges
