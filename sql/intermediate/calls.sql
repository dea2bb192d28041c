-- one row per attempt of a call with what both sides logged; the client's figures stand on the last attempt only
-- key: hop_number
-- Joins of millions of rows cost half as much by numbers: hop_number is hop_id as a number, call_number that of a line.
-- Of a day it is made slice by slice, which the variables set: two joins of all its wide rows would not fit into memory.
with

pairs as (
    select
        *,
        attempt = attempts as is_last_attempt,
    from line_pairs
    where
        coalesce(client_line_id, server_line_id)
        between coalesce(getvariable('first_line_id'), 0) and coalesce(getvariable('last_line_id'), 9223372036854775807)
),

lines as not materialized (
    select
        line_id,
        source,
        line_number,
        started_at,
        ended_at,
        kind,
        direction,
        method,
        path,
        authority,
        protocol,
        response_code,
        response_flags,
        response_code_details,
        upstream_transport_failure_reason,
        connection_termination_details,
        bytes_received,
        bytes_sent,
        duration_ms,
        upstream_service_time_ms,
        request_id,
        upstream_cluster,
        cluster_subset,
        service,
        upstream_host,
        upstream_local_address,
        downstream_local_address,
        downstream_remote_address,
        requested_server_name,
        route_name,
        reporter,
        pod,
        is_error,
        -- Mixer's verdict, in the formats of Istio up to 1.7
        case when contains(response_flags, 'UAEX') then extra ->> 'istio_policy_status' end as policy_status,
        -- hosts and listeners are few: cut here, where a file's dictionary is, and not behind the join
        case
            when contains(upstream_host, '/')
                then regexp_replace(nullif(regexp_extract(upstream_host, '([^/]+:\d+)$', 1), ''), ':\d+$', '')
            else regexp_replace(nullif(upstream_host, ''), ':\d+$', '')
        end as endpoint_address,
        regexp_replace(downstream_local_address, ':\d+$', '') as own_address,
        -- the pod's own address as a client's line knows it: its upstream socket, the gateway's listener, or its application
        regexp_replace(
            case
                when upstream_local_address like '%:%' and upstream_local_address not like 'envoy:%'
                    then upstream_local_address
                when reporter = 'gateway' then downstream_local_address
                when downstream_remote_address not like '%:0' then downstream_remote_address
            end, ':\d+$', ''
        ) as client_address,
    from access_logs_around
    where
        started_at >= coalesce(getvariable('lines_since'), '-infinity'::timestamptz)
        and started_at < coalesce(getvariable('lines_until'), 'infinity'::timestamptz)
),

sides as (
    select
        -- the first sixteen hexadecimal digits of an MD5, as a number
        ('0x' || left(md5(
            coalesce(server.source, client.source) || ':' || coalesce(server.line_number, client.line_number)
        ), 16))::ubigint as hop_number,
        coalesce(client_line_id, server_line_id) as call_number,
        coalesce(server.request_id, client.request_id) as request_id,
        coalesce(case when is_last_attempt then client.started_at end, server.started_at) as started_at,
        coalesce(client.kind, server.kind) as kind,
        coalesce(client.method, server.method) as method,
        coalesce(client.path, server.path) as path,
        coalesce(client.authority, server.authority) as authority,
        coalesce(client.protocol, server.protocol) as protocol,
        client.reporter as client_reporter,
        coalesce(
            client.client_address,
            case when server.downstream_remote_address not like '%:0'
                then regexp_replace(server.downstream_remote_address, ':\d+$', '') end
        ) as client_address,
        client.pod as client_pod,
        coalesce(server.own_address, client.endpoint_address) as server_address,
        server.pod as server_pod,
        client.service as called_service,
        server.service as server_service,
        client.cluster_subset as cluster_subset,
        client.upstream_cluster as upstream_cluster,
        client.upstream_host as upstream_host,
        client.upstream_local_address is not null as has_upstream_socket,
        client.route_name as route_name,
        client.source as client_source,
        client.line_number as client_line_number,
        case when is_last_attempt then client.started_at end as client_started_at,
        case when is_last_attempt then client.ended_at end as client_ended_at,
        case when is_last_attempt then client.duration_ms end as client_duration_ms,
        case when is_last_attempt then client.upstream_service_time_ms end as client_upstream_service_time_ms,
        case when is_last_attempt then client.response_code end as client_response_code,
        case when is_last_attempt then client.response_flags end as client_response_flags,
        case when is_last_attempt then client.response_code_details end as client_response_code_details,
        case when is_last_attempt then client.upstream_transport_failure_reason end
            as client_transport_failure_reason,
        case when is_last_attempt then client.connection_termination_details end
            as client_termination_details,
        case when is_last_attempt then client.bytes_received end as client_bytes_received,
        case when is_last_attempt then client.bytes_sent end as client_bytes_sent,
        case when is_last_attempt then client.is_error end as client_is_error,
        case when is_last_attempt then client.protocol end as client_protocol,
        case when is_last_attempt then client.requested_server_name end as client_sni,
        server.source as server_source,
        server.line_number as server_line_number,
        server.started_at as server_started_at,
        server.ended_at as server_ended_at,
        server.duration_ms as server_duration_ms,
        server.upstream_service_time_ms as server_upstream_service_time_ms,
        server.response_code as server_response_code,
        server.response_flags as server_response_flags,
        server.response_code_details as server_response_code_details,
        server.upstream_transport_failure_reason as server_transport_failure_reason,
        server.connection_termination_details as server_termination_details,
        server.bytes_sent as server_bytes_sent,
        server.is_error as server_is_error,
        server.protocol as server_protocol,
        server.requested_server_name as server_sni,
        case when client.line_id is null then server.policy_status else client.policy_status end as policy_status,
        link,
        attempt,
        attempts,
        is_last_attempt,
        -- a gRPC failure that the server's proxy answered with 200 has a flag on the server's line alone
        coalesce(client.is_error, false) or (
            is_last_attempt and coalesce(server.is_error, false)
            and coalesce(server.response_code = client.response_code, true)
        ) as is_last_attempt_error,
        coalesce(server.is_error, false) as is_server_error,
    from pairs
    left join (select * from lines where direction <> 'inbound') as client on pairs.client_line_id = client.line_id
    -- a line that could not be read does not tell its side
    left join (select * from lines where direction = 'inbound' or method is null) as server
        on pairs.server_line_id = server.line_id
),

named as (
    select
        sides.* exclude (called_service, server_service) replace (
            coalesce(sides.client_reporter, 'sidecar') as client_reporter,
            coalesce(sides.client_pod, client_names.pod, client_address) as client_pod,
            coalesce(sides.server_pod, server_names.pod, server_address) as server_pod
        ),
        coalesce(client_names.service, case when sides.client_reporter = 'gateway' then 'gateway' end) as client_service,
        coalesce(called_service, server_names.service, server_service) as service,
    from sides
    left join address_names as client_names on sides.client_address = client_names.address
    left join address_names as server_names on sides.server_address = server_names.address
),

-- whether the call as a whole failed is known from its last attempt
settled as (
    select
        * exclude (is_last_attempt_error, is_server_error),
        is_last_attempt_error as is_call_error,
        case when is_last_attempt then is_last_attempt_error else is_server_error end as is_error,
    from named
)

select * from settled
