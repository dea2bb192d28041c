-- the failing attempts of one request, with both lines as logged, how they were paired and the rule that decided
-- $id is the request id or the beginning of one, or a hop's id.
with

lines as (
    select
        source,
        line_number,
        {
            'place': source || ':' || line_number,
            'started_at': started_at,
            'pod': pod,
            'response_code': response_code,
            'response_flags': response_flags,
            'response_code_details': response_code_details,
            'connection_termination_details': connection_termination_details,
            'upstream_transport_failure_reason': upstream_transport_failure_reason,
            'duration_ms': duration_ms,
            'upstream_service_time_ms': upstream_service_time_ms,
            'upstream_cluster': upstream_cluster,
            'route_name': route_name,
            'upstream_host': upstream_host,
            'upstream_local_address': upstream_local_address,
            'downstream_local_address': downstream_local_address,
            'downstream_remote_address': downstream_remote_address,
            'requested_server_name': requested_server_name,
        } as line,
    from access_logs_around
),

asked as (
    select *, from hops
    where starts_with(request_id, $id) or hop_id = $id
),

explained as (
    select
        asked.request_id,
        asked.hop_id,
        asked.started_at,
        asked.client_service,
        asked.service,
        asked.method,
        asked.path,
        asked.attempt,
        asked.attempts,
        asked.is_error,
        client.line as client_line,
        server.line as server_line,
        asked.link,
        case asked.link
            when 'address' then
                'both sockets agree: upstream_host and upstream_local_address of the client are '
                || 'downstream_local_address and downstream_remote_address of the server'
            when 'endpoint' then 'by request id, upstream_host = downstream_local_address, and the time'
            when 'client_only' then
                case when asked.upstream_host is null then 'no server line: no host was chosen'
                    else 'no server line: it was not logged, or the request did not arrive' end
            when 'server_only' then 'no client line: it was not logged, or the caller has no proxy'
        end as paired,
        hop_causes.rule,
        rules.says as because,
        hop_causes.evidence,
        hop_causes.attempt_cause as rule_cause,
        case when hop_causes.attempt_cause = 'unknown' then hop_causes.candidates end as rule_candidates,
        asked.cause,
        asked.candidates,
        asked.culprit_service,
        asked.culprit_hop_id,
        culprit.service as culprit_called,
    from asked
    left join hop_causes using (hop_id)
    left join rules on hop_causes.rule = rules.rule
    left join lines as client
        on asked.client_source = client.source and asked.client_line_number = client.line_number
    left join lines as server
        on asked.server_source = server.source and asked.server_line_number = server.line_number
    left join hops as culprit on asked.culprit_hop_id = culprit.hop_id
),

ordered as (
    select * from explained
    order by request_id, started_at, attempt, hop_id
)

select * from ordered
