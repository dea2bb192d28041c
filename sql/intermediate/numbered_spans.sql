-- one row per hop with its place in its trace, and all that is known of it
-- key: hop_number
-- What looks some traces of a day up does it here, by number; everybody else reads trace_spans.
select
    trace_number,
    format('{:016x}', trace_number) as trace_id,
    format('{:016x}', trace_places.parent_number) as parent_hop_id,
    depth,
    began_at as started_at,
    self_ms,
    is_critical,
    critical_ms,
    is_repeat,
    coalesce(client_response_code, server_response_code) as response_code,
    coalesce(client_duration_ms, server_duration_ms) as duration_ms,
    numbered_hops.* exclude (parent_hop_id, started_at),
from trace_places
inner join numbered_hops using (hop_number)
