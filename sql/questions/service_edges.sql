-- who calls whom and how well: one row per edge of the service graph, the one with the most failed calls first
-- An edge is failing from one failed call in twenty on, impaired from one in a hundred on.
with

edges as (
    select * from service_graph
),

judged as (
    select
        *,
        case
            when error_rate >= 0.05 then 'failing'
            when error_rate >= 0.01 then 'impaired'
            else 'well'
        end as health,
    from edges
    order by errors desc, calls desc, client_service nulls first, service
)

select * from judged
