-- one row per attempt of a call: the call it was made for, and the time that calls made for it took
-- key: hop_id
-- A call belongs to the request that its pod was serving under the same id when it began. Both times are the same pod's.
with

calls as (
    select
        *,
        case
            when length(request_id) = 36 then left(request_id, 14) || '_' || substr(request_id, 16)
            else request_id
        end as key,
        coalesce(server_started_at, client_started_at) as serving_since,
        coalesce(server_ended_at, client_ended_at) as serving_until,
    from calls
    where request_id is not null
),

candidates as (
    select
        child.hop_id,
        parent.hop_id as parent_hop_id,
        child.started_at,
        coalesce(child.client_ended_at, child.server_ended_at) as ended_at,
        parent.serving_since,
        parent.serving_until,
    from calls as child
    inner join calls as parent
        on child.key = parent.key
        and child.client_address = parent.server_address
        and child.hop_id <> parent.hop_id
        and child.started_at between parent.serving_since and parent.serving_until + interval 1 millisecond
),

parents as (
    select *,
    from candidates
    qualify row_number() over (partition by hop_id order by serving_since desc, serving_until, parent_hop_id) = 1
),

-- the union of the children's time inside the parent's: siblings that run side by side count once
clipped as (
    select
        parent_hop_id,
        greatest(started_at, serving_since) as began_at,
        least(ended_at, serving_until) as ended_at,
    from parents
),

covered as (
    select
        *,
        max(ended_at) over (
            partition by parent_hop_id order by began_at, ended_at rows between unbounded preceding and 1 preceding
        ) as covered_until,
    from clipped
    where ended_at > began_at
),

below as (
    select
        parent_hop_id as hop_id,
        sum(greatest(0, date_diff('millisecond', greatest(began_at, coalesce(covered_until, began_at)), ended_at)))
            as below_ms,
    from covered
    group by parent_hop_id
),

joined as (
    select
        every_call.hop_id,
        parents.parent_hop_id,
        coalesce(below.below_ms, 0)::bigint as below_ms,
    from (select hop_id, from calls) as every_call
    left join parents using (hop_id)
    left join below using (hop_id)
)

select * from joined
