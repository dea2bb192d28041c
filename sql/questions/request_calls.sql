-- the calls of some requests, in the order of a waterfall: what was called, when, and who spent the time
-- Of a request with more calls than $limit, those that failed stay, then those that it waited for, then the longest.
-- Offsets are milliseconds from the request's begin, clocks set right. What the clocks' precision leaves is taken away by
-- laying the server's interval inside the client's; the application's lasts to its first byte, calls below included. A bar
-- is at least a 250th of its request wide, or it could not be seen.
with recursive

asked as materialized (
    select hop_number from trace_places
    where trace_number in (select ('0x' || unnest($trace_ids))::ubigint)
),

spans as materialized (
    select * from numbered_spans
    where hop_number in (select hop_number from asked)
),

-- the tries of one call stand together, in their order
placed as (
    select
        spans.hop_id,
        spans.parent_hop_id,
        spans.depth,
        min(spans.started_at) over (partition by spans.call_id)::varchar || to_base(spans.attempt, 10, 6)
            || spans.hop_id as place,
    from spans
),

walked as (
    select
        hop_id,
        [place] as way,
    from placed
    where depth = 0
    union all
    select
        placed.hop_id,
        list_append(walked.way, placed.place) as way,
    from walked
    inner join placed on placed.parent_hop_id = walked.hop_id
),

timed as (
    select
        spans.trace_id,
        spans.hop_id,
        spans.call_id,
        spans.parent_hop_id,
        spans.depth,
        spans.request_id,
        spans.started_at,
        spans.client_service,
        spans.service,
        spans.cluster_subset,
        spans.server_pod,
        spans.kind,
        spans.method,
        spans.path,
        spans.response_code,
        spans.duration_ms,
        spans.self_ms,
        spans.is_critical,
        spans.critical_ms,
        spans.attempt,
        spans.attempts,
        spans.is_repeat,
        spans.link,
        spans.is_error,
        spans.cause,
        spans.candidates,
        spans.culprit_service,
        spans.culprit_hop_id,
        row_number() over (partition by spans.trace_id order by walked.way) as place,
        count(*) over (partition by spans.trace_id) as found,
        spans.client_response_code,
        array_to_string(spans.client_flags, ',') as client_flags,
        spans.client_response_code_details,
        spans.client_duration_ms,
        spans.server_response_code,
        array_to_string(spans.server_flags, ',') as server_flags,
        spans.server_response_code_details,
        spans.server_duration_ms,
        spans.network_ms,
        spans.proxy_ms,
        spans.body_ms,
        spans.app_ms,
        spans.below_ms,
        case when spans.client_started_at is not null
            then (epoch_us(spans.started_at) - epoch_us(traces.started_at)) / 1000 end as client_from_ms,
        (epoch_us(spans.server_started_at) - epoch_us(traces.started_at)) / 1000 - coalesce(clocks.ahead_ms, 0)
            as server_at_ms,
        greatest(1000, max(epoch_us(spans.started_at) + 1000 * coalesce(spans.duration_ms, 0)) over (
            partition by spans.trace_id
        ) - epoch_us(traces.started_at)) / 250000 as least_ms,
    from spans
    inner join walked using (hop_id)
    inner join traces on spans.trace_id = traces.trace_id
    left join pod_clocks as clocks on spans.server_address = clocks.address
),

inside as (
    select
        *,
        case
            when server_at_ms is null or client_from_ms is null then server_at_ms
            else greatest(client_from_ms, least(server_at_ms, client_from_ms + client_duration_ms - server_duration_ms))
        end as server_from_ms,
    from timed
    qualify row_number() over (
        partition by trace_id order by depth = 0 desc, is_error desc, is_critical desc, duration_ms desc, place
    ) <= $limit
),

drawn as (
    select
        * exclude (server_at_ms, least_ms, place),
        row_number() over (partition by trace_id order by place) as position,
        client_from_ms + greatest(client_duration_ms, least_ms) as client_to_ms,
        server_from_ms + greatest(server_duration_ms, least_ms) as server_to_ms,
        case when app_ms is not null then server_from_ms end as app_from_ms,
        server_from_ms + greatest(least(server_duration_ms, app_ms + below_ms), least_ms) as app_to_ms,
    from inside
    order by trace_id, position
)

select * from drawn
