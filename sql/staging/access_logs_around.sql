-- one row per access-log line of the window and of the margin around it
-- key: source, line_number
-- The margin lets a call at the edge of the window find its other side; answers come from access_logs, not from here.
with

lines as (
    select * from lake_access_logs
),

flagged as (
    select
        *,
        coalesce(string_split(response_flags, ','), []) as flags,
        case
            when method is null and protocol is null and coalesce(response_code_details, 'filter_chain_not_found')
                = 'filter_chain_not_found' and not contains(coalesce(response_flags, ''), 'DPE') then 'tcp'
            when user_agent like 'grpc-%' or (
                protocol = 'HTTP/2' and method = 'POST' and regexp_matches(path, '^/[\w.]+\.\w+/\w+$')
            ) then 'grpc'
            else 'http'
        end as kind,
        -- present only where the format was extended; trailers show nowhere in Istio's default
        try_cast(coalesce(
            extra ->> 'grpc_status_number', extra ->> 'grpc_status', extra ->> 'grpc-status'
        ) as integer) as grpc_status,
    from lines
),

-- Envoy: these flags say that the request got no good answer, whatever code had been sent (gRPC answers failures with 200)
failure_flags as (
    select list(flag) as failure_flags from response_flags where is_failure
),

judged as (
    select
        flagged.* exclude (grpc_status),
        coalesce(
            response_code >= 500
            or (response_code < 400 and list_has_any(flags, failure_flags))
            or (response_code = 0 and list_contains(flags, 'NR'))
            or response_code_details = 'max_duration_timeout'
            -- the statuses that OpenTelemetry's conventions count as the server's: UNKNOWN, DEADLINE_EXCEEDED,
            -- UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
            or grpc_status in (2, 4, 12, 13, 14, 15),
            false
        ) as is_error,
        started_at + to_milliseconds(coalesce(duration_ms, 0)) as ended_at,
    from flagged
    cross join failure_flags
)

select
    started_at,
    ended_at,
    direction,
    method,
    path,
    authority,
    protocol,
    response_code,
    response_flags,
    flags,
    response_code_details,
    connection_termination_details,
    upstream_transport_failure_reason,
    bytes_received,
    bytes_sent,
    duration_ms,
    upstream_service_time_ms,
    x_forwarded_for,
    user_agent,
    request_id,
    upstream_cluster,
    cluster_port,
    cluster_subset,
    cluster_host,
    service,
    upstream_host,
    upstream_local_address,
    downstream_local_address,
    downstream_remote_address,
    requested_server_name,
    route_name,
    reporter,
    kind,
    pod,
    namespace,
    node,
    is_error,
    source,
    line_number,
    extra,
from judged
