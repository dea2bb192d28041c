-- one row per upstream host of a service: how it differs from its siblings, as its clients saw it
-- key: service, cluster_subset, upstream_host
-- An outlier differs by much and not by chance. By much: it fails a twentieth more of its calls, or its 95th percentile is
-- twice its siblings' and 20 ms above. Not by chance: two proportions, the host's and its siblings', lie three standard
-- errors apart (pooled, with Yates' correction), for errors and for calls slower than most hosts' 95th percentile, which
-- hardly depends on how the times are spread. Fewer than ten calls on either side prove nothing.
with

calls as (
    select
        service,
        cluster_subset,
        upstream_host,
        server_pod,
        is_error,
        client_started_at,
        client_upstream_service_time_ms as waited_ms,
    from calls_in_window
    where service is not null and upstream_host is not null and client_started_at is not null
),

-- raw TCP and calls cut short have no latency to compare
hosts as (
    select
        service,
        cluster_subset,
        upstream_host,
        any_value(server_pod) as pod,
        count(*) as calls,
        count(*) filter (where is_error) as errors,
        count(waited_ms) as answered,
        quantile_cont(waited_ms, 0.5) as p50_ms,
        quantile_cont(waited_ms, 0.95) as p95_ms,
        min(client_started_at) as first_called_at,
        max(client_started_at) as last_called_at,
    from calls
    group by service, cluster_subset, upstream_host
),

usual as (
    select
        service,
        cluster_subset,
        median(p95_ms) as usual_p95_ms,
    from hosts
    group by service, cluster_subset
    having count(*) > 1
),

slow as (
    select
        calls.service,
        calls.cluster_subset,
        calls.upstream_host,
        count(*) as slow_calls,
    from calls
    inner join usual
        on calls.service = usual.service
        and calls.cluster_subset is not distinct from usual.cluster_subset
        and calls.waited_ms > usual.usual_p95_ms
    group by all
),

counted as (
    select
        hosts.*,
        coalesce(slow.slow_calls, 0) as slow_calls,
    from hosts
    left join slow
        on hosts.service = slow.service
        and hosts.cluster_subset is not distinct from slow.cluster_subset
        and hosts.upstream_host = slow.upstream_host
),

compared as (
    select
        one.*,
        count(sibling.upstream_host) as siblings,
        sum(sibling.calls)::bigint as sibling_calls,
        sum(sibling.errors)::bigint as sibling_errors,
        sum(sibling.answered)::bigint as sibling_answered,
        sum(sibling.slow_calls)::bigint as sibling_slow_calls,
        median(sibling.p50_ms) as sibling_p50_ms,
        median(sibling.p95_ms) as sibling_p95_ms,
    from counted as one
    left join counted as sibling
        on one.service = sibling.service
        and one.cluster_subset is not distinct from sibling.cluster_subset
        and one.upstream_host <> sibling.upstream_host
    group by all
),

rated as (
    select
        *,
        errors / calls as error_rate,
        sibling_errors / nullif(sibling_calls, 0) as sibling_error_rate,
        (errors + sibling_errors) / (calls + sibling_calls) as overall_error_rate,
        1 / calls + 1 / nullif(sibling_calls, 0) as error_weight,
        slow_calls / nullif(answered, 0) as slow_rate,
        sibling_slow_calls / nullif(sibling_answered, 0) as sibling_slow_rate,
        (slow_calls + sibling_slow_calls) / nullif(answered + sibling_answered, 0) as overall_slow_rate,
        1 / nullif(answered, 0) + 1 / nullif(sibling_answered, 0) as slow_weight,
        p95_ms / nullif(sibling_p95_ms, 0) as p95_ratio,
    from compared
),

-- a difference in standard errors, less half a call on either side
weighed as (
    select
        *,
        error_rate - sibling_error_rate as error_rate_difference,
        greatest(0, error_rate - sibling_error_rate - 0.5 * error_weight)
            / nullif(sqrt(overall_error_rate * (1 - overall_error_rate) * error_weight), 0) as error_z,
        greatest(0, slow_rate - sibling_slow_rate - 0.5 * slow_weight)
            / nullif(sqrt(overall_slow_rate * (1 - overall_slow_rate) * slow_weight), 0) as slow_z,
    from rated
),

judged as (
    select
        *,
        coalesce(
            calls >= 10 and sibling_calls >= 10 and error_rate_difference >= 0.05 and error_z >= 3, false
        ) as fails_more,
        coalesce(
            answered >= 10 and sibling_answered >= 10 and p95_ms >= 2 * sibling_p95_ms
            and p95_ms - sibling_p95_ms >= 20 and slow_z >= 3, false
        ) as is_slower,
    from weighed
)

select
    service,
    cluster_subset,
    upstream_host,
    pod,
    calls,
    errors,
    error_rate,
    p50_ms,
    p95_ms,
    slow_rate,
    first_called_at,
    last_called_at,
    siblings,
    sibling_calls,
    sibling_error_rate,
    sibling_p50_ms,
    sibling_p95_ms,
    sibling_slow_rate,
    error_rate_difference,
    p95_ratio,
    error_z,
    slow_z,
    fails_more or is_slower as is_outlier,
    case
        when fails_more and is_slower then 'fails more and is slower'
        when fails_more then 'fails more'
        when is_slower then 'is slower'
    end as outlier_by,
from judged
