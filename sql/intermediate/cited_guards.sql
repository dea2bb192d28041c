-- one row per finding and object that guards or filters its calls: mTLS modes, access policies, filters, egress
-- key: diagnosis_id, kind, namespace, name, field
with

diagnosed as (
    select * from diagnosed_hops
),

selections as (
    select * from mesh_selections
),

---------- mTLS: a pod without a sidecar speaks plain text, whatever a policy asks

bare_pods as (
    select
        mesh_pods.service,
        mesh_pods.namespace,
        mesh_pods.pod,
        array_to_string(mesh_pods.containers, ', ') as containers,
        mesh_objects.snapshot_at,
        mesh_objects.is_later,
    from mesh_pods
    inner join mesh_objects on mesh_objects.kind = 'Pod' and mesh_pods.pod = mesh_objects.name
        and mesh_pods.namespace is not distinct from mesh_objects.namespace
    where mesh_pods.containers <> [] and not list_contains(mesh_pods.containers, 'istio-proxy')
),

without_sidecar as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        'Pod' as kind,
        bare_pods.namespace,
        bare_pods.pod as name,
        'spec.containers' as field,
        bare_pods.containers as value,
        'no sidecar is among them, so it speaks plain text' as says,
        'let its callers'' tls.mode be DISABLE, or inject a sidecar' as change,
        bare_pods.snapshot_at,
        bare_pods.is_later,
    from diagnosed
    inner join bare_pods using (service)
    where diagnosed.cause = 'tls_mismatch'
),

authentications as (
    select distinct
        diagnosed.diagnosis_id,
        2 as place,
        'PeerAuthentication' as kind,
        modes.policy_namespace as namespace,
        modes.policy as name,
        coalesce(modes.field, 'spec.mtls.mode') as field,
        case when modes.is_set then modes.mode end as value,
        case when not modes.is_set then 'Istio''s default is PERMISSIVE' end as says,
        'let it agree with the callers'' tls.mode' as change,
        modes.snapshot_at,
        modes.is_later,
    from diagnosed
    inner join mesh_authentications as modes
        on diagnosed.service = modes.service and coalesce(diagnosed.port, modes.port) = modes.port
    anti join bare_pods on diagnosed.service = bare_pods.service
    where diagnosed.cause = 'tls_mismatch'
),

---------- access: the policy that the details name, else those that select the server's pods

denials as (
    select distinct
        diagnosed.diagnosis_id,
        diagnosed.service,
        diagnosed.path,
        diagnosed.blame_rule,
        regexp_extract(
            coalesce(
                diagnosed.server_response_code_details, lines.connection_termination_details,
                diagnosed.client_response_code_details
            ),
            'ns\[([^\]]+)\]-policy\[([^\]]+)\]-rule\[(\d+)\]',
            ['namespace', 'name', 'rule']
        ) as policy,
    from diagnosed
    -- a raw connection's denial stands where it ended
    left join access_logs as lines
        on diagnosed.server_source = lines.source and diagnosed.server_line_number = lines.line_number
    where diagnosed.cause in ('denied', 'authz_down')
),

named_policies as (
    select
        denials.diagnosis_id,
        1 as place,
        'AuthorizationPolicy' as kind,
        policies.namespace,
        policies.policy as name,
        policies.field,
        policies.conditions::varchar as value,
        'its action is ' || policies.action as says,
        'change the rule, if the call is meant to be allowed' as change,
        policies.snapshot_at,
        policies.is_later,
    from denials
    inner join mesh_authorizations as policies
        on denials.policy.namespace = policies.namespace
        and denials.policy.name = policies.policy
        -- Istio counts from 0
        and try_cast(denials.policy.rule as integer) + 1 = policies.rule
),

-- what an external service decides, and what ALLOW policies let in, by the rules that take the path
asked_policies as (
    select distinct
        denials.diagnosis_id,
        2 as place,
        'AuthorizationPolicy' as kind,
        policies.namespace,
        policies.policy as name,
        case when policies.action = 'CUSTOM' then 'spec.provider.name' else coalesce(policies.field, 'spec.rules') end
            as field,
        case when policies.action = 'CUSTOM' then policies.provider
            else coalesce(policies.conditions::varchar, 'none') end as value,
        case
            when policies.action = 'ALLOW' then 'its action is ALLOW, and it does not take these calls'
            when denials.blame_rule = 'authorizer_refused' then 'this service refused'
            else 'this service gave no usable answer'
        end as says,
        case
            when policies.action = 'ALLOW' then 'add the caller to a rule, if it is meant to be allowed'
            when denials.blame_rule = 'authorizer_refused' then 'see why that service refuses'
            else 'restore that service, or say in meshConfig.extensionProviders what happens while it is down'
        end as change,
        policies.snapshot_at,
        policies.is_later,
    from denials
    inner join selections on denials.service = selections.service and selections.kind = 'AuthorizationPolicy'
    inner join mesh_authorizations as policies
        on selections.namespace = policies.namespace and selections.name = policies.policy
    where
        (policies.action = 'ALLOW' and denials.blame_rule = 'no_allow_rule_matched')
        or (
            policies.action = 'CUSTOM'
            and denials.blame_rule in ('authorizer_refused', 'authorizer_failed', 'custom_action_broken')
            and coalesce(list_bool_or(list_transform(
                json_extract_string(policies.conditions, '$.to[*].operation.paths[*]'),
                lambda taken: case
                    when taken like '%*' then starts_with(denials.path, rtrim(taken, '*'))
                    when taken like '*%' then ends_with(denials.path, ltrim(taken, '*'))
                    else regexp_replace(denials.path, '\?.*$', '') = taken
                end
            )), true)
        )
),

tokens as (
    select distinct
        denials.diagnosis_id,
        1 as place,
        'RequestAuthentication' as kind,
        fields.namespace,
        fields.name,
        fields.field,
        fields.value,
        case when denials.blame_rule = 'jwks_unavailable' then 'its keys were not to be had'
            else 'tokens of this issuer are asked for' end as says,
        case when denials.blame_rule = 'jwks_unavailable' then 'let the proxy reach it, or give jwks'
            else 'compare the token''s issuer, audience and expiry' end as change,
        fields.snapshot_at,
        fields.is_later,
    from denials
    inner join selections on denials.service = selections.service and selections.kind = 'RequestAuthentication'
    inner join mesh_fields as fields
        on fields.kind = 'RequestAuthentication'
        and selections.namespace = fields.namespace
        and selections.name = fields.name
    where
        (denials.blame_rule = 'token_refused' and regexp_full_match(fields.field, 'spec\.jwtRules\[\d+\]\.issuer'))
        or (denials.blame_rule = 'jwks_unavailable' and regexp_full_match(fields.field, 'spec\.jwtRules\[\d+\]\.jwksUri'))
),

---------- filters: patches of EnvoyFilters at either side that do what was seen

patches as (
    select distinct
        diagnosed.diagnosis_id,
        cited_patches.place,
        'EnvoyFilter' as kind,
        fields.namespace,
        fields.name,
        fields.field,
        fields.value,
        null as says,
        cited_patches.change,
        fields.snapshot_at,
        fields.is_later,
    from diagnosed
    inner join cited_patches
        on diagnosed.blame_rule = cited_patches.rule
        and (
            cited_patches.details is null
            or regexp_matches(
                concat_ws(' ', diagnosed.client_response_code_details, diagnosed.server_response_code_details),
                cited_patches.details
            )
        )
    inner join selections
        on selections.service in (diagnosed.service, diagnosed.client_service) and selections.kind = 'EnvoyFilter'
    inner join mesh_fields as fields
        on fields.kind = 'EnvoyFilter'
        and selections.namespace = fields.namespace
        and selections.name = fields.name
        and regexp_full_match(fields.field, 'spec\.configPatches\[\d+\]\.patch\.value\..*')
        -- the leaf itself, or the filter by its name
        and (
            regexp_matches(fields.field, cited_patches.patch)
            or (fields.field like '%.value.name' and regexp_matches(fields.value, cited_patches.patch))
        )
    qualify cited_patches.place = min(cited_patches.place) over (partition by diagnosed.diagnosis_id, fields.name)
),

---------- egress

blocked as (
    select
        diagnosed.diagnosis_id,
        2 as place,
        'ServiceEntry' as kind,
        null as namespace,
        null as name,
        'spec.hosts' as field,
        null as value,
        'no ServiceEntry and no Service has the host ' || diagnosed.authority as says,
        'add a ServiceEntry, if the host is meant to be reached' as change,
        known.snapshot_at,
        known.is_later,
    from (select distinct diagnosis_id, lower(regexp_replace(authority, ':\d+$', '')) as authority from diagnosed
        where cause = 'blocked_egress' and authority is not null) as diagnosed
    cross join (
        select max(snapshot_at) as snapshot_at, bool_or(is_later) as is_later from mesh_objects
        where kind in ('Service', 'ServiceEntry')
    ) as known
    where known.snapshot_at is not null and diagnosed.authority not in (select host from mesh_services)
    qualify row_number() over (partition by diagnosed.diagnosis_id order by diagnosed.authority) = 1
),

-- of several Sidecars the one with the labels of the client's pods counts, then its namespace's, then the mesh's
governing as (
    select
        selections.service,
        mesh_sidecars.*,
    from selections
    inner join mesh_sidecars
        on selections.namespace = mesh_sidecars.namespace and selections.name = mesh_sidecars.sidecar
    where selections.kind = 'Sidecar'
    qualify selections.rank = min(selections.rank) over (partition by selections.service)
),

restricting as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        'Sidecar' as kind,
        governing.namespace,
        governing.sidecar as name,
        'spec.outboundTrafficPolicy.mode' as field,
        governing.outbound_mode as value,
        'hosts that the registry does not know are blocked' as says,
        'let it be ALLOW_ANY, if any host may be reached' as change,
        governing.snapshot_at,
        governing.is_later,
    from diagnosed
    inner join governing on diagnosed.client_service = governing.service
    where diagnosed.cause = 'blocked_egress' and governing.outbound_mode = 'REGISTRY_ONLY'
),

---------- what the server's own sidecar lets through

limits as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        'Sidecar' as kind,
        split_part(settings.object, '.', 2) as namespace,
        split_part(settings.object, '.', 1) as name,
        settings.path as field,
        settings.value,
        'the server''s own sidecar lets no more through to the application' as says,
        'raise it above what is under way at once' as change,
        settings.snapshot_at,
        settings.is_later,
    from diagnosed
    inner join mesh_inbound_settings as settings
        on diagnosed.service = settings.service
        -- the callers' lines have the port: without any each pool may be it
        and coalesce(diagnosed.port = settings.port, true)
    where
        diagnosed.blame_rule = 'breaker_open'
        and list_contains(diagnosed.server_flags, 'UO')
        and settings.kind = 'Sidecar'
        and settings.is_set
        and settings.field in (
            'connectionPool.http.http1MaxPendingRequests',
            'connectionPool.http.http2MaxRequests',
            'connectionPool.tcp.maxConnections'
        )
),

guards as (
    select * from without_sidecar
    union all
    select * from authentications
    union all
    select * from named_policies
    union all
    select * from asked_policies
    union all
    select * from tokens
    union all
    select * from patches
    union all
    select * from blocked
    union all
    select * from restricting
    union all
    select * from limits
)

select * from guards
qualify row_number() over (partition by diagnosis_id, kind, namespace, name, field order by place, value) = 1
