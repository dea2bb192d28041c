-- one row per finding and setting that bears on it: the object, the field and the value in effect
-- key: diagnosis_id, setting
-- A rule's field comes from its VirtualService, else from the proxies' routes; a policy's from mesh_effective_settings.
with

wanted as (
    select
        diagnoses.diagnosis_id,
        diagnoses.service,
        cited_settings.place,
        cited_settings.field as setting,
        cited_settings.observed,
        cited_settings.change,
        mesh_defaults.default_value,
        mesh_defaults.says as default_says,
    from diagnoses
    inner join cited_settings
        on diagnoses.cause = cited_settings.cause
        and (cited_settings.rule is null or cited_settings.rule = diagnoses.rule)
    left join mesh_defaults on cited_settings.field = mesh_defaults.field
    where
        -- a raw connection has no HTTP route
        split_part(cited_settings.field, '.', 1) not in ('timeout', 'retries', 'fault', 'directResponse')
        or diagnoses.diagnosis_id in (select diagnosis_id from diagnosed_hops where kind <> 'tcp')
    qualify row_number() over (
        partition by diagnoses.diagnosis_id, cited_settings.field order by cited_settings.place
    ) = 1
),

---------- policies: of the cluster that was called

clusters as (
    select
        diagnosis_id,
        host,
        port,
        subset,
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
),

---------- rules: of the VirtualService whose rule served the calls

rules as (
    select
        diagnosed_hops.diagnosis_id,
        hop_rules.namespace,
        hop_rules.virtual_service,
        hop_rules.protocol,
        hop_rules.rule,
        count(*) as calls,
    from diagnosed_hops
    inner join hop_rules using (hop_id)
    group by all
),

rule_settings as (
    select
        wanted.*,
        'VirtualService' as kind,
        rules.namespace,
        rules.virtual_service as name,
        coalesce(fields.field, 'spec.' || rules.protocol || '[' || (rules.rule - 1) || '].' || wanted.setting) as field,
        fields.value,
        fields.value is not null as is_set,
        mesh_rules.snapshot_at,
        mesh_rules.is_later,
        rules.calls,
    from wanted
    inner join rules using (diagnosis_id)
    inner join mesh_rules using (namespace, virtual_service, protocol, rule)
    left join mesh_fields as fields
        on fields.kind = 'VirtualService'
        and rules.namespace is not distinct from fields.namespace
        and rules.virtual_service = fields.name
        and 'spec.' || rules.protocol || '[' || (rules.rule - 1) || '].' || wanted.setting = fields.field
    where split_part(wanted.setting, '.', 1) not in ('connectionPool', 'outlierDetection', 'loadBalancer', 'tls')
),

-- where no object tells: what the proxies' own routes are set to, and whose VirtualService they come from
route_settings as (
    select
        wanted.*,
        'VirtualService' as kind,
        nullif(regexp_extract(routes.virtual_service, '^[^.]+\.(.+)$', 1), '') as namespace,
        nullif(split_part(routes.virtual_service, '.', 1), '') as name,
        'spec.http[].' || wanted.setting as field,
        json_extract_string(routes.settings, '$."' || wanted.setting || '"') as value,
        -- null where a proxy has what is the default too, or a table without values was read
        case
            when routes.virtual_service is null then false
            when value is null then case when routes.settings is not null then false end
            when value is distinct from wanted.default_value then true
        end as is_set,
        routes.snapshot_at,
        routes.is_later,
        count(*) as calls,
    from wanted
    inner join diagnosed_hops using (diagnosis_id)
    inner join mesh_proxy_routes as routes
        on (routes.route_name is null or routes.route_name is not distinct from diagnosed_hops.route_name)
        -- gateways have the hosts of outside, sidecars those of services, of which old tables print the shortest form
        and case when diagnosed_hops.client_reporter = 'gateway'
            then list_contains(routes.domains, lower(regexp_replace(diagnosed_hops.authority, ':\d+$', '')))
            else split_part(routes.virtual_host, ':', 1) = diagnosed_hops.host
                or (routes.virtual_host is null and list_has_any(routes.domains, [
                    diagnosed_hops.host, diagnosed_hops.service, split_part(diagnosed_hops.service, '.', 1)
                ]))
        end
    where split_part(wanted.setting, '.', 1) not in ('connectionPool', 'outlierDetection', 'loadBalancer', 'tls')
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
    where split_part(wanted.setting, '.', 1) not in ('connectionPool', 'outlierDetection', 'loadBalancer', 'tls')
),

every_value as (
    select *, 1 as rank from policies
    union all by name
    select *, 2 as rank from rule_settings
    union all by name
    select *, 3 as rank from route_settings
    union all by name
    select *, 4 as rank from absent
)

select * exclude (rank, calls) from every_value
qualify row_number() over (
    partition by diagnosis_id, setting
    order by rank, is_set is null, calls desc, value is null, namespace, name, field
) = 1
