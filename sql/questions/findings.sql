-- what went wrong, the finding that cost the most requests first
-- $limit bigint = 20: how many rows at most
with

findings as (
    select * from diagnoses
),

-- a failed request belongs to the finding whose call its failure began with
roots as (
    select hops.culprit_hop_id
    from traces
    -- by number: the ids of all hops would have to be written for it
    inner join numbered_hops as hops on ('0x' || traces.trace_id)::ubigint = hops.hop_number
    where traces.is_error
),

failed as (
    select
        hops.cause,
        hops.candidates,
        hops.culprit_service,
        hops.service,
        hops.cluster_subset,
        count(*) as failed_requests,
    from roots
    inner join numbered_hops as hops on ('0x' || roots.culprit_hop_id)::ubigint = hops.hop_number
    group by all
),

-- what the mesh's own configuration says of it, where it was read
configured as (
    select
        diagnosis_id,
        list(
            -- a policy's rule or a list of matches may go on for long
            case when length(cited) > 400 then left(cited, 399) || '…' else cited end || coalesce(' (seen: ' || observed || ')', '') || coalesce('; ' || change, '')
            || case when is_later then ' [as read after the window]' else '' end
            order by place
        ) as configuration,
    from citations
    where place <= 3 and (is_set is not false or place = 1)
    group by diagnosis_id
),

counted as (
    select
        findings.*,
        coalesce(failed.failed_requests, 0) as failed_requests,
        coalesce(configured.configuration, []) as configuration,
    from findings
    left join configured using (diagnosis_id)
    left join failed
        on findings.cause = failed.cause
        and findings.candidates is not distinct from failed.candidates
        and findings.culprit_service is not distinct from failed.culprit_service
        and findings.service is not distinct from failed.service
        and findings.cluster_subset is not distinct from failed.cluster_subset
),

ranked as (
    select
        *,
        count(*) over () as found,
    from counted
    order by failed_requests desc, failed_calls desc, calls desc, diagnosis_id
    limit $limit
)

select * from ranked
