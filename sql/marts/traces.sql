-- one row per request that entered the mesh, or that a pod began on its own; a repeated request id makes several
-- key: trace_id
with

spans as (
    select * from trace_spans
),

hops as (
    select * from hops
),

-- a pod that began a request while it served another one has probably not passed the request id on
serving as (
    select server_address, server_started_at, server_ended_at, hop_id from hops
    where server_started_at is not null and kind <> 'tcp'
),

begun_by_pods as (
    select
        spans.trace_id,
        hops.client_address,
        hops.started_at,
    from spans
    inner join hops using (hop_id)
    where spans.hop_id = spans.trace_id and hops.kind <> 'tcp' and hops.client_reporter <> 'gateway' and hops.client_source is not null
),

broken as (
    select
        begun_by_pods.trace_id,
        serving.hop_id as serving_hop_id,
        serving.server_started_at as serving_since,
    from begun_by_pods
    inner join serving
        on begun_by_pods.client_address = serving.server_address
        and begun_by_pods.started_at between serving.server_started_at and serving.server_ended_at
),

-- for which of them it was made, the time alone has to tell: for the one that came last, and each is as likely
inferred as (
    select
        trace_id,
        arg_max(serving_hop_id, (serving_since, serving_hop_id)) as inferred_parent_hop_id,
        1 / count(*) as inferred_confidence,
    from broken
    group by trace_id
),

broken_traces as (
    select trace_id, from broken
    union
    select spans.trace_id, from broken
    inner join spans on broken.serving_hop_id = spans.hop_id
),

-- requests that share an id and a pod at one moment: whose call it was is a guess
guessed_traces as (
    select distinct spans.trace_id
    from spans
    inner join nesting using (hop_id)
    where nesting.is_unsure
),

logging_addresses as (
    select distinct server_address from serving
),

sides as (
    select
        spans.trace_id,
        bool_or(
            hops.link = 'server_only'
            or (
                hops.link = 'client_only'
                and hops.upstream_host is not null
                and hops.client_response_code > 0
                and not list_has_any(hops.client_flags, ['UF'])
                and hops.server_address in (select server_address from logging_addresses)
            )
        ) as misses_a_side,
    from spans
    inner join hops using (hop_id)
    group by spans.trace_id
),

summed as (
    select
        trace_id,
        count(*) as hops,
        count(distinct service) as services,
        -- what went wrong without failing the request: attempts that were repeated, injected delays
        arg_min(
            {'cause': cause, 'candidates': candidates, 'culprit_service': culprit_service}, started_at
        ) filter (where cause is not null) as first_verdict,
    from spans
    group by trace_id
),

flagged as (
    select
        trace_id,
        string_agg(distinct flag, ',' order by flag) as flags,
    from (
        select
            spans.trace_id,
            unnest(list_concat(coalesce(hops.client_flags, []), coalesce(hops.server_flags, []))) as flag,
        from spans
        inner join hops using (hop_id)
    )
    group by trace_id
),

joined as (
    select
        root.trace_id,
        root.request_id,
        root.started_at,
        root.duration_ms,
        root.client_service as entry_service,
        root.service as root_service,
        root.kind,
        root.method,
        root.path,
        summed.hops,
        summed.services,
        root.response_code,
        root.is_error,
        coalesce(root.cause, first_verdict.cause) as cause,
        case when root.cause is null then first_verdict.candidates else root.candidates end as candidates,
        case when root.cause is null then first_verdict.culprit_service else root.culprit_service end as culprit_service,
        flagged.flags,
        not coalesce(sides.misses_a_side, false) and broken_traces.trace_id is null
            and guessed_traces.trace_id is null as is_complete,
        inferred.inferred_parent_hop_id,
        inferred.inferred_confidence,
    from spans as root
    inner join summed using (trace_id)
    left join flagged using (trace_id)
    left join sides using (trace_id)
    left join broken_traces using (trace_id)
    left join guessed_traces using (trace_id)
    left join inferred using (trace_id)
    where root.hop_id = root.trace_id
)

select * from joined
