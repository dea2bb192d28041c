-- what changed: every value of every dimension in the incident against the baseline, the largest effect first
-- for pages
-- Scope 'origin' counts the calls where trouble began, of every service; 'requests' counts the requests that entered the
-- mesh and failed or were slow. A value is compared with itself in the baseline; one that is new, with its service; a new
-- service, with the mesh. effect is the harmonic mean of the difference in the value's share and of the part of the
-- whole excess that lies in the value: 1 where all calls with the value went wrong, and no others. Values that tell the same
-- calls apart stand in one row, the others as alike. For latency, times and baseline_times are samples of at most 400 calls.
with

-- of the incident only the time of trouble counts: good calls before and after would make it look smaller
calls as (
    select incident_calls.*
    from incident_calls
    cross join incident_trouble
    where
        period = 'baseline'
        or (incident_calls.started_at >= trouble_since and incident_calls.started_at <= trouble_until)
),

scoped as (
    select
        'origin' as scope,
        period,
        hop_id,
        coalesce(service, 'no service') as of_service,
        coalesce(service, 'no service') as service,
        cluster_subset as subset,
        pod,
        node,
        path_template,
        route_name as route,
        client_service as caller,
        caller_pod,
        caller_node,
        method,
        user_agent_family,
        protocol,
        authority,
        tls,
        server_name,
        failed_here as failed,
        is_slow_here as slow,
        own_ms as took_ms,
    from calls
    union all by name
    select
        'requests' as scope,
        period,
        hop_id,
        coalesce(client_service, service, 'no service') as of_service,
        path_template,
        route_name as route,
        caller_pod,
        caller_node,
        method,
        user_agent_family,
        protocol,
        authority,
        is_error as failed,
        is_slow as slow,
        waited_ms as took_ms,
    from calls
    where is_entry
),

-- the order in which values that tell the same calls apart are named: the most telling dimension first
dimensions as (
    select
        unnest([
            'service', 'subset', 'pod', 'node', 'path_template', 'route', 'user_agent_family', 'caller', 'method',
            'protocol', 'tls', 'server_name', 'authority', 'caller_pod', 'caller_node'
        ]) as dimension,
        generate_subscripts([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 1) as rank,
),

tall as (
    select *
    from scoped unpivot (
        value for dimension in (
            service, subset, pod, node, path_template, route, caller, caller_pod, caller_node, method,
            user_agent_family, protocol, authority, tls, server_name
        )
    )
),

counted as (
    select
        scope,
        of_service,
        dimension,
        value,
        bit_xor(hash(hop_id)) as set_of_calls,
        count(*) filter (where period = 'incident') as calls,
        count(*) filter (where period = 'baseline') as baseline_calls,
        count(*) filter (where period = 'incident' and failed) as failed,
        count(*) filter (where period = 'baseline' and failed) as baseline_failed,
        count(took_ms) filter (where period = 'incident') as timed,
        count(took_ms) filter (where period = 'baseline') as baseline_timed,
        count(*) filter (where period = 'incident' and slow) as slow,
        count(*) filter (where period = 'baseline' and slow) as baseline_slow,
        quantile_cont(took_ms, 0.5) filter (where period = 'incident') as p50_ms,
        quantile_cont(took_ms, 0.5) filter (where period = 'baseline') as baseline_p50_ms,
        quantile_cont(took_ms, 0.95) filter (where period = 'incident') as p95_ms,
        quantile_cont(took_ms, 0.95) filter (where period = 'baseline') as baseline_p95_ms,
        (list(took_ms order by hash(hop_id)) filter (where period = 'incident' and took_ms is not null))[:400] as times,
        (list(took_ms order by hash(hop_id)) filter (where period = 'baseline' and took_ms is not null))[:400]
            as baseline_times,
    from tall
    group by all
),

measured as (
    select
        'errors' as measure,
        scope,
        of_service,
        dimension,
        value,
        set_of_calls,
        calls,
        failed as bad,
        baseline_calls as own_baseline_calls,
        baseline_failed as own_baseline_bad,
        null::double as p50_ms,
        null::double as baseline_p50_ms,
        null::double as p95_ms,
        null::double as baseline_p95_ms,
        null::double[] as times,
        null::double[] as own_baseline_times,
    from counted
    union all
    select
        'latency' as measure,
        scope,
        of_service,
        dimension,
        value,
        set_of_calls,
        timed as calls,
        slow as bad,
        baseline_timed as own_baseline_calls,
        baseline_slow as own_baseline_bad,
        p50_ms,
        baseline_p50_ms,
        p95_ms,
        baseline_p95_ms,
        times,
        baseline_times as own_baseline_times,
    from counted
),

services as (
    select
        measure,
        scope,
        of_service,
        max(own_baseline_calls) as calls,
        max(own_baseline_bad) as bad,
        arg_max(own_baseline_times, own_baseline_calls) as times,
    from measured
    group by all
),

meshes as (
    select
        measure,
        scope,
        sum(calls)::bigint as calls,
        sum(bad)::bigint as bad,
        arg_max(times, calls) as times,
    from services
    group by all
),

compared as (
    select
        measured.*,
        case
            when own_baseline_calls > 0 then 'itself'
            when services.calls > 0 then 'its service'
            when meshes.calls > 0 then 'the mesh'
        end as compared_with,
        case compared_with
            when 'itself' then own_baseline_calls when 'its service' then services.calls else meshes.calls
        end as baseline_calls,
        case compared_with
            when 'itself' then own_baseline_bad when 'its service' then services.bad else meshes.bad
        end as baseline_bad,
        case compared_with
            when 'itself' then own_baseline_times when 'its service' then services.times else meshes.times
        end as baseline_times,
    from measured
    inner join services using (measure, scope, of_service)
    inner join meshes using (measure, scope)
    where measured.calls > 0
),

shared as (
    select
        *,
        bad / calls as share,
        baseline_bad / baseline_calls as baseline_share,
        bad - calls * baseline_bad / baseline_calls as excess,
    from compared
    where compared_with is not null
),

-- the excess of the whole: what its services have above their baselines, less than nothing not counted
wholes as (
    select
        measure,
        scope,
        sum(greatest(0, excess)) as excess,
    from (
        select measure, scope, of_service, arg_max(excess, calls) as excess from shared group by all
    )
    group by measure, scope
),

weighed as (
    select
        shared.*,
        share - baseline_share as difference,
        case when wholes.excess > 0 then least(1, shared.excess / wholes.excess) else 0 end as excess_share,
        case when shared.excess > 0
            then 2 * (share - baseline_share) * excess_share / (share - baseline_share + excess_share)
            else 0
        end as effect,
    from shared
    inner join wholes using (measure, scope)
),

told_apart as (
    select
        weighed.*,
        dimensions.rank,
        list(weighed.dimension || ' = ' || weighed.value) over (
            same rows between unbounded preceding and unbounded following
        ) as named_alike,
        row_number() over same as place,
    from weighed
    inner join dimensions using (dimension)
    window same as (
        partition by measure, scope, of_service, set_of_calls
        order by dimensions.rank, weighed.value
    )
)

select
    measure,
    scope,
    of_service as service,
    dimension,
    value,
    calls,
    bad,
    share,
    compared_with,
    baseline_calls,
    baseline_bad,
    baseline_share,
    difference,
    excess,
    excess_share,
    effect,
    p50_ms,
    baseline_p50_ms,
    p95_ms,
    baseline_p95_ms,
    list_filter(named_alike, lambda name: name <> dimension || ' = ' || value) as alike,
    case when effect > 0 then times end as times,
    case when effect > 0 then baseline_times end as baseline_times,
from told_apart
where place = 1
order by effect desc, excess desc, measure, scope, rank, of_service, value
