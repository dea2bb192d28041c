-- the spans of some traces, or of all where no id is given: one for each side of a hop that was logged
-- Columns up to `status_message` say what a span is. Those after it are its attributes, named as OpenTelemetry's conventions
-- name them; what these have no name for begins with envoy. or meshlog. A null is an attribute that the span has not.
-- Ids are hashes of hop ids, so that two exports agree. Times are set right by pod_clocks.
with

spans as (
    select * from trace_spans
    where
        len($ids) = 0
        or trace_id in (
            select named.trace_id
            from trace_spans as named
            cross join (select unnest($ids) as id) as wanted
            where starts_with(named.request_id, wanted.id) or wanted.id in (named.trace_id, named.hop_id)
        )
),

hops as (
    select
        hops.*,
        spans.trace_id,
        spans.parent_hop_id as caller_hop_id,
        min(spans.started_at) over (partition by spans.trace_id) as trace_started_at,
        left(md5(hops.hop_id || ':client'), 16) as client_span_id,
        left(md5(hops.hop_id || ':server'), 16) as server_span_id,
        to_milliseconds(coalesce(client_clock.ahead_ms, 0)) as client_ahead,
        to_milliseconds(coalesce(server_clock.ahead_ms, 0)) as server_ahead,
    from hops
    inner join spans using (hop_id)
    left join pod_clocks as client_clock on hops.client_address = client_clock.address
    left join pod_clocks as server_clock on hops.server_address = server_clock.address
),

-- a call was made by the application behind the caller's server side, where that was logged
called as (
    select
        hops.*,
        case when caller.server_started_at is null then caller.client_span_id else caller.server_span_id end
            as caller_span_id,
    from hops
    left join hops as caller on hops.caller_hop_id = caller.hop_id
),

sides as (
    select
        * exclude (client_flags, server_flags),
        'client' as side,
        client_span_id as span_id,
        caller_span_id as parent_span_id,
        client_service as span_service,
        client_started_at - client_ahead as began_at,
        client_duration_ms as duration_ms,
        client_response_code as response_code,
        client_flags as flags,
        client_response_code_details as details,
        client_transport_failure_reason as transport_failure,
        client_pod as pod,
        server_address as peer_address,
        client_bytes_received as bytes_received,
        client_bytes_sent as bytes_sent,
    from called
    where client_started_at is not null
    union all by name
    select
        * exclude (client_flags, server_flags),
        'server' as side,
        server_span_id as span_id,
        case when client_started_at is null then caller_span_id else client_span_id end as parent_span_id,
        service as span_service,
        server_started_at - server_ahead as began_at,
        server_duration_ms as duration_ms,
        server_response_code as response_code,
        server_flags as flags,
        server_response_code_details as details,
        server_transport_failure_reason as transport_failure,
        server_pod as pod,
        client_address as peer_address,
        null as bytes_received,
        server_bytes_sent as bytes_sent,
    from called
    where server_started_at is not null
),

-- conventions: a 4xx is an error of the client's span alone
judged as (
    select
        *,
        response_code >= 500
        or (response_code >= 400 and side = 'client')
        or (is_error and (side = 'client' or kind = 'grpc' or response_code = 0 or len(flags) > 0)) as failed,
        method in ('CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE', 'QUERY') as is_known,
        regexp_extract(authority, '^(.*?)(:\d+)?$', 1) as host,
        try_cast(regexp_extract(authority, ':(\d+)$', 1) as integer) as host_port,
    from sides
),

described as (
    select
        trace_started_at,
        md5(trace_id) as trace_id,
        span_id,
        parent_span_id,
        hop_id,
        side,
        coalesce(span_service, 'unknown_service') as service,
        case
            when kind = 'grpc' then ltrim(split_part(path, '?', 1), '/')
            when kind = 'tcp' then 'tcp'
            when is_known then method
            else 'HTTP'
        end as name,
        began_at as started_at,
        began_at + to_milliseconds(coalesce(duration_ms, 0)) as ended_at,
        failed,
        case when failed then cause || coalesce(', culprit ' || culprit_service, '') end as status_message,

        case when kind <> 'tcp' then case when is_known then method else '_OTHER' end end as "http.request.method",
        case when not is_known then method end as "http.request.method_original",
        case when kind <> 'tcp' and response_code > 0 then response_code end as "http.response.status_code",
        case when side = 'client' and attempt > 1 then attempt - 1 end as "http.request.resend_count",
        case when kind <> 'tcp' then bytes_received end as "http.request.body.size",
        case when kind <> 'tcp' then bytes_sent end as "http.response.body.size",
        case when side = 'client' then '//' || authority || path end as "url.full",
        split_part(path, '?', 1) as "url.path",
        nullif(regexp_extract(path, '\?(.*)$', 1), '') as "url.query",
        nullif(host, '') as "server.address",
        host_port as "server.port",
        nullif(peer_address, '') as "network.peer.address",
        case when side = 'client' then try_cast(regexp_extract(upstream_host, ':(\d+)$', 1) as integer) end
            as "network.peer.port",
        case when protocol like 'HTTP/%' then 'http' end as "network.protocol.name",
        nullif(regexp_extract(protocol, '^HTTP/(.+)$', 1), '') as "network.protocol.version",
        case when kind = 'grpc' then 'grpc' end as "rpc.system.name",
        case when kind = 'grpc' then ltrim(split_part(path, '?', 1), '/') end as "rpc.method",
        case when failed then case
            when response_code >= 400 then response_code::varchar
            when len(flags) > 0 then flags[1]
            else '_OTHER'
        end end as "error.type",
        pod as "k8s.pod.name",
        request_id as "guid:x-request-id",
        case when len(flags) > 0 then flags end as "envoy.response_flags",
        details as "envoy.response_code_details",
        transport_failure as "envoy.upstream_transport_failure_reason",
        case when side = 'client' then upstream_cluster end as "envoy.upstream_cluster",
        case when side = 'client' then route_name end as "envoy.route_name",
        cluster_subset as "envoy.cluster_subset",
        hop_id as "meshlog.hop_id",
        attempt as "meshlog.attempt",
        attempts as "meshlog.attempts",
        cause as "meshlog.cause",
        culprit_service as "meshlog.culprit_service",
        case when side = 'client' then network_ms end as "meshlog.network_ms",
        case when side = 'server' then proxy_ms end as "meshlog.proxy_ms",
        case when side = 'server' then app_ms end as "meshlog.app_ms",
    from judged
),

ordered as (
    select * from described
    order by trace_started_at, trace_id, started_at, side, span_id
)

select * from ordered
