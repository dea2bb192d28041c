-- who calls a service, how often, how many of the calls fail and how long they take
-- $service varchar: the called service, as name.namespace
with

edges as (
    select * from service_graph
    where service = $service
),

callers as (
    select
        client_service,
        calls,
        errors,
        error_rate,
        p50_ms,
        p95_ms,
        p99_ms,
    from edges
    order by calls desc, client_service
)

select * from callers
