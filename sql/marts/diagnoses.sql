-- one row per finding: a cause or its candidates, the service that has to change something, and the call where it shows
-- key: diagnosis_id
-- A call that only passed a failure on is not counted: every finding counts the calls where its failure began.
with

-- few calls go wrong: of a day's, only they and those that they point to are looked at
concerned as (
    select hop_number from blames
    union
    select culprit_number as hop_number from blames
),

hops as materialized (
    select * from numbered_hops
    where hop_number in (select hop_number from concerned)
),

-- where failures began, with the cause that the calls above them were given
origins as (
    select
        culprit_hop_id,
        arg_min(
            {
                'cause': cause,
                'candidates': array_to_string(candidates, ', '),
                'rule': rule,
                'culprit_service': culprit_service,
            },
            hop_id <> culprit_hop_id
        ) as verdict,
        bool_or(is_error) and bool_and(cause <> 'retried') as is_error,
    from hops
    where cause is not null
    group by culprit_hop_id
),

-- an earlier attempt has its server's line; what its client saw in the end stands on the last one
last_attempts as (
    select
        client_source as last_source,
        client_line_number as last_line_number,
        client_response_code as last_response_code,
        client_response_flags as last_flags,
        client_response_code_details as last_response_code_details,
    from calls_in_window
    where
        is_last_attempt
        and client_source is not null
        and call_number in (select call_number from calls where hop_number in (select hop_number from concerned))
),

findings as (
    select
        verdict.cause as cause,
        verdict.candidates as candidates,
        verdict.rule as rule,
        verdict.culprit_service as culprit_service,
        hops.* exclude (cause, candidates, rule, culprit_service, is_error),
        origins.is_error,
        array_to_string(
            list_sort(list_distinct(list_concat(coalesce(client_flags, []), coalesce(server_flags, [])))), ','
        ) as logged_flags,
        case when last_source is not null then concat_ws(
            ' ',
            last_response_code,
            nullif(last_flags, ''),
            last_response_code_details
        ) end as client_evidence,
        case when server_source is not null then concat_ws(
            ' ',
            server_response_code,
            nullif(array_to_string(server_flags, ','), ''),
            server_response_code_details
        ) end as server_evidence,
    from origins
    inner join hops on origins.culprit_hop_id = hops.hop_id
    left join last_attempts
        on hops.client_source = last_source and hops.client_line_number = last_line_number
),

---------- what the two sides logged, the most frequent first

said as (
    select
        cause,
        candidates,
        culprit_service,
        service,
        cluster_subset,
        'client' as side,
        client_evidence as evidence,
        count(distinct call_id) as lines,
    from findings
    where client_evidence is not null
    group by all
    union all
    select
        cause,
        candidates,
        culprit_service,
        service,
        cluster_subset,
        'server' as side,
        server_evidence as evidence,
        count(*) as lines,
    from findings
    where server_evidence is not null
    group by all
),

evidence as (
    select
        cause,
        candidates,
        culprit_service,
        service,
        cluster_subset,
        string_agg(lines || ' x ' || evidence, '; ' order by lines desc, evidence)
            filter (where side = 'client') as client_evidence,
        string_agg(lines || ' x ' || evidence, '; ' order by lines desc, evidence)
            filter (where side = 'server') as server_evidence,
    from (
        select *, from said
        qualify row_number() over (
            partition by cause, candidates, culprit_service, service, cluster_subset, side
            order by lines desc, evidence
        ) <= 3
    )
    group by all
),

edge_calls as (
    select
        client_service,
        service,
        count(*) as calls,
    from calls_in_window
    where is_last_attempt
    group by client_service, service
),

findings_of_edges as (
    select distinct cause, candidates, culprit_service, service, cluster_subset, client_service,
    from findings
),

edges as (
    select
        one.cause,
        one.candidates,
        one.culprit_service,
        one.service,
        one.cluster_subset,
        sum(edge_calls.calls)::bigint as edge_calls,
    from findings_of_edges as one
    inner join edge_calls
        on one.client_service is not distinct from edge_calls.client_service
        and one.service is not distinct from edge_calls.service
    group by all
),

counted as (
    select
        cause,
        candidates,
        culprit_service,
        service,
        cluster_subset,
        string_agg(distinct logged_flags, ' ' order by logged_flags) filter (where logged_flags <> '') as flags,
        case
            when bool_or(client_source is not null) and bool_or(server_source is not null) then 'both'
            when bool_or(client_source is not null) then 'client'
            else 'server'
        end as seen_at,
        count(distinct call_id) as calls,
        count(distinct call_id) filter (where is_error) as failed_calls,
        count(*) as attempts,
        count(distinct call_id) filter (where client_source is not null) as client_lines,
        count(server_source) as server_lines,
        min(started_at) as first_seen_at,
        max(started_at) as last_seen_at,
        list(distinct client_service order by client_service) filter (where client_service is not null) as callers,
        list(distinct client_pod order by client_pod) filter (where client_pod is not null) as client_pods,
        list(distinct server_pod order by server_pod) filter (where server_pod is not null) as server_pods,
        mode(rule order by rule) as rule,
        mode(upstream_cluster) as upstream_cluster,
        mode(client_service) as client_service,
        (list(distinct request_id order by request_id) filter (where request_id is not null))[:3]
            as example_request_ids,
    from findings
    group by cause, candidates, culprit_service, service, cluster_subset
),

-- names from the log go into a command only where they can be nothing but names
nameable as (
    select
        *,
        case when regexp_full_match(coalesce(culprit_service, service), '[A-Za-z0-9._-]+')
            then coalesce(culprit_service, service) end as target,
        case when regexp_full_match(client_service, '[A-Za-z0-9._-]+') then client_service end as caller,
        case when regexp_full_match(upstream_cluster, '[A-Za-z0-9._|*-]+') then upstream_cluster end as target_cluster,
        list_filter(example_request_ids, lambda id: regexp_full_match(id, '[A-Za-z0-9._-]+'))[1] as example,
    from counted
),

-- where the cause is open, so is what to change: what its candidates implicate
implicated as (
    select
        candidate_lists.candidates,
        string_agg(distinct causes.resource, ', ' order by causes.resource) as resource,
        string_agg(distinct causes.field, ', ' order by causes.field) as field,
    from (select distinct candidates, unnest(string_split(candidates, ', ')) as cause from nameable) as candidate_lists
    inner join causes using (cause)
    group by candidate_lists.candidates
),

explained as (
    select
        left(md5(concat_ws(
            '/', nameable.cause, nameable.candidates, nameable.culprit_service, nameable.service,
            nameable.cluster_subset
        )), 8) as diagnosis_id,
        nameable.cause,
        causes.title,
        string_split(nameable.candidates, ', ') as candidates,
        nameable.rule,
        rules.says as because,
        nameable.culprit_service,
        nameable.service,
        nameable.cluster_subset,
        nameable.flags,
        nameable.seen_at,
        nameable.calls,
        nameable.failed_calls,
        nameable.attempts,
        nameable.client_lines,
        nameable.server_lines,
        edges.edge_calls,
        nameable.calls / edges.edge_calls as edge_rate,
        nameable.first_seen_at,
        nameable.last_seen_at,
        nameable.callers,
        nameable.client_pods,
        nameable.server_pods,
        evidence.client_evidence,
        evidence.server_evidence,
        coalesce(own_rules.resource, implicated.resource, causes.resource) as resource,
        case
            when own_rules.resource is not null then own_rules.field
            else coalesce(own_rules.field, implicated.field, causes.field)
        end as field,
        causes.advice,
        replace(replace(replace(replace(replace(replace(replace(
            causes.next_command,
            '{service_fqdn}', coalesce(target || '.svc.cluster.local', '<service fqdn>')),
            '{client_service}', coalesce(split_part(caller, '.', 1), '<client service>')),
            '{client_namespace}', coalesce(nullif(split_part(caller, '.', 2), ''), '<client namespace>')),
            '{service}', coalesce(split_part(target, '.', 1), '<service>')),
            '{namespace}', coalesce(nullif(split_part(target, '.', 2), ''), '<namespace>')),
            '{cluster}', coalesce(target_cluster, '<cluster>')),
            '{gateway}', coalesce(split_part(caller, '.', 1), '<gateway>')
        ) as own_command,
        -- a command whose names nobody knows helps nobody
        case
            when not contains(own_command, '<') then own_command
            when example is not null then 'meshlog diagnose --explain ' || example
            else 'istioctl analyze --all-namespaces'
        end as next_command,
        nameable.example_request_ids,
    from nameable
    left join implicated on nameable.candidates = implicated.candidates
    left join causes using (cause)
    left join rules on nameable.rule = rules.rule
    -- what a rule implicates stands for its own cause only: a retry is another matter than the failure that it hid
    left join rules as own_rules on nameable.rule = own_rules.rule and nameable.cause = own_rules.cause
    left join edges
        on nameable.cause = edges.cause
        and nameable.candidates is not distinct from edges.candidates
        and nameable.culprit_service is not distinct from edges.culprit_service
        and nameable.service is not distinct from edges.service
        and nameable.cluster_subset is not distinct from edges.cluster_subset
    left join evidence
        on nameable.cause = evidence.cause
        and nameable.candidates is not distinct from evidence.candidates
        and nameable.culprit_service is not distinct from evidence.culprit_service
        and nameable.service is not distinct from evidence.service
        and nameable.cluster_subset is not distinct from evidence.cluster_subset
)

select * exclude (own_command) from explained
order by failed_calls desc, calls desc, diagnosis_id
