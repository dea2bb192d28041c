-- which endpoints differ from their siblings: fail a twentieth more often, or are twice as slow and 20 ms slower
with

compared as (
    select * from endpoints
),

ranked as (
    select
        *,
        count(*) over () as found,
    from compared
    where
        siblings > 0
        and (
            error_rate_difference >= 0.05
            or (p95_ratio >= 2 and p95_ms - sibling_p95_ms >= 20)
        )
    order by error_rate_difference desc, p95_ratio desc, service, upstream_host
    limit $limit
)

select * from ranked
