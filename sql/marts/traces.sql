-- one row per request that entered the mesh, or that a pod began on its own; a repeated request id makes several
-- key: trace_id
with

places as (
    select * from trace_places
),

-- what went wrong is asked of few hops: all of a day's would not fit into memory
failed as (
    select
        hop_number,
        cause,
        candidates,
        culprit_service,
    from numbered_hops
    where hop_number in (select hop_number from blames) and cause is not null
),

-- a pod that began a request while it served another one has probably not passed the request id on
begun_by_pods as (
    select
        trace_number,
        calls.client_address,
        calls.started_at,
        epoch(calls.started_at)::bigint // 10 as tenth,
    from places
    inner join calls using (hop_number)
    where
        hop_number = trace_number
        and calls.kind <> 'tcp'
        and calls.client_reporter <> 'gateway'
        and calls.client_source is not null
),

serving as (
    select
        hop_number as serving_number,
        server_address,
        server_started_at,
        server_ended_at,
        server_ended_at > server_started_at + interval 1 minute as is_long,
    from calls_in_window
    where
        server_started_at is not null
        and kind <> 'tcp'
        and server_address in (select client_address from begun_by_pods)
),

-- comparing all that a pod did with all that it served would not end: every ten seconds by themselves, but for streams
serving_by_tenths as (
    select
        *,
        unnest(generate_series(
            epoch(server_started_at)::bigint // 10, epoch(server_ended_at)::bigint // 10
        )) as tenth,
    from serving
    where not is_long
),

broken as (
    select
        begun_by_pods.trace_number,
        serving.serving_number,
        serving.server_started_at as serving_since,
    from begun_by_pods
    inner join serving_by_tenths as serving
        on begun_by_pods.client_address = serving.server_address
        and begun_by_pods.tenth = serving.tenth
        and begun_by_pods.started_at between serving.server_started_at and serving.server_ended_at
    union all
    select
        begun_by_pods.trace_number,
        serving.serving_number,
        serving.server_started_at as serving_since,
    from begun_by_pods
    inner join (select *, from serving where is_long) as serving
        on begun_by_pods.client_address = serving.server_address
        and begun_by_pods.started_at between serving.server_started_at and serving.server_ended_at
),

-- for which of them it was made, the time alone has to tell: for the one that came last, and each is as likely
inferred as (
    select
        trace_number,
        arg_max(serving_number, (serving_since, serving_number)) as inferred_parent_number,
        1 / count(*) as inferred_confidence,
    from broken
    group by trace_number
),

broken_traces as (
    select trace_number, from broken
    union
    select places.trace_number, from broken
    inner join places on broken.serving_number = places.hop_number
),

-- requests that share an id and a pod at one moment: whose call it was is a guess
guessed_traces as (
    select distinct places.trace_number
    from places
    inner join nesting using (hop_number)
    where nesting.is_unsure
),

logging_addresses as (
    select distinct server_address from calls_in_window
    where server_started_at is not null and kind <> 'tcp'
),

-- a number and a yes or no of each hop: their join with all hops has to be held
sides as (
    select
        hop_number,
        case when service is not null then hash(service) end as service_key,
        link = 'server_only'
        or (
            link = 'client_only'
            and upstream_host is not null
            and client_response_code > 0
            and not list_contains(coalesce(string_split(client_response_flags, ','), []), 'UF')
            and server_address in (select server_address from logging_addresses)
        ) as misses_a_side,
    from calls
),

summed as (
    select
        trace_number,
        count(*) as hops,
        count(distinct service_key) as services,
        bool_or(misses_a_side) as misses_a_side,
    from places
    inner join sides using (hop_number)
    group by trace_number
),

-- what went wrong without failing the request: attempts that were repeated, injected delays
verdicts as (
    select
        trace_number,
        arg_min(
            {'cause': cause, 'candidates': candidates, 'culprit_service': culprit_service}, began_at
        ) as first_verdict,
    from places
    inner join failed using (hop_number)
    group by trace_number
),

flagged as (
    select
        trace_number,
        string_agg(distinct flag, ',' order by flag) as flags,
    from (
        select
            places.trace_number,
            unnest(string_split(concat_ws(',', client_response_flags, server_response_flags), ',')) as flag,
        from places
        inner join calls using (hop_number)
        where client_response_flags is not null or server_response_flags is not null
    )
    group by trace_number
),

joined as (
    select
        format('{:016x}', root.hop_number) as trace_id,
        root.request_id,
        places.began_at as started_at,
        coalesce(root.client_duration_ms, root.server_duration_ms) as duration_ms,
        root.client_service as entry_service,
        root.service as root_service,
        root.kind,
        root.method,
        root.path,
        summed.hops,
        summed.services,
        coalesce(root.client_response_code, root.server_response_code) as response_code,
        root.is_error,
        coalesce(failed.cause, first_verdict.cause) as cause,
        case when failed.cause is null then first_verdict.candidates else failed.candidates end as candidates,
        case when failed.cause is null then first_verdict.culprit_service else failed.culprit_service end as culprit_service,
        flagged.flags,
        not coalesce(misses_a_side, false) and broken_traces.trace_number is null
            and guessed_traces.trace_number is null as is_complete,
        format('{:016x}', inferred_parent_number) as inferred_parent_hop_id,
        inferred_confidence,
    from places
    inner join calls as root using (hop_number)
    left join failed using (hop_number)
    inner join summed using (trace_number)
    left join verdicts using (trace_number)
    left join flagged using (trace_number)
    left join broken_traces using (trace_number)
    left join guessed_traces using (trace_number)
    left join inferred using (trace_number)
    where hop_number = trace_number
)

select * from joined
