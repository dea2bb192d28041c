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
        round(error_rate, 6) as error_rate,
        round(p50_ms, 3) as p50_ms,
        round(p95_ms, 3) as p95_ms,
        round(p99_ms, 3) as p99_ms,
    from edges
    order by calls desc, client_service
)

select * from callers
