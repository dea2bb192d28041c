-- where the time of answered calls went, the service that the mesh spent most time on first
-- $limit bigint = 20: how many rows at most
with

services as (
    select * from latency_breakdown
),

ranked as (
    select
        *,
        calls * client_avg_ms as client_total_ms,
        count(*) over () as found,
    from services
    order by client_total_ms desc, service, cluster_subset
    limit $limit
)

select * from ranked
