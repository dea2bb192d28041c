-- one row per attempt of a call from one proxy to the next, both sides where both were logged
-- key: hop_number
-- Models that join all hops of a day do it here, by number; everybody else reads them as hops.
with

joined as (
    select
        calls.*,
        nesting.parent_number,
        coalesce(nesting.below_ms, 0) as below_ms,
        blames.verdict,
        blames.culprit_number,
        blames.culprit_server,
        blames.culprit_client,
        blames.culprit_client_reporter,
    from calls
    left join nesting using (hop_number)
    left join blames using (hop_number)
),

sided as (
    select
        joined.*,
        verdict.cause as cause,
        case when verdict.cause = 'unknown' then verdict.candidates end as candidates,
        verdict.rule as rule,
        -- a rule that leaves the cause open may leave open, too, who has to change something
        case coalesce(verdict.culprit, causes.culprit)
            when 'server' then culprit_server
            -- who calls a gateway is outside the mesh, and has no name in it
            when 'client' then
                case when not (verdict.cause in ('client_gone', 'bad_request') and culprit_client_reporter = 'gateway')
                    then culprit_client end
        end as culprit_service,
        case when client_duration_ms is not null and server_duration_ms is not null
            then greatest(0, client_duration_ms - server_duration_ms) end as network_ms,
        -- what a proxy answered for its application, or broke off, tells nothing of the application's time
        case when server_upstream_service_time_ms is not null
            then least(server_duration_ms - below_ms, greatest(0, server_upstream_service_time_ms - below_ms)) end as app_ms,
    from joined
    left join causes on verdict.cause = causes.cause
),

-- before the head of the answer the request's body arrives, and after it the answer's goes out: what both proxies spent
-- beside their wait for that head is the bodies', and what the server's spent alone is its own
parted as (
    select
        *,
        server_duration_ms - app_ms - below_ms as rest_ms,
        case when client_upstream_service_time_ms is not null and app_ms is not null then least(
            server_duration_ms - app_ms - below_ms,
            greatest(0, client_duration_ms - client_upstream_service_time_ms),
            greatest(0, server_duration_ms - server_upstream_service_time_ms)
        ) end as body_ms,
    from sided
)

select
    hop_number,
    format('{:016x}', hop_number) as hop_id,
    left(md5(
        coalesce(client_source, server_source) || ':' || coalesce(client_line_number, server_line_number)
    ), 16) as call_id,
    request_id,
    started_at,
    kind,
    method,
    path,
    authority,
    protocol,
    client_reporter,
    client_address,
    client_pod,
    client_service,
    server_address,
    server_pod,
    service,
    cluster_subset,
    upstream_cluster,
    upstream_host,
    route_name,
    client_started_at,
    client_ended_at,
    client_duration_ms,
    client_upstream_service_time_ms,
    client_response_code,
    -- text until here: lists of a day's hops would cost more to keep than to make
    case when client_source is not null and attempt = attempts
        then coalesce(string_split(client_response_flags, ','), []) end as client_flags,
    client_response_code_details,
    client_transport_failure_reason,
    client_bytes_received,
    client_bytes_sent,
    client_source,
    client_line_number,
    server_started_at,
    server_ended_at,
    server_duration_ms,
    server_upstream_service_time_ms,
    server_response_code,
    case when server_source is not null then coalesce(string_split(server_response_flags, ','), []) end as server_flags,
    server_response_code_details,
    server_transport_failure_reason,
    server_bytes_sent,
    server_source,
    server_line_number,
    network_ms,
    rest_ms - coalesce(body_ms, 0) as proxy_ms,
    body_ms,
    app_ms,
    below_ms,
    link,
    attempt,
    attempts,
    format('{:016x}', parent_number) as parent_hop_id,
    is_error,
    cause,
    candidates,
    rule,
    culprit_service,
    format('{:016x}', culprit_number) as culprit_hop_id,
from parted
cross join session_window
where
    (since is null or started_at >= since)
    and (until is null or started_at < until)
