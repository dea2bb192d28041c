-- every attempt of a call in the window and its baseline, with what it can be told apart by and whether it went wrong
-- Bad is a call that failed, or that took at least twice what 95 of 100 of its kind usually take and 20 ms more. Its kind
-- is its edge and path template, or its edge where fewer than 20 tell what is usual. Usual is the baseline; without one,
-- the median over twelve parts of the window of each part's 95th percentile. It began here where the failure did, or where
-- the time was spent on this call itself, those that it waited for not counted. With $service: only requests in which
-- that service took part.
with

asked as (
    select
        $since::timestamptz as since,
        $until::timestamptz as until,
        $baseline_since::timestamptz as baseline_since,
        $baseline_until::timestamptz as baseline_until,
        $service::varchar as service,
),

-- a service may be named with its namespace or without
asked_hops as (
    select hop_id, request_id
    from hops
    cross join asked
    where
        asked.service is null
        or asked.service in (
            hops.service, split_part(hops.service, '.', 1),
            hops.client_service, split_part(hops.client_service, '.', 1)
        )
),

asked_requests as (
    select distinct request_id from asked_hops
    where request_id is not null
),

calls as (
    select
        hops.* exclude (started_at),
        coalesce(spans.started_at, hops.started_at) as started_at,
        spans.trace_id,
        coalesce(spans.depth, 0) as depth,
        spans.trace_id = hops.hop_id as is_entry,
        case
            when hops.started_at >= asked.since and hops.started_at < asked.until then 'incident'
            when hops.started_at >= asked.baseline_since and hops.started_at < asked.baseline_until then 'baseline'
        end as period,
        case when hops.kind <> 'tcp' then coalesce(hops.client_duration_ms, hops.server_duration_ms) end as waited_ms,
        case when hops.kind <> 'tcp' then greatest(
            0, greatest(hops.client_duration_ms, hops.server_duration_ms) - coalesce(hops.below_ms, 0)
        ) end as own_ms,
    from hops
    cross join asked
    left join trace_spans as spans using (hop_id)
    where
        hop_id in (select hop_id from asked_hops)
        or hops.request_id in (select request_id from asked_requests)
),

spanned as (
    select
        calls.*,
        call_dimensions.* exclude (hop_id),
        case
            when asked.baseline_since is not null then 0
            else floor(12 * (epoch(calls.started_at) - epoch(asked.since))
                / greatest(1, epoch(asked.until) - epoch(asked.since)))
        end as part,
    from calls
    inner join call_dimensions using (hop_id)
    cross join asked
    where period is not null
),

---------- what is usual, of an edge and of each of its paths

usual_calls as (
    select spanned.*
    from spanned
    cross join asked
    where waited_ms is not null and (period = 'baseline' or asked.baseline_since is null)
),

parts as (
    select
        client_service,
        service,
        path_template,
        grouping(path_template) = 1 as is_edge,
        part,
        count(*) as calls,
        quantile_cont(waited_ms, 0.95) as p95_ms,
        quantile_cont(own_ms, 0.95) as own_p95_ms,
    from usual_calls
    group by grouping sets ((client_service, service, part), (client_service, service, path_template, part))
),

usual as (
    select
        client_service,
        service,
        path_template,
        is_edge,
        median(p95_ms) as p95_ms,
        median(own_p95_ms) as own_p95_ms,
    from parts
    group by all
    having sum(calls) >= case when is_edge then 10 else 20 end
),

limited as (
    select
        spanned.*,
        greatest(2 * of_path.p95_ms, of_path.p95_ms + 20) as path_limit_ms,
        greatest(2 * of_edge.p95_ms, of_edge.p95_ms + 20) as edge_limit_ms,
        greatest(2 * of_path.own_p95_ms, of_path.own_p95_ms + 20) as path_own_limit_ms,
        greatest(2 * of_edge.own_p95_ms, of_edge.own_p95_ms + 20) as edge_own_limit_ms,
    from spanned
    left join usual as of_path
        on not of_path.is_edge
        and spanned.client_service is not distinct from of_path.client_service
        and spanned.service is not distinct from of_path.service
        and spanned.path_template is not distinct from of_path.path_template
    left join usual as of_edge
        on of_edge.is_edge
        and spanned.client_service is not distinct from of_edge.client_service
        and spanned.service is not distinct from of_edge.service
),

-- a call that others gave up on may be where their failure began, though it did not fail itself
failing as (
    select distinct culprit_hop_id from hops
    where is_error and culprit_hop_id is not null
),

judged as (
    select
        limited.*,
        coalesce(waited_ms >= coalesce(path_limit_ms, edge_limit_ms), false) as is_slow,
        coalesce(own_ms >= coalesce(path_own_limit_ms, edge_own_limit_ms), false) as is_slow_here,
        failing.culprit_hop_id is not null or (is_error and limited.culprit_hop_id is null) as failed_here,
    from limited
    left join failing on limited.hop_id = failing.culprit_hop_id
)

select
    hop_id,
    call_id,
    parent_hop_id,
    trace_id,
    request_id,
    period,
    started_at,
    coalesce(started_at + to_milliseconds(waited_ms), client_ended_at, server_ended_at) as ended_at,
    is_entry,
    depth,
    client_service,
    service,
    attempt,
    attempts,
    is_error,
    is_slow,
    is_error or is_slow or failed_here or is_slow_here as is_bad,
    failed_here,
    is_slow_here,
    failed_here or is_slow_here as began_here,
    waited_ms,
    own_ms,
    cause,
    rule,
    culprit_service,
    link,
    client_bytes_received as request_bytes,
    client_bytes_sent as response_bytes,
    forwarded_user,
    pod,
    caller_pod,
    node,
    caller_node,
    upstream_host,
    cluster_subset,
    route_name,
    path_template,
    method,
    user_agent_family,
    protocol,
    authority,
    server_name,
    tls,
    coalesce(client_response_code, server_response_code) as response_code,
    array_to_string(list_sort(list_distinct(list_concat(
        coalesce(client_flags, []), coalesce(server_flags, [])
    ))), ',') as flags,
    coalesce(client_response_code_details, server_response_code_details) as response_code_details,
    transport_failure,
from judged
order by started_at, hop_id
