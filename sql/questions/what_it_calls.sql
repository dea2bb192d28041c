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
        error_rate,
        p50_ms,
        p95_ms,
        p99_ms,
    from edges
    order by calls desc, service
)

select * from called
