-- one row per attempt of a call from one proxy to the next, both sides where both were logged
-- key: hop_id
-- client_* figures stand on the last attempt only (attempt = attempts), so sums over them count each call once.
-- network_ms + proxy_ms + body_ms + app_ms + below_ms = client_duration_ms, or the server's where it worked on for longer.
with

calls as (
    select * from calls
),

caused as (
    select
        calls.*,
        hop_causes.cause as own_cause,
        hop_causes.rule as own_rule,
        hop_causes.candidates as own_candidates,
        hop_causes.culprit as own_culprit,
        nesting.parent_hop_id,
        coalesce(nesting.below_ms, 0) as below_ms,
    from calls
    left join hop_causes using (hop_id)
    left join nesting using (hop_id)
),

---------- blame: a call that only passed on what happened below points to the call below, and so on down

-- the children that could explain their parent's failure; a timeout may lie far above the call that took the time
slow_requests as (
    select distinct request_id from caused
    where own_cause in ('slow_upstream', 'slow_endpoint')
),

explaining as (
    select
        parent.hop_id,
        child.hop_id as child_hop_id,
        coalesce(parent.own_cause, 'slow_upstream') in ('slow_upstream', 'slow_endpoint') as is_slow,
        child.own_cause as child_cause,
        child.is_last_attempt,
        coalesce(child.client_ended_at, child.server_ended_at) as child_ended_at,
        coalesce(child.client_duration_ms, child.server_duration_ms)
            >= 0.8 * coalesce(parent.client_duration_ms, parent.server_duration_ms) as is_most_of_the_time,
    from caused as parent
    inner join caused as child on child.parent_hop_id = parent.hop_id
    where
        parent.own_cause in ('app_5xx', 'app_error', 'slow_upstream', 'slow_endpoint', 'retried')
        or parent.own_rule in ('upstream_answered_5xx', 'upstream_failed_grpc')
        or (parent.own_cause is null and parent.request_id in (select request_id from slow_requests))
),

pointers as (
    select
        hop_id,
        child_hop_id,
        child_cause is not null as is_caused,
    from explaining
    where
        (not is_slow and child_cause is not null and child_cause <> 'retried')
        or (is_slow and is_most_of_the_time and (
            child_cause is null
            or child_cause in ('slow_upstream', 'slow_endpoint', 'connect_timeout', 'client_gone', 'injected_fault')
        ))
    qualify row_number() over (
        partition by hop_id
        order by
            -- an application that gave a call up answers for itself, unless another call of its failed
            not is_slow and child_cause = 'client_gone',
            child_cause is not null desc,
            child_ended_at desc,
            is_last_attempt desc,
            child_hop_id
    ) = 1
),

-- a caller that hung up because its own caller had: the blame goes up
hung_up as (
    select
        child.hop_id,
        parent.hop_id as parent_hop_id,
    from caused as child
    inner join caused as parent on child.parent_hop_id = parent.hop_id
    where child.own_cause = 'client_gone' and parent.own_cause = 'client_gone'
),

-- the way to the culprit may end at a call that did not fail, but took the time: the last one that has a cause gives it
blamed as (
    with recursive chain as (
        select
            hop_id,
            hop_id as culprit_hop_id,
            hop_id as judging_hop_id,
            0 as steps,
        from caused
        where own_cause is not null
        union all
        select
            chain.hop_id,
            coalesce(pointers.child_hop_id, hung_up.parent_hop_id) as culprit_hop_id,
            case
                when pointers.is_caused then pointers.child_hop_id
                when pointers.child_hop_id is null then hung_up.parent_hop_id
                else chain.judging_hop_id
            end as judging_hop_id,
            chain.steps + 1 as steps,
        from chain
        left join pointers on chain.culprit_hop_id = pointers.hop_id
        left join hung_up on chain.culprit_hop_id = hung_up.hop_id
        where coalesce(pointers.child_hop_id, hung_up.parent_hop_id) is not null and chain.steps < 32
    )

    select
        hop_id,
        arg_max(culprit_hop_id, steps) as culprit_hop_id,
        arg_max(judging_hop_id, steps) as judging_hop_id,
    from chain
    group by hop_id
),

-- a host as a caller in the mesh wrote it, where its proxy answered before it chose a cluster: a Service's short name stands
-- for one of the caller's namespace, and two labels are a Service only where the logs know it
asked as (
    select
        caused.hop_id,
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
        caused.*,
        case
            when caused.own_cause in ('slow_upstream', 'slow_endpoint', 'retried')
                then {'cause': caused.own_cause, 'rule': caused.own_rule, 'candidates': caused.own_candidates,
                    'culprit': caused.own_culprit}
            else {'cause': judging.own_cause, 'rule': judging.own_rule, 'candidates': judging.own_candidates,
                'culprit': judging.own_culprit}
        end as verdict,
        blamed.culprit_hop_id,
        coalesce(culprit.service, asked.service) as culprit_server,
        culprit.client_service as culprit_client,
        culprit.client_reporter as culprit_client_reporter,
    from caused
    left join blamed using (hop_id)
    left join caused as culprit on blamed.culprit_hop_id = culprit.hop_id
    left join asked on blamed.culprit_hop_id = asked.hop_id
    left join caused as judging on blamed.judging_hop_id = judging.hop_id
),

sided as (
    select
        judged.*,
        verdict.cause as cause,
        case when verdict.cause = 'unknown' then verdict.candidates end as candidates,
        verdict.rule as rule,
        -- a rule that leaves the cause open may leave open, too, who has to change something
        case coalesce(verdict.culprit, causes.culprit)
            when 'server' then culprit_server
            -- who calls a gateway is outside the mesh, and has no name in it
            when 'client' then
                case when not (verdict.cause in ('client_gone', 'bad_request') and culprit_client_reporter = 'gateway')
                    then culprit_client end
        end as culprit_service,
        case when client_duration_ms is not null and server_duration_ms is not null
            then greatest(0, client_duration_ms - server_duration_ms) end as network_ms,
        -- what a proxy answered for its application, or broke off, tells nothing of the application's time
        case when server_upstream_service_time_ms is not null
            then least(server_duration_ms - below_ms, greatest(0, server_upstream_service_time_ms - below_ms)) end as app_ms,
    from judged
    left join causes on verdict.cause = causes.cause
),

-- before the head of the answer the request's body arrives, and after it the answer's goes out: what both proxies spent
-- beside their wait for that head is the bodies', and what the server's spent alone is its own
parted as (
    select
        *,
        server_duration_ms - app_ms - below_ms as rest_ms,
        case when client_upstream_service_time_ms is not null and app_ms is not null then least(
            server_duration_ms - app_ms - below_ms,
            greatest(0, client_duration_ms - client_upstream_service_time_ms),
            greatest(0, server_duration_ms - server_upstream_service_time_ms)
        ) end as body_ms,
    from sided
)

select
    hop_id,
    call_id,
    request_id,
    started_at,
    kind,
    method,
    path,
    authority,
    protocol,
    client_reporter,
    client_address,
    client_pod,
    client_service,
    server_address,
    server_pod,
    service,
    cluster_subset,
    upstream_cluster,
    upstream_host,
    route_name,
    client_started_at,
    client_ended_at,
    client_duration_ms,
    client_upstream_service_time_ms,
    client_response_code,
    client_flags,
    client_response_code_details,
    client_transport_failure_reason,
    client_bytes_received,
    client_bytes_sent,
    client_source,
    client_line_number,
    server_started_at,
    server_ended_at,
    server_duration_ms,
    server_upstream_service_time_ms,
    server_response_code,
    server_flags,
    server_response_code_details,
    server_transport_failure_reason,
    server_bytes_sent,
    server_source,
    server_line_number,
    network_ms,
    rest_ms - coalesce(body_ms, 0) as proxy_ms,
    body_ms,
    app_ms,
    below_ms,
    link,
    attempt,
    attempts,
    parent_hop_id,
    is_error,
    cause,
    candidates,
    rule,
    culprit_service,
    culprit_hop_id,
from parted
cross join session_window
where
    (since is null or started_at >= since)
    and (until is null or started_at < until)
