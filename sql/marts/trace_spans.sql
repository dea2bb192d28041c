-- one row per hop with its place in its trace
-- key: hop_id
with recursive

hops as (
    select * from hops
),

-- times of different pods, each by a clock of its own, set right
timed as (
    select
        hops.*,
        to_milliseconds(coalesce(client_clock.ahead_ms, 0)) as client_ahead,
        to_milliseconds(coalesce(server_clock.ahead_ms, 0)) as server_ahead,
    from hops
    left join pod_clocks as client_clock on hops.client_address = client_clock.address
    left join pod_clocks as server_clock on hops.server_address = server_clock.address
),

-- a call without a parent began a trace, which is named by its last attempt; one whose parent lies outside the window
-- begins one here
placed as (
    select
        hop_id,
        case when parent_hop_id in (select hop_id from hops) then parent_hop_id end as parent_hop_id,
        last_value(hop_id) over (
            partition by call_id order by attempt rows between unbounded preceding and unbounded following
        ) as last_hop_id,
        coalesce(client_started_at - client_ahead, server_started_at - server_ahead) as began_at,
        coalesce(client_ended_at - client_ahead, server_ended_at - server_ahead) as ended_at,
        greatest(0, coalesce(client_duration_ms, server_duration_ms) - below_ms) as self_ms,
        attempt = attempts as is_last_attempt,
        attempt > 1 as is_repeat,
    from timed
),

-- walking back from a parent's end: the child that ended last, then the last one that ended before that one began
waited_for as (
    select
        parent_hop_id,
        list_reduce(
            list_prepend(
                {'began_at': timestamptz 'infinity', 'hop_ids': []::varchar[], 'ended_at': timestamptz 'infinity'},
                list({'began_at': began_at, 'hop_ids': [hop_id], 'ended_at': ended_at} order by ended_at desc, hop_id)
            ),
            lambda chosen, child: case when child.ended_at <= chosen.began_at then {
                'began_at': child.began_at,
                'hop_ids': list_concat(chosen.hop_ids, child.hop_ids),
                'ended_at': chosen.ended_at,
            } else chosen end
        ).hop_ids as hop_ids,
    from placed
    where parent_hop_id is not null
    group by parent_hop_id
),

descended as (
    select
        last_hop_id as trace_id,
        hop_id,
        parent_hop_id,
        0 as depth,
        -- its last attempt's line covers all of the call
        is_last_attempt as is_critical,
        self_ms,
        is_repeat,
        began_at,
        began_at as critical_from,
        ended_at as critical_until,
    from placed
    where parent_hop_id is null
    union all
    select
        descended.trace_id,
        placed.hop_id,
        placed.parent_hop_id,
        descended.depth + 1 as depth,
        descended.is_critical and list_contains(waited_for.hop_ids, placed.hop_id) as is_critical,
        placed.self_ms,
        descended.is_repeat or placed.is_repeat as is_repeat,
        placed.began_at,
        -- what a call goes on for after its caller's end is nobody's wait
        greatest(placed.began_at, descended.critical_from) as critical_from,
        least(placed.ended_at, descended.critical_until) as critical_until,
    from descended
    inner join placed on placed.parent_hop_id = descended.hop_id
    inner join waited_for on waited_for.parent_hop_id = descended.hop_id
),

-- the time on the critical path that a hop spent itself: its own stretch of it, less those of the calls it waited for
waits as (
    select
        hop_id,
        parent_hop_id,
        greatest(0, date_diff('millisecond', critical_from, critical_until)) as wait_ms,
    from descended
    where is_critical
),

waits_below as (
    select
        parent_hop_id as hop_id,
        sum(wait_ms) as below_ms,
    from waits
    where parent_hop_id is not null
    group by parent_hop_id
),

critical as (
    select
        hop_id,
        (waits.wait_ms - coalesce(waits_below.below_ms, 0))::bigint as critical_ms,
    from waits
    left join waits_below using (hop_id)
),

joined as (
    select
        descended.trace_id,
        hops.hop_id,
        hops.call_id,
        descended.parent_hop_id,
        descended.depth,
        hops.request_id,
        descended.began_at as started_at,
        hops.client_service,
        hops.service,
        hops.cluster_subset,
        hops.server_pod,
        hops.kind,
        hops.method,
        hops.path,
        coalesce(hops.client_response_code, hops.server_response_code) as response_code,
        coalesce(hops.client_duration_ms, hops.server_duration_ms) as duration_ms,
        descended.self_ms,
        descended.is_critical,
        coalesce(critical.critical_ms, 0) as critical_ms,
        hops.attempt,
        hops.attempts,
        descended.is_repeat,
        hops.link,
        hops.is_error,
        hops.cause,
        hops.candidates,
        hops.culprit_service,
        hops.culprit_hop_id,
    from descended
    inner join hops using (hop_id)
    left join critical using (hop_id)
)

select * from joined
