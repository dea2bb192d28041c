-- one row per attempt of a call: the call it was made for, and the time that calls made for it took
-- key: hop_number
-- A call belongs to the request that its pod was serving under the same id when it began. Times of one pod compare as
-- they are; those of two pods, where one side's log is missing, with their clocks set right.
-- Keys are hashed, as in sure_pairs: of the request's id, without the 15th character, which a later hop may rewrite, and an
-- address.
with

keyed as (
    select
        *,
        case
            when length(request_id) = 36 then hash(left(request_id, 14), substr(request_id, 16))
            else hash(request_id)
        end as key,
    from calls
    where request_id is not null
),

-- by numbers, as in trace_places
timed as (
    select
        hop_number,
        call_number,
        attempts,
        hash(key, client_address) as calling_key,
        hash(key, server_address) as serving_key,
        hash(service, path) as calling_for,
        make_timestamptz(epoch_us(client_started_at) - 1000 * coalesce(client_clock.ahead_ms, 0)) as client_started_at,
        make_timestamptz(epoch_us(client_ended_at) - 1000 * coalesce(client_clock.ahead_ms, 0)) as client_ended_at,
        make_timestamptz(epoch_us(server_started_at) - 1000 * coalesce(server_clock.ahead_ms, 0)) as server_started_at,
        make_timestamptz(epoch_us(server_ended_at) - 1000 * coalesce(server_clock.ahead_ms, 0)) as server_ended_at,
        client_address is not null as has_client_address,
        server_address is not null as has_server_address,
    from keyed
    left join pod_clocks as client_clock on keyed.client_address = client_clock.address
    left join pod_clocks as server_clock on keyed.server_address = server_clock.address
),

-- all attempts of a call began, for the pod that made them, when its client's line did
calls_made as (
    select
        call_number,
        calling_key,
        calling_for,
        coalesce(client_started_at, server_started_at) as began_at,
        coalesce(client_ended_at, server_ended_at) as ended_at,
        client_started_at is not null as is_of_pod,
    from timed
    where attempts = 1 and has_client_address
    union all
    select
        call_number,
        any_value(calling_key) as calling_key,
        any_value(calling_for) as calling_for,
        coalesce(any_value(client_started_at), min(server_started_at)) as began_at,
        coalesce(any_value(client_ended_at), max(server_ended_at)) as ended_at,
        bool_or(client_started_at is not null) as is_of_pod,
    from timed
    where attempts > 1 and has_client_address
    group by call_number
),

served as (
    select
        hop_number,
        call_number,
        serving_key,
        coalesce(server_started_at, client_started_at) as serving_since,
        coalesce(server_ended_at, client_ended_at) as serving_until,
        server_started_at is not null as is_of_pod,
    from timed
    where has_server_address
),

-- requests with one id at once make calls of a kind in the order in which they began themselves
several as (
    select
        serving_key,
        -- an id that a client repeats for ever: there the call that began last is taken, as comparing all with all would
        -- not end
        count(*) > 200 as is_crowded,
    from served
    group by serving_key
    having count(*) > 1
),

calls_in_order as (
    select
        calls_made.*,
        row_number() over (same_kind order by began_at, ended_at, call_number) as place,
        count(*) over same_kind as places,
    from calls_made
    semi join several on calls_made.calling_key = several.serving_key
    window same_kind as (partition by calling_key, calling_for)
),

served_in_order as (
    select
        served.*,
        row_number() over (same_server order by serving_since, serving_until, hop_number) as place,
        count(*) over same_server as places,
    from served
    semi join several using (serving_key)
    window same_server as (partition by served.serving_key)
),

in_order as (
    select calls_in_order.call_number, served_in_order.hop_number as parent_number,
    from calls_in_order
    inner join served_in_order
        on calls_in_order.calling_key = served_in_order.serving_key
        and calls_in_order.place = served_in_order.place
        and calls_in_order.places = served_in_order.places
),

-- clocks of two pods are set right within a millisecond or two
asking as (
    select
        calls_made.*,
        calls_made.began_at + case when is_of_pod then interval 0 milliseconds else interval 3 milliseconds end as latest_at,
        coalesce(is_crowded, false) as is_crowded,
    from calls_made
    left join several on calls_made.calling_key = several.serving_key
),

candidates as (
    select
        asking.call_number,
        served.hop_number as parent_number,
        began_at,
        ended_at,
        serving_since,
        serving_until,
        is_crowded,
    from asking
    inner join served
        on asking.calling_key = served.serving_key
        and asking.call_number <> served.call_number
        and asking.began_at between served.serving_since
            - case when served.is_of_pod and asking.is_of_pod then interval 0 milliseconds
                else interval 3 milliseconds end
            and served.serving_until + interval 1 millisecond
    where not asking.is_crowded
    union all
    select
        asking.call_number,
        served.hop_number as parent_number,
        began_at,
        ended_at,
        serving_since,
        serving_until,
        is_crowded,
    from (select *, from asking where is_crowded) as asking
    asof join (
        select served.*, from served
        semi join (select serving_key, from several where is_crowded) using (serving_key)
    ) as served
        on asking.calling_key = served.serving_key
        and asking.latest_at >= served.serving_since
    where asking.began_at <= served.serving_until + interval 1 millisecond and asking.call_number <> served.call_number
),

-- most calls have one candidate, and nothing to choose
open as (
    select call_number from candidates
    group by call_number
    having count(*) > 1
),

chosen as (
    select
        candidates.* exclude (is_crowded),
        true as is_unsure,
    from candidates
    semi join open using (call_number)
    left join in_order using (call_number, parent_number)
    qualify row_number() over (
        partition by call_number
        order by in_order.parent_number is not null desc, serving_since desc, serving_until, candidates.parent_number
    ) = 1
),

parents as (
    select
        * exclude (is_crowded),
        is_crowded as is_unsure,
    from candidates
    anti join open using (call_number)
    union all by name
    select *, from chosen
),

-- the union of the children's time inside the parent's: siblings that run side by side count once
clipped as (
    select
        parent_number,
        greatest(began_at, serving_since) as began_at,
        least(ended_at, serving_until) as ended_at,
    from parents
    where least(ended_at, serving_until) > greatest(began_at, serving_since)
),

of_parents as (
    select
        parent_number,
        min(began_at) as began_at,
        max(ended_at) as ended_at,
        count(*) > 1 as is_open,
    from clipped
    group by parent_number
),

covered as (
    select
        *,
        max(ended_at) over (
            partition by parent_number order by began_at, ended_at rows between unbounded preceding and 1 preceding
        ) as covered_until,
    from clipped
    semi join (select parent_number, from of_parents where is_open) as open using (parent_number)
),

below as (
    select
        parent_number as hop_number,
        epoch_ms(ended_at) - epoch_ms(began_at) as below_ms,
    from of_parents
    where not is_open
    union all
    select
        parent_number as hop_number,
        sum(greatest(0, epoch_ms(ended_at) - epoch_ms(greatest(began_at, coalesce(covered_until, began_at)))))
            as below_ms,
    from covered
    group by parent_number
),

joined as (
    select
        every_call.hop_number,
        parents.parent_number,
        coalesce(below.below_ms, 0)::bigint as below_ms,
        -- several requests of this id were being served there at that moment
        coalesce(parents.is_unsure, false) as is_unsure,
    from (select hop_number, call_number, from calls) as every_call
    left join parents using (call_number)
    left join below using (hop_number)
)

select * from joined
