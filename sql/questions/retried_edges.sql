-- on which edges proxies tried again, and whether that helped
-- $limit bigint = 20: how many rows at most
with

edges as (
    select * from retries
),

ranked as (
    select
        *,
        count(*) over () as found,
    from edges
    where retried > 0
    order by wasted desc, retried desc, client_service, service
    limit $limit
)

select * from ranked
