-- one row per attempt of a call that went wrong: where the failure began, and what the rule there says of it
-- key: hop_number
-- A call that only passed on what happened below points to the call below, and so on down. Few calls go wrong, so
-- only they, their parents and their children are looked at.
with

slow_requests as (
    select distinct calls.request_id from calls
    inner join hop_causes using (hop_number)
    where hop_causes.cause in ('slow_upstream', 'slow_endpoint')
),

-- a timeout may lie far above the call that took the time
passing as (
    select hop_number from hop_causes
    where
        cause in ('app_5xx', 'app_error', 'slow_upstream', 'slow_endpoint', 'retried', 'client_gone')
        or rule in ('upstream_answered_5xx', 'upstream_failed_grpc')
    union all
    select calls.hop_number from calls
    anti join (select hop_number from hop_causes where cause is not null) as failed using (hop_number)
    where calls.request_id in (select request_id from slow_requests)
),

families as (
    select hop_number, parent_number from nesting
    where parent_number in (select hop_number from passing)
),

concerned as (
    select hop_number from hop_causes
    union
    select hop_number from passing
    union
    select hop_number from families
),

caused as (
    select
        calls.hop_number,
        calls.request_id,
        calls.client_service,
        calls.client_reporter,
        calls.service,
        calls.authority,
        calls.is_last_attempt,
        calls.client_ended_at,
        calls.server_ended_at,
        calls.client_duration_ms,
        calls.server_duration_ms,
        hop_causes.cause as own_cause,
        hop_causes.rule as own_rule,
        hop_causes.candidates as own_candidates,
        hop_causes.culprit as own_culprit,
        families.parent_number,
    from calls
    semi join concerned using (hop_number)
    left join hop_causes using (hop_number)
    left join families using (hop_number)
),

explaining as (
    select
        parent.hop_number,
        child.hop_number as child_number,
        coalesce(parent.own_cause, 'slow_upstream') in ('slow_upstream', 'slow_endpoint') as is_slow,
        parent.own_cause in ('app_5xx', 'app_error') or parent.own_rule in ('upstream_answered_5xx', 'upstream_failed_grpc')
            as passes_on,
        child.own_cause as child_cause,
        child.own_cause in ('slow_upstream', 'slow_endpoint') as is_child_slow,
        child.own_cause in ('app_5xx', 'app_error') or child.own_rule in ('upstream_answered_5xx', 'upstream_failed_grpc')
            as child_passes_on,
        child.is_last_attempt,
        coalesce(child.client_ended_at, child.server_ended_at) as child_ended_at,
        coalesce(child.client_duration_ms, child.server_duration_ms)
            >= 0.8 * coalesce(parent.client_duration_ms, parent.server_duration_ms) as is_most_of_the_time,
    from caused as parent
    inner join caused as child on child.parent_number = parent.hop_number
    where
        parent.own_cause in ('app_5xx', 'app_error', 'slow_upstream', 'slow_endpoint', 'retried')
        or parent.own_rule in ('upstream_answered_5xx', 'upstream_failed_grpc')
        or (parent.own_cause is null and parent.request_id in (select request_id from slow_requests))
),

-- to what failed, and to what took the time: they may be two calls of one that passed a failure on and was slow as well
ways as (
    select
        *,
        false as is_for_time,
    from explaining
    where not is_slow and child_cause is not null and child_cause <> 'retried'
    union all
    select
        *,
        true as is_for_time,
    from explaining
    where
        (is_slow or passes_on)
        and is_most_of_the_time
        and (
            child_cause is null
            or child_cause in ('slow_upstream', 'slow_endpoint', 'connect_timeout', 'client_gone', 'injected_fault')
            or child_passes_on
        )
),

pointers as (
    select
        hop_number,
        is_for_time,
        child_number,
        child_cause is not null as is_caused,
        coalesce(is_child_slow, false) as is_child_slow,
    from ways
    qualify row_number() over (
        partition by hop_number, is_for_time
        order by
            -- an application that gave a call up answers for itself, unless another call of its failed
            not is_for_time and child_cause = 'client_gone',
            child_cause is not null desc,
            child_ended_at desc,
            is_last_attempt desc,
            child_number
    ) = 1
),

-- a caller that hung up because its own caller had: the blame goes up
hung_up as (
    select
        child.hop_number,
        parent.hop_number as parent_number,
    from caused as child
    inner join caused as parent on child.parent_number = parent.hop_number
    where child.own_cause = 'client_gone' and parent.own_cause = 'client_gone'
),

-- the way to the culprit may end at a call that did not fail, but took the time: the last one that has a cause gives it
blamed as (
    with recursive chain as (
        select
            hop_number,
            hop_number as culprit_number,
            hop_number as judging_number,
            own_cause in ('slow_upstream', 'slow_endpoint') as is_for_time,
            0 as steps,
        from caused
        where own_cause is not null
        union all
        select
            chain.hop_number,
            coalesce(pointers.child_number, hung_up.parent_number) as culprit_number,
            case
                when pointers.is_caused then pointers.child_number
                when pointers.child_number is null then hung_up.parent_number
                else chain.judging_number
            end as judging_number,
            chain.is_for_time or coalesce(pointers.is_child_slow, false) as is_for_time,
            chain.steps + 1 as steps,
        from chain
        left join pointers
            on chain.culprit_number = pointers.hop_number
            and chain.is_for_time = pointers.is_for_time
        left join hung_up on chain.culprit_number = hung_up.hop_number
        where coalesce(pointers.child_number, hung_up.parent_number) is not null and chain.steps < 32
    )

    select
        hop_number,
        arg_max(culprit_number, steps) as culprit_number,
        arg_max(judging_number, steps) as judging_number,
    from chain
    group by hop_number
),

-- a host as a caller in the mesh wrote it, where its proxy answered before it chose a cluster: a Service's short name stands
-- for one of the caller's namespace, and two labels are a Service only where the logs know it
asked as (
    select
        caused.hop_number,
        case
            when regexp_full_match(host, '[a-z][a-z0-9-]*') then host || '.' || nullif(split_part(client_service, '.', 2), '')
            when regexp_full_match(host, '[a-z][a-z0-9-]*\.[a-z0-9-]+\.svc(\..+)?')
                then split_part(host, '.', 1) || '.' || split_part(host, '.', 2)
            else known.service
        end as service,
    from (select *, regexp_replace(authority, ':\d+$', '') as host from caused) as caused
    left join (select distinct service from calls) as known on caused.host = known.service
    where caused.own_cause is not null and caused.service is null and caused.client_reporter <> 'gateway'
),

judged as (
    select
        caused.hop_number,
        case
            when caused.own_cause in ('slow_upstream', 'slow_endpoint', 'retried')
                then {'cause': caused.own_cause, 'rule': caused.own_rule, 'candidates': caused.own_candidates,
                    'culprit': caused.own_culprit}
            else {'cause': judging.own_cause, 'rule': judging.own_rule, 'candidates': judging.own_candidates,
                'culprit': judging.own_culprit}
        end as verdict,
        blamed.culprit_number,
        coalesce(culprit.service, asked.service) as culprit_server,
        culprit.client_service as culprit_client,
        culprit.client_reporter as culprit_client_reporter,
    from caused
    left join blamed using (hop_number)
    left join caused as culprit on blamed.culprit_number = culprit.hop_number
    left join asked on blamed.culprit_number = asked.hop_number
    left join caused as judging on blamed.judging_number = judging.hop_number
    where caused.own_cause is not null
)

select * from judged
