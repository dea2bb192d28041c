-- one row per hop at which the failure of a finding began, with what it called and what was seen
-- key: diagnosis_id, hop_id
with

diagnoses as (
    select * from diagnoses
),

began as (
    select
        diagnoses.diagnosis_id,
        hops.* exclude (rule),
        diagnoses.rule,
        -- direction|port|subset|host
        string_split(hops.upstream_cluster, '|') as cluster_parts,
    from diagnoses
    inner join hops
        on diagnoses.cause = hops.cause
        and diagnoses.candidates is not distinct from string_split(array_to_string(hops.candidates, ', '), ', ')
        and diagnoses.culprit_service is not distinct from hops.culprit_service
        and diagnoses.service is not distinct from hops.service
        and diagnoses.cluster_subset is not distinct from hops.cluster_subset
    where hops.hop_id = hops.culprit_hop_id
)

select
    diagnosis_id,
    hop_id,
    call_id,
    kind,
    cause,
    rule,
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
    client_response_code_details,
    server_response_code_details,
    attempts,
from began
