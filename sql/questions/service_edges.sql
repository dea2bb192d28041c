-- who calls whom and how well: one row per edge of the service graph, the one with the most failed calls first
-- An edge is failing from one failed call in twenty on, impaired from one in a hundred on.
with

edges as (
    select * from service_graph
),

judged as (
    select
        * replace (
            round(error_rate, 6) as error_rate,
            round(p50_ms, 3) as p50_ms,
            round(p95_ms, 3) as p95_ms,
            round(p99_ms, 3) as p99_ms
        ),
        case
            when error_rate >= 0.05 then 'failing'
            when error_rate >= 0.01 then 'impaired'
            else 'well'
        end as health,
    from edges
    order by errors desc, calls desc, client_service nulls first, service
)

select * from judged
