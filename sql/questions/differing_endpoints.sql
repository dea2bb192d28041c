-- which endpoints differ from their siblings by much and not by chance
-- $limit bigint = 20: how many rows at most
with

compared as (
    select * from endpoints
),

ranked as (
    select
        *,
        count(*) over () as found,
    from compared
    where is_outlier
    order by error_rate_difference desc, p95_ratio desc, service, upstream_host
    limit $limit
)

select * from ranked
