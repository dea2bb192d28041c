-- one row per upstream host of a service: how it differs from its siblings, as its clients saw it
-- key: service, cluster_subset, upstream_host
with

calls as (
    select *
    from hops
    where service is not null and upstream_host is not null and client_started_at is not null
),

-- raw TCP and calls cut short have no latency to compare
answered as (
    select
        service,
        cluster_subset,
        upstream_host,
        any_value(server_pod) as pod,
        count(*) as calls,
        count(*) filter (where is_error) as errors,
        quantile_cont(client_upstream_service_time_ms, 0.5) as p50_ms,
        quantile_cont(client_upstream_service_time_ms, 0.95) as p95_ms,
        min(client_started_at) as first_called_at,
        max(client_started_at) as last_called_at,
    from calls
    group by service, cluster_subset, upstream_host
),

compared as (
    select
        one.*,
        one.errors / one.calls as error_rate,
        count(sibling.upstream_host) as siblings,
        sum(sibling.errors) / nullif(sum(sibling.calls), 0) as sibling_error_rate,
        median(sibling.p50_ms) as sibling_p50_ms,
        median(sibling.p95_ms) as sibling_p95_ms,
    from answered as one
    left join answered as sibling
        on one.service = sibling.service
        and one.cluster_subset is not distinct from sibling.cluster_subset
        and one.upstream_host <> sibling.upstream_host
    group by all
),

differing as (
    select
        *,
        error_rate - sibling_error_rate as error_rate_difference,
        p95_ms / nullif(sibling_p95_ms, 0) as p95_ratio,
    from compared
)

select * from differing
