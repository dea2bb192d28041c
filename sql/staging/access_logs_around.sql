-- one row per access-log line of the window and of the margin around it
-- key: source, line_number
-- The margin lets a call at the edge of the window find its other side; answers come from access_logs, not from here.
with

-- what a line does not tell by itself, the other lines of its log and of its addressee may
undecided as (
    select
        lines.*,
        coalesce(owners.reporter, 'sidecar') as owner,
        coalesce(starts_with(lines.downstream_local_address, owners.address || ':'), false) as is_at_own_address,
        -- port 0 is an address from X-Forwarded-For, not the caller's socket
        coalesce(
            starts_with(lines.downstream_remote_address, owners.address || ':')
            and not ends_with(lines.downstream_remote_address, ':0'), false
        ) as is_from_own_address,
        service_vips.address is not null as is_at_service,
        -- only a server's proxy or a gateway refuses callers
        coalesce(regexp_matches(lines.response_code_details, '^(rbac_access_denied|jwt_authn)'), false) as is_refusal,
    from lake_access_logs as lines
    left join log_owners as owners
        on lines.source = owners.source and lines.pod is not distinct from owners.pod and lines.upstream_cluster is null
    left join service_vips
        on lines.downstream_local_address = service_vips.address and lines.upstream_cluster is null
    where lines.direction = 'unknown'
),

learnt as (
    select
        * replace (
            case
                -- a waypoint is called at the addresses of the services that it stands before
                when owner = 'waypoint' then null
                when owner = 'gateway'
                    then case when is_at_own_address or is_from_own_address or is_refusal then 'outbound' end
                when is_at_own_address
                    then case when not is_at_service and (is_refusal or not is_from_own_address) then 'inbound' end
                when (is_from_own_address or is_at_service) and not is_refusal then 'outbound'
            end as direction
        ),
    from undecided
),

lines as (
    select * from lake_access_logs
    where direction <> 'unknown'
    union all by name
    select
        * exclude (owner, is_at_own_address, is_from_own_address, is_at_service, is_refusal)
        replace (
            coalesce(direction, 'unknown') as direction,
            case when direction is null then reporter else owner end as reporter
        ),
    from learnt
),

flagged as (
    select
        *,
        coalesce(string_split(response_flags, ','), []) as flags,
        -- cases within cases, here and below: both sides of an `and` are looked at for every line
        case
            when case when method is null then protocol is null
                and coalesce(response_code_details, 'filter_chain_not_found') = 'filter_chain_not_found'
                and not contains(coalesce(response_flags, ''), 'DPE') end then 'tcp'
            when user_agent like 'grpc-%' then 'grpc'
            when protocol = 'HTTP/2' and method = 'POST'
                then case when regexp_matches(path, '^/[\w.]+\.\w+/\w+$') then 'grpc' else 'http' end
            else 'http'
        end as kind,
        -- present only where the format was extended; trailers show nowhere in Istio's default
        case when extra is not null then try_cast(coalesce(
            extra ->> 'grpc_status_number', extra ->> 'grpc_status', extra ->> 'grpc-status'
        ) as integer) end as grpc_status,
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
            -- an upgraded connection ends when either side closes it, for which Envoy has the flags of a failure
            or case when response_flags is not null
                then (response_code < 400 and response_code <> 101 and list_has_any(string_split(response_flags, ','), failure_flags))
                    or (response_code = 0 and list_contains(string_split(response_flags, ','), 'NR')) end
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
    line_id,
    extra,
from judged
