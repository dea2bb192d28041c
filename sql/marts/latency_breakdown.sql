-- one row per called service and subset: where the time of its answered calls went
-- key: service, cluster_subset
-- network_ms + proxy_ms + body_ms + app_ms + below_ms is what the caller waited, so the shares add up to 1. Calls that were
-- cut short (timeouts, clients that left), streams that were upgraded and raw TCP tell no latency and are left out.
with

answered as (
    select *
    from hops
    where
        service is not null
        and link in ('address', 'endpoint')
        and attempt = attempts
        and kind <> 'tcp'
        and client_response_code >= 200
        and body_ms is not null
        and not list_has_any(list_concat(client_flags, server_flags), ['UT', 'DC', 'DR', 'UMSDR', 'SI', 'DI'])
),

measured as (
    select
        service,
        cluster_subset,
        count(*) as calls,
        avg(client_duration_ms) as client_avg_ms,
        quantile_cont(client_duration_ms, 0.5) as client_p50_ms,
        quantile_cont(client_duration_ms, 0.95) as client_p95_ms,
        quantile_cont(client_duration_ms, 0.99) as client_p99_ms,
        quantile_cont(server_duration_ms, 0.5) as server_p50_ms,
        quantile_cont(server_duration_ms, 0.95) as server_p95_ms,
        quantile_cont(server_duration_ms, 0.99) as server_p99_ms,
        quantile_cont(app_ms, 0.5) as app_p50_ms,
        quantile_cont(app_ms, 0.95) as app_p95_ms,
        quantile_cont(app_ms, 0.99) as app_p99_ms,
        quantile_cont(network_ms, 0.5) as network_p50_ms,
        quantile_cont(network_ms, 0.95) as network_p95_ms,
        quantile_cont(network_ms, 0.99) as network_p99_ms,
        quantile_cont(proxy_ms, 0.5) as proxy_p50_ms,
        quantile_cont(proxy_ms, 0.95) as proxy_p95_ms,
        quantile_cont(proxy_ms, 0.99) as proxy_p99_ms,
        quantile_cont(body_ms, 0.5) as body_p50_ms,
        quantile_cont(body_ms, 0.95) as body_p95_ms,
        quantile_cont(body_ms, 0.99) as body_p99_ms,
        quantile_cont(below_ms, 0.5) as below_p50_ms,
        quantile_cont(below_ms, 0.95) as below_p95_ms,
        quantile_cont(below_ms, 0.99) as below_p99_ms,
        avg(network_ms) as network_avg_ms,
        avg(proxy_ms) as proxy_avg_ms,
        avg(body_ms) as body_avg_ms,
        avg(app_ms) as app_avg_ms,
        avg(below_ms) as below_avg_ms,
        sum(network_ms + proxy_ms + body_ms + app_ms + below_ms) as total_ms,
        sum(network_ms) as network_total_ms,
        sum(proxy_ms) as proxy_total_ms,
        sum(body_ms) as body_total_ms,
        sum(app_ms) as app_total_ms,
        sum(below_ms) as below_total_ms,
    from answered
    group by service, cluster_subset
),

shared as (
    select
        * exclude (total_ms, network_total_ms, proxy_total_ms, body_total_ms, app_total_ms, below_total_ms),
        network_total_ms / nullif(total_ms, 0) as network_share,
        proxy_total_ms / nullif(total_ms, 0) as proxy_share,
        body_total_ms / nullif(total_ms, 0) as body_share,
        app_total_ms / nullif(total_ms, 0) as app_share,
        below_total_ms / nullif(total_ms, 0) as below_share,
    from measured
)

select * from shared
