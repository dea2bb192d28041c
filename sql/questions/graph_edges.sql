-- which services call which, the edges with most failed calls first, then those with most calls
-- A caller without a name is outside the mesh, or its proxy did not log. A line's weight tells calls by their magnitude.
with

edges as (
    select * from service_graph
),

ranked as (
    select
        client_service,
        service,
        calls,
        errors,
        error_rate,
        paired,
        p95_ms,
        1 + log10(calls) as weight,
        (sum(calls) over called)::bigint as service_calls,
        (sum(errors) over called)::bigint as service_errors,
        sum(errors) over called / sum(calls) over called as service_error_rate,
        count(*) over () as found,
    from edges
    window called as (partition by service)
    order by errors desc, calls desc, client_service, service
    limit $limit
)

select * from ranked
