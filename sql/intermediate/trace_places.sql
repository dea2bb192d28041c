-- one row per hop of the window: its place in its trace, and its part in the time that the trace took
-- key: hop_number
-- Every hop of a day passes through here: numbers and times alone, which few bytes hold; trace_spans adds what they stand for.
with recursive

-- times of different pods, each by a clock of its own, set right; as numbers, since DuckDB's date_diff and intervals look
-- into a calendar, which takes ten to sixty times as long
timed as (
    select
        calls.hop_number,
        calls.call_number,
        nesting.parent_number,
        coalesce(
            make_timestamptz(epoch_us(client_started_at) - 1000 * coalesce(client_clock.ahead_ms, 0)),
            make_timestamptz(epoch_us(server_started_at) - 1000 * coalesce(server_clock.ahead_ms, 0))
        ) as began_at,
        coalesce(
            make_timestamptz(epoch_us(client_ended_at) - 1000 * coalesce(client_clock.ahead_ms, 0)),
            make_timestamptz(epoch_us(server_ended_at) - 1000 * coalesce(server_clock.ahead_ms, 0))
        ) as ended_at,
        greatest(0, coalesce(client_duration_ms, server_duration_ms) - nesting.below_ms) as self_ms,
        attempt,
        attempts,
    from calls
    inner join nesting using (hop_number)
    left join pod_clocks as client_clock on calls.client_address = client_clock.address
    left join pod_clocks as server_clock on calls.server_address = server_clock.address
    cross join session_window
    where
        (since is null or started_at >= since)
        and (until is null or started_at < until)
),

-- calls of the margin are not shown
outside as (
    select
        hop_number,
        true as is_outside,
    from calls
    cross join session_window
    where started_at < since or started_at >= until
),

last_attempts as (
    select call_number, arg_max(hop_number, attempt) as last_number,
    from timed
    where attempts > 1
    group by call_number
),

-- a call without a parent began a trace, which is named by its last attempt; one whose parent lies outside the window
-- begins one here
placed as (
    select
        timed.hop_number,
        case when is_outside is null then parent_number end as parent_number,
        coalesce(last_number, timed.hop_number) as last_number,
        began_at,
        ended_at,
        self_ms,
        attempt = attempts as is_last_attempt,
        attempt > 1 as is_repeat,
    from timed
    left join last_attempts using (call_number)
    left join outside on timed.parent_number = outside.hop_number
),

---------- which calls a hop waited for

siblings as (
    select
        placed.hop_number,
        placed.parent_number,
        placed.began_at,
        placed.ended_at,
    from placed
    semi join (
        select parent_number, from placed
        where parent_number is not null
        group by parent_number
        having count(*) > 1
    ) as with_several using (parent_number)
),

-- of calls one after the other a hop waited for each; only where some ran side by side there is something to choose
side_by_side as (
    select distinct parent_number,
    from (
        select
            parent_number,
            began_at < lag(ended_at) over (partition by parent_number order by ended_at, hop_number desc) as is_overlapping,
        from siblings
    )
    where is_overlapping
),

-- walking back from the parent's end: the child that ended last, then the last one that ended before that one began
children as (
    select
        list_sort(list({'ended_ago': -epoch_us(ended_at), 'hop_number': hop_number, 'began_us': epoch_us(began_at)}))
            as last_first,
    from siblings
    semi join side_by_side using (parent_number)
    group by parent_number
),

waited_for as (
    select
        unnest(list_reduce(
            list_transform(
                last_first,
                lambda child: {'numbers': [child.hop_number], 'ended_us': -child.ended_ago, 'began_us': child.began_us}
            ),
            lambda chosen, child: case when child.ended_us <= chosen.began_us then {
                'numbers': list_concat(chosen.numbers, child.numbers),
                'ended_us': child.ended_us,
                'began_us': child.began_us,
            } else chosen end
        ).numbers) as hop_number,
    from children
),

not_waited_for as (
    select
        hop_number,
        true as is_beside,
    from siblings
    semi join side_by_side using (parent_number)
    anti join waited_for using (hop_number)
),

---------- from the beginning of each trace down

steps as (
    select
        placed.hop_number,
        placed.parent_number,
        placed.began_at,
        placed.ended_at,
        placed.self_ms,
        placed.is_repeat,
        is_beside is null as is_waited_for,
    from placed
    left join not_waited_for using (hop_number)
    where parent_number is not null
),

descended as (
    select
        last_number as trace_number,
        hop_number,
        parent_number,
        began_at,
        self_ms,
        0 as depth,
        -- its last attempt's line covers all of the call
        is_last_attempt as is_critical,
        is_repeat,
        began_at as critical_from,
        ended_at as critical_until,
    from placed
    where parent_number is null
    union all
    select
        descended.trace_number,
        steps.hop_number,
        steps.parent_number,
        steps.began_at,
        steps.self_ms,
        descended.depth + 1 as depth,
        descended.is_critical and steps.is_waited_for as is_critical,
        descended.is_repeat or steps.is_repeat as is_repeat,
        -- what a call goes on for after its caller's end is nobody's wait
        greatest(steps.began_at, descended.critical_from) as critical_from,
        least(steps.ended_at, descended.critical_until) as critical_until,
    from descended
    inner join steps on steps.parent_number = descended.hop_number
),

-- the time on the critical path that a hop spent itself: its own stretch of it, less those of the calls it waited for
waits as (
    select
        hop_number,
        parent_number,
        greatest(0, epoch_ms(critical_until) - epoch_ms(critical_from)) as wait_ms,
    from descended
    where is_critical
),

waits_below as (
    select
        parent_number as hop_number,
        sum(wait_ms)::bigint as below_ms,
    from waits
    where parent_number is not null
    group by parent_number
),

joined as (
    select
        descended.hop_number,
        descended.trace_number,
        descended.parent_number,
        descended.depth,
        descended.began_at,
        descended.self_ms,
        descended.is_critical,
        case
            when descended.is_critical
                then greatest(0, epoch_ms(critical_until) - epoch_ms(critical_from)) - coalesce(waits_below.below_ms, 0)
            else 0
        end as critical_ms,
        descended.is_repeat,
    from descended
    left join waits_below using (hop_number)
)

select * from joined
