-- one row per hop with its place in its trace
-- key: hop_id
with

joined as (
    select
        format('{:016x}', trace_number) as trace_id,
        hop_id,
        call_id,
        format('{:016x}', trace_places.parent_number) as parent_hop_id,
        depth,
        request_id,
        began_at as started_at,
        client_service,
        service,
        cluster_subset,
        server_pod,
        kind,
        method,
        path,
        coalesce(client_response_code, server_response_code) as response_code,
        coalesce(client_duration_ms, server_duration_ms) as duration_ms,
        self_ms,
        is_critical,
        critical_ms,
        attempt,
        attempts,
        is_repeat,
        link,
        is_error,
        cause,
        candidates,
        culprit_service,
        culprit_hop_id,
    from trace_places
    inner join numbered_hops using (hop_number)
)

select * from joined
