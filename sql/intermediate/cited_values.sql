-- one row per finding and setting that bears on it: the object, the field and the value in effect
-- key: diagnosis_id, setting, namespace, name, field, value
-- A rule's field comes from its VirtualService, else from the proxies' routes; a policy's from mesh_effective_settings.
with

seen as (
    select
        diagnosis_id,
        cause,
        blame_rule,
        bool_and(kind = 'tcp') as is_raw,
    from diagnosed_hops
    group by diagnosis_id, cause, blame_rule
),

wanted as (
    select
        seen.diagnosis_id,
        cited_settings.rule as cited_rule,
        cited_settings.place,
        cited_settings.field as setting,
        split_part(cited_settings.field, '.', 1) in ('connectionPool', 'outlierDetection', 'loadBalancer', 'tls')
            as is_policy,
        cited_settings.observed,
        cited_settings.change,
        mesh_defaults.default_value,
        mesh_defaults.says as default_says,
    from seen
    inner join cited_settings
        on seen.cause = cited_settings.cause
        and (cited_settings.rule is null or cited_settings.rule = seen.blame_rule)
    left join mesh_defaults on cited_settings.field = mesh_defaults.field
    -- a raw connection has no HTTP route, and no limits of HTTP
    where not seen.is_raw or (is_policy and cited_settings.field not like 'connectionPool.http.%')
    qualify row_number() over (
        partition by seen.diagnosis_id, cited_settings.field, cited_settings.rule order by cited_settings.place
    ) = 1
),

---------- policies: of the cluster that was called

clusters as (
    select
        diagnosis_id,
        host,
        port,
        subset,
        split_part(client_service, '.', 2) as client_namespace,
        count(*) as calls,
    from diagnosed_hops
    group by all
),

policies as (
    select
        wanted.*,
        'DestinationRule' as kind,
        nullif(regexp_extract(settings.destination_rule, '^[^.]+\.(.+)$', 1), '') as namespace,
        nullif(split_part(settings.destination_rule, '.', 1), '') as name,
        settings.path as field,
        case when settings.is_set is distinct from false then settings.value end as value,
        settings.is_set,
        settings.snapshot_at,
        settings.is_later,
        clusters.calls,
    from wanted
    inner join clusters using (diagnosis_id)
    inner join mesh_effective_settings as settings
        on clusters.host = settings.host
        and clusters.port is not distinct from settings.port
        and clusters.subset is not distinct from settings.subset
        and wanted.setting = settings.field
        and (settings.client_namespace is null or settings.client_namespace = clusters.client_namespace)
    -- what a namespace has of its own stands before what all others have
    qualify (settings.client_namespace is null) = bool_and(settings.client_namespace is null) over (
        partition by wanted.diagnosis_id, wanted.setting, wanted.cited_rule, clusters.host, clusters.port,
            clusters.subset, clusters.client_namespace
    )
),

---------- rules: of the VirtualService whose rule served the calls

-- the limit that was too short may be a caller's further up
limited_hops as (
    select
        diagnosis_id,
        hop_id,
        blame_rule,
    from diagnosed_hops
    union
    select
        diagnosed_hops.diagnosis_id,
        hops.hop_id,
        diagnosed_hops.blame_rule,
    from diagnosed_hops
    inner join hops on diagnosed_hops.hop_id = hops.culprit_hop_id
    where diagnosed_hops.cause in ('slow_upstream', 'slow_endpoint') and list_contains(hops.client_flags, 'UT')
),

rules as (
    select
        limited_hops.diagnosis_id,
        hop_rules.namespace,
        hop_rules.virtual_service,
        hop_rules.protocol,
        hop_rules.rule,
        hop_rules.root_namespace,
        hop_rules.root_virtual_service,
        hop_rules.root_rule,
        limited_hops.blame_rule,
        count(*) as calls,
    from limited_hops
    inner join hop_rules using (hop_id)
    group by all
),

-- of a rule's own two limits the shorter one ends its calls
binding as (
    select
        mesh_rules.namespace,
        mesh_rules.virtual_service,
        mesh_rules.protocol,
        mesh_rules.rule,
        case when per_try.value_ms < mesh_rules.timeout_ms then 'retries.perTryTimeout' else 'timeout' end as setting,
    from mesh_rules
    inner join mesh_fields as per_try
        on per_try.kind = 'VirtualService'
        and mesh_rules.namespace is not distinct from per_try.namespace
        and mesh_rules.virtual_service = per_try.name
        and mesh_rules.field || '.retries.perTryTimeout' = per_try.field
    where mesh_rules.timeout_ms > 0
),

set_sections as (
    select distinct
        namespace,
        name as virtual_service,
        regexp_extract(field, '^spec\.(\w+)\[', 1) as protocol,
        try_cast(regexp_extract(field, '\[(\d+)\]', 1) as integer) + 1 as rule,
        regexp_extract(field, '\]\.(\w+)', 1) as section,
    from mesh_fields
    where kind = 'VirtualService'
),

-- what a delegate's rule does not set at all its root's does
deciding as (
    select
        wanted.*,
        rules.calls,
        rules.protocol,
        own.section is null and root.section is not null as is_of_root,
        case when is_of_root then rules.root_namespace else rules.namespace end as namespace,
        case when is_of_root then rules.root_virtual_service else rules.virtual_service end as virtual_service,
        case when is_of_root then rules.root_rule else rules.rule end as rule,
    from wanted
    inner join rules
        on wanted.diagnosis_id = rules.diagnosis_id
        and (wanted.cited_rule is null or wanted.cited_rule = rules.blame_rule)
    left join set_sections as own
        on rules.namespace is not distinct from own.namespace
        and rules.virtual_service = own.virtual_service
        and rules.protocol = own.protocol
        and rules.rule = own.rule
        and split_part(wanted.setting, '.', 1) = own.section
    left join set_sections as root
        on rules.root_namespace is not distinct from root.namespace
        and rules.root_virtual_service = root.virtual_service
        and rules.protocol = root.protocol
        and rules.root_rule = root.rule
        and split_part(wanted.setting, '.', 1) = root.section
    where not wanted.is_policy
),

rule_settings as (
    select
        deciding.* exclude (protocol, rule, virtual_service, is_of_root),
        'VirtualService' as kind,
        deciding.virtual_service as name,
        mesh_rules.field || '.' || deciding.setting as field,
        fields.value,
        fields.value is not null as is_set,
        mesh_rules.snapshot_at,
        mesh_rules.is_later,
    from deciding
    inner join mesh_rules using (namespace, virtual_service, protocol, rule)
    left join binding using (namespace, virtual_service, protocol, rule)
    left join mesh_fields as fields
        on fields.kind = 'VirtualService'
        and deciding.namespace is not distinct from fields.namespace
        and deciding.virtual_service = fields.name
        and mesh_rules.field || '.' || deciding.setting = fields.field
    where deciding.observed is distinct from 'server_time' or coalesce(binding.setting = deciding.setting, true)
),

-- where no object tells: what the proxies' own routes are set to, and whose VirtualService they come from
routed as (
    select
        limited_hops.diagnosis_id,
        limited_hops.blame_rule,
        hops.route_name,
        hops.client_reporter = 'gateway' as is_gateway,
        hops.service,
        regexp_replace(hops.service, '^([^.]+\.[^.]+)$', '\1.svc.cluster.local') as host,
        lower(regexp_replace(hops.authority, ':\d+$', '')) as authority,
        count(*) as calls,
    from limited_hops
    inner join hops using (hop_id)
    group by all
),

route_settings as (
    select
        wanted.*,
        'VirtualService' as kind,
        nullif(regexp_extract(routes.virtual_service, '^[^.]+\.(.+)$', 1), '') as namespace,
        nullif(split_part(routes.virtual_service, '.', 1), '') as name,
        'spec.http[].' || wanted.setting as field,
        case when routes.virtual_service is not null
            then json_extract_string(routes.settings, '$."' || wanted.setting || '"') end as value,
        -- null where a proxy has what is the default too, or a table without values was read
        case
            when routes.virtual_service is null then false
            when value is null then case when routes.settings is not null then false end
            when value is distinct from wanted.default_value then true
        end as is_set,
        routes.snapshot_at,
        routes.is_later,
        sum(routed.calls) as calls,
    from wanted
    inner join routed
        on wanted.diagnosis_id = routed.diagnosis_id
        and (wanted.cited_rule is null or wanted.cited_rule = routed.blame_rule)
    inner join mesh_proxy_routes as routes
        on (routes.route_name is null or routes.route_name is not distinct from routed.route_name)
        -- gateways have the hosts of outside, sidecars those of services, of which old tables print the shortest form
        and case when routed.is_gateway or routed.service is null
            then list_contains(routes.domains, routed.authority)
            else split_part(routes.virtual_host, ':', 1) = routed.host
                or (routes.virtual_host is null and list_has_any(routes.domains, [
                    routed.host, routed.service, split_part(routed.service, '.', 1)
                ]))
        end
    where
        not wanted.is_policy
        and (
            wanted.observed is distinct from 'server_time'
            or coalesce(
                wanted.setting = case
                    when try_cast(rtrim(json_extract_string(routes.settings, '$."retries.perTryTimeout"'), 's') as double)
                        < nullif(try_cast(rtrim(json_extract_string(routes.settings, '$.timeout'), 's') as double), 0)
                    then 'retries.perTryTimeout' else 'timeout' end
                or json_extract_string(routes.settings, '$."retries.perTryTimeout"') is null,
                true
            )
        )
    group by all
),

-- where there is no VirtualService at all, though the configuration was read
absent as (
    select
        wanted.*,
        'VirtualService' as kind,
        null as namespace,
        null as name,
        'spec.http[].' || wanted.setting as field,
        null as value,
        false as is_set,
        known.snapshot_at,
        known.is_later,
        0 as calls,
    from wanted
    inner join (
        select max(snapshot_at) as snapshot_at, bool_or(is_later) as is_later from mesh_objects
        where kind in ('VirtualService', 'Service', 'DestinationRule')
    ) as known on known.snapshot_at is not null
    where not wanted.is_policy
),

every_value as (
    select *, 1 as rank from policies
    union all by name
    select *, 2 as rank from rule_settings
    union all by name
    select *, 3 as rank from route_settings
    union all by name
    select *, 4 as rank from absent
),

ranked as (
    select
        *,
        row_number() over (
            partition by diagnosis_id, setting
            order by rank, is_set is null, is_set desc, calls desc, value is null, namespace, name, field
        ) as number,
    from every_value
    qualify row_number() over (partition by diagnosis_id, setting, rank, namespace, name, field, value order by calls desc) = 1
)

-- several rules may have served the calls of one finding, each with its own value
select * exclude (is_policy, rank, calls, number) from ranked
where
    number = 1
    or (number <= 5 and rank = 2 and is_set)
    -- what is set, or is not told by printed tables
    or (number <= 5 and rank = 3 and (is_set or (is_set is null and value is null)))
