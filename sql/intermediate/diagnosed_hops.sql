-- one row per hop at which the failure of a finding began, with what it called and what was seen
-- key: diagnosis_id, hop_id
with

diagnoses as (
    select * from diagnoses
),

-- a call that only took too long for a caller further up has no cause of its own: theirs counts
origins as (
    select
        culprit_hop_id as hop_id,
        arg_min(
            {
                'cause': cause,
                'candidates': array_to_string(candidates, ', '),
                'rule': rule,
                'culprit_service': culprit_service,
            },
            hop_id <> culprit_hop_id
        ) as verdict,
    from hops
    -- without a configuration nothing is cited, and nothing need be looked up
    where cause is not null and exists (from mesh_snapshots)
    group by culprit_hop_id
),

began as (
    select
        diagnoses.diagnosis_id,
        hops.* exclude (cause, rule, culprit_service),
        origins.verdict.cause as cause,
        -- one finding may gather several ways to one cause
        origins.verdict.rule as blame_rule,
        origins.verdict.culprit_service as culprit_service,
        -- direction|port|subset|host
        string_split(hops.upstream_cluster, '|') as cluster_parts,
    from origins
    inner join hops using (hop_id)
    inner join diagnoses
        on origins.verdict.cause = diagnoses.cause
        and string_split(origins.verdict.candidates, ', ') is not distinct from diagnoses.candidates
        and origins.verdict.culprit_service is not distinct from diagnoses.culprit_service
        and hops.service is not distinct from diagnoses.service
        and hops.cluster_subset is not distinct from diagnoses.cluster_subset
)

select
    diagnosis_id,
    hop_id,
    call_id,
    kind,
    cause,
    blame_rule,
    culprit_service,
    service,
    client_service,
    client_pod,
    client_reporter,
    server_pod,
    method,
    path,
    authority,
    upstream_cluster,
    upstream_host,
    route_name,
    case when len(cluster_parts) = 4 then cluster_parts[4]
        else regexp_replace(service, '^([^.]+\.[^.]+)$', '\1.svc.cluster.local') end as host,
    case when len(cluster_parts) = 4 then try_cast(cluster_parts[2] as integer) end as port,
    cluster_subset as subset,
    client_started_at,
    client_ended_at,
    client_duration_ms,
    server_duration_ms,
    client_flags,
    server_flags,
    client_response_code_details,
    server_response_code_details,
    server_source,
    server_line_number,
    attempts,
from began
