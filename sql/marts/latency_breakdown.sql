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

-- three percentiles of one list of values: a list for each would be three times a day's calls to hold
measured as (
    select
        service,
        cluster_subset,
        count(*) as calls,
        avg(client_duration_ms) as client_avg_ms,
        quantile_cont(client_duration_ms, [0.5, 0.95, 0.99]) as client_percentiles_ms,
        quantile_cont(server_duration_ms, [0.5, 0.95, 0.99]) as server_percentiles_ms,
        quantile_cont(app_ms, [0.5, 0.95, 0.99]) as app_percentiles_ms,
        quantile_cont(network_ms, [0.5, 0.95, 0.99]) as network_percentiles_ms,
        quantile_cont(proxy_ms, [0.5, 0.95, 0.99]) as proxy_percentiles_ms,
        quantile_cont(body_ms, [0.5, 0.95, 0.99]) as body_percentiles_ms,
        quantile_cont(below_ms, [0.5, 0.95, 0.99]) as below_percentiles_ms,
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
        service,
        cluster_subset,
        calls,
        client_avg_ms,
        client_percentiles_ms[1] as client_p50_ms,
        client_percentiles_ms[2] as client_p95_ms,
        client_percentiles_ms[3] as client_p99_ms,
        server_percentiles_ms[1] as server_p50_ms,
        server_percentiles_ms[2] as server_p95_ms,
        server_percentiles_ms[3] as server_p99_ms,
        app_percentiles_ms[1] as app_p50_ms,
        app_percentiles_ms[2] as app_p95_ms,
        app_percentiles_ms[3] as app_p99_ms,
        network_percentiles_ms[1] as network_p50_ms,
        network_percentiles_ms[2] as network_p95_ms,
        network_percentiles_ms[3] as network_p99_ms,
        proxy_percentiles_ms[1] as proxy_p50_ms,
        proxy_percentiles_ms[2] as proxy_p95_ms,
        proxy_percentiles_ms[3] as proxy_p99_ms,
        body_percentiles_ms[1] as body_p50_ms,
        body_percentiles_ms[2] as body_p95_ms,
        body_percentiles_ms[3] as body_p99_ms,
        below_percentiles_ms[1] as below_p50_ms,
        below_percentiles_ms[2] as below_p95_ms,
        below_percentiles_ms[3] as below_p99_ms,
        network_avg_ms,
        proxy_avg_ms,
        body_avg_ms,
        app_avg_ms,
        below_avg_ms,
        network_total_ms / nullif(total_ms, 0) as network_share,
        proxy_total_ms / nullif(total_ms, 0) as proxy_share,
        body_total_ms / nullif(total_ms, 0) as body_share,
        app_total_ms / nullif(total_ms, 0) as app_share,
        below_total_ms / nullif(total_ms, 0) as below_share,
    from measured
)

select * from shared
