-- which services a service calls, how often, how many of the calls fail and how long they take
-- $service varchar: the calling service, as name.namespace
with

edges as (
    select * from service_graph
    where client_service = $service
),

called as (
    select
        service,
        calls,
        errors,
        round(error_rate, 6) as error_rate,
        round(p50_ms, 3) as p50_ms,
        round(p95_ms, 3) as p95_ms,
        round(p99_ms, 3) as p99_ms,
    from edges
    order by calls desc, service
)

select * from called
