-- one row per host, port, subset and field of a traffic policy: the value in effect, where it is set, else Istio's default
-- key: client_namespace, host, port, subset, field
-- The client's own namespace has the first word, then the service's, then the root's, as far as exportTo lets them. In the
-- root namespace only what is exported to nobody else is its own clients' first word: the rest is meant for all.
-- A port's own settings replace all of its level's; a subset's sections replace the rule's, each as a whole.
with

fields as (
    select * from mesh_fields
    where kind = 'DestinationRule' and api_group = 'networking.istio.io'
),

rules as (
    select
        namespace,
        name,
        any_value(case when value like '%.%' then value else value || '.' || namespace || '.svc.cluster.local' end)
            filter (where field = 'spec.host') as host,
        bool_or(starts_with(field, 'spec.workloadSelector.')) as is_of_some_pods,
        -- what selects clients is their namespace's alone
        case when is_of_some_pods then [namespace] else coalesce(
            list(case when value = '.' then namespace else value end)
                filter (where regexp_full_match(field, 'spec\.exportTo\[\d+\]')),
            ['*']
        ) end as export_to,
        any_value(snapshot_at) as snapshot_at,
        any_value(is_later) as is_later,
    from fields
    group by namespace, name
),

---------- what a policy can be asked for: the ports of services, the clusters of proxies, each with the rule's subsets

ports as (
    select distinct host, port, namespace as service_namespace from mesh_services
    union
    select distinct
        host,
        port,
        nullif(regexp_extract(host, '^[^.]+\.([^.]+)\.svc\.', 1), '') as service_namespace,
    from mesh_clusters
    where direction = 'outbound' and host not in (select host from mesh_services)
    union
    select host, null as port, namespace as service_namespace from rules
    where
        host not like '*%'
        and not exists (from mesh_services where mesh_services.host = rules.host)
        and not exists (from mesh_clusters where mesh_clusters.host = rules.host)
),

matching as (
    select
        ports.*,
        rules.* exclude (host),
        rules.host as rule_host,
    from ports
    inner join rules
        on ports.host = rules.host
        or (starts_with(rules.host, '*') and ends_with(ports.host, ltrim(rules.host, '*')))
),

-- null stands for the clients of all other namespaces
clients as (
    select distinct host, port, service_namespace, null as client_namespace from ports
    union
    select host, port, service_namespace, unnest(list_prepend(namespace, export_to)) as client_namespace from matching
),

chosen as (
    select
        clients.host,
        clients.port,
        clients.client_namespace,
        matching.namespace,
        matching.name,
        matching.snapshot_at,
        matching.is_later,
    from clients
    left join matching
        on clients.host = matching.host
        and clients.port is not distinct from matching.port
        and (
            matching.namespace in (clients.client_namespace, matching.service_namespace, 'istio-system')
            or matching.service_namespace is null
        )
        and (list_contains(matching.export_to, '*') or list_contains(matching.export_to, clients.client_namespace))
    where clients.client_namespace is null or clients.client_namespace not in ('*', '~')
    qualify row_number() over (
        partition by clients.host, clients.port, clients.client_namespace
        order by
            matching.name is null,
            (
                matching.namespace = clients.client_namespace
                and (matching.namespace <> 'istio-system' or matching.export_to = ['istio-system'])
            ) is not true,
            matching.namespace is distinct from matching.service_namespace,
            starts_with(matching.rule_host, '*'),
            length(matching.rule_host) desc,
            matching.is_of_some_pods,
            matching.namespace,
            matching.name
    ) = 1
),

-- a namespace whose clients have what all others have needs no row
differing as (
    select chosen.* from chosen
    left join chosen as others
        on chosen.host = others.host
        and chosen.port is not distinct from others.port
        and others.client_namespace is null
    where
        chosen.client_namespace is null
        or chosen.namespace is distinct from others.namespace
        or chosen.name is distinct from others.name
),

subsets as (
    select
        namespace,
        name,
        regexp_extract(field, '^(spec\.subsets\[\d+\])\.name$', 1) as place,
        value as subset,
    from fields
    where regexp_full_match(field, 'spec\.subsets\[\d+\]\.name')
),

targets as (
    select
        differing.*,
        null as subset,
        null as subset_place,
    from differing
    union all
    select
        differing.*,
        subsets.subset,
        subsets.place as subset_place,
    from differing
    inner join subsets on differing.namespace is not distinct from subsets.namespace and differing.name = subsets.name
    union all
    -- a subset that a proxy knows though the rule was not read
    select
        differing.*,
        mesh_clusters.subset,
        null as subset_place,
    from differing
    inner join (select distinct host, port, subset from mesh_clusters where direction = 'outbound') as mesh_clusters
        on differing.host = mesh_clusters.host and differing.port = mesh_clusters.port
    where mesh_clusters.subset is not null and differing.name is null
),

---------- the levels of a rule: what each sets, and which of them has the last word on a section

settings as (
    select
        namespace,
        name,
        field,
        value,
        value_ms,
        regexp_extract(
            field,
            '^((?:spec\.subsets\[\d+\])|spec)\.trafficPolicy\.(portLevelSettings\[\d+\]\.)?((\w+)\..+)$',
            ['level', 'port_place', 'setting', 'section']
        ) as place,
    from fields
    where field like '%trafficPolicy.%'
),

port_levels as (
    select
        namespace,
        name,
        place.level as level,
        place.port_place as port_place,
        try_cast(value as integer) as port,
    from settings
    where place.port_place <> '' and place.setting = 'port.number'
),

sections as (
    select unnest(['connectionPool', 'outlierDetection', 'loadBalancer', 'tls']) as section
),

set_sections as (
    select distinct
        namespace,
        name,
        place.level as level,
        place.section as section,
    from settings
    where place.port_place = ''
),

deciding as (
    select
        targets.*,
        sections.section,
        -- the level that decides, and the port's place in it
        case
            when subset_port.port is not null or set_by_subset.section is not null then targets.subset_place
            else 'spec'
        end as level,
        case
            when subset_port.port is not null then subset_port.port_place
            when set_by_subset.section is not null then ''
            else coalesce(rule_port.port_place, '')
        end as port_place,
    from targets
    cross join sections
    left join port_levels as subset_port
        on targets.namespace is not distinct from subset_port.namespace
        and targets.name = subset_port.name
        and targets.subset_place = subset_port.level
        and targets.port = subset_port.port
    left join set_sections as set_by_subset
        on targets.namespace is not distinct from set_by_subset.namespace
        and targets.name = set_by_subset.name
        and targets.subset_place = set_by_subset.level
        and sections.section = set_by_subset.section
    left join port_levels as rule_port
        on targets.namespace is not distinct from rule_port.namespace
        and targets.name = rule_port.name
        and rule_port.level = 'spec'
        and targets.port = rule_port.port
),

---------- what proxies themselves are set to

proxy_settings as (
    select
        host,
        port,
        subset,
        setting.key as setting,
        mode(setting.value ->> '$' order by setting.value ->> '$') as proxy_value,
        any_value(destination_rule) as destination_rule,
        max(snapshot_at) as snapshot_at,
        bool_or(is_later) as is_later,
    from mesh_clusters
    cross join json_each(mesh_clusters.settings) as setting
    where direction = 'outbound'
    group by host, port, subset, setting.key
),

proxy_rules as (
    select
        host,
        port,
        subset,
        any_value(destination_rule) as destination_rule,
        -- printed tables have none
        bool_or(settings is not null) as has_settings,
        max(snapshot_at) as snapshot_at,
        bool_or(is_later) as is_later,
    from mesh_clusters
    where direction = 'outbound'
    group by host, port, subset
),

asked as (
    select
        deciding.*,
        mesh_defaults.field as setting,
        mesh_defaults.default_value,
        mesh_defaults.says,
    from deciding
    inner join mesh_defaults on deciding.section = split_part(mesh_defaults.field, '.', 1)
    union
    -- fields without a known default
    select
        deciding.*,
        settings.place.setting as setting,
        mesh_defaults.default_value,
        mesh_defaults.says,
    from deciding
    inner join settings
        on deciding.namespace is not distinct from settings.namespace
        and deciding.name = settings.name
        and deciding.level = settings.place.level
        and deciding.port_place = settings.place.port_place
        and deciding.section = settings.place.section
    left join mesh_defaults on settings.place.setting = mesh_defaults.field
    union
    select
        deciding.*,
        proxy_settings.setting,
        null as default_value,
        null as says,
    from deciding
    inner join proxy_settings
        on deciding.host = proxy_settings.host
        and deciding.port is not distinct from proxy_settings.port
        and deciding.subset is not distinct from proxy_settings.subset
        and deciding.section = split_part(proxy_settings.setting, '.', 1)
    where deciding.name is null and proxy_settings.setting not in (select field from mesh_defaults)
),

effective as (
    select
        asked.client_namespace,
        asked.host,
        regexp_replace(asked.host, '^([^.]+)\.([^.]+)\.svc\..*$', '\1.\2') as service,
        asked.port,
        asked.subset,
        asked.setting as field,
        -- null where only proxies were read, and have what is the default too, or a table without values
        case
            when settings.value is not null then true
            when asked.name is not null or proxy_rules.destination_rule is null then false
            when proxy_settings.proxy_value is null and proxy_rules.has_settings then false
            when proxy_settings.proxy_value is distinct from asked.default_value
                and proxy_settings.proxy_value is not null then true
        end as is_set,
        case when is_set is false then asked.default_value else coalesce(settings.value, proxy_settings.proxy_value) end
            as value,
        asked.says as default_says,
        coalesce(asked.name || '.' || asked.namespace, proxy_rules.destination_rule) as destination_rule,
        -- where it is set, or would be
        coalesce(
            settings.field,
            -- proxies tell a subset's own value from the rule's by the cluster without a subset
            case
                when asked.name is not null or asked.subset is null or proxy_rules.destination_rule is null then asked.level
                when proxy_rules.has_settings and proxy_settings.proxy_value is not distinct from of_the_rule.proxy_value
                    then 'spec'
                else 'spec.subsets[]'
            end || '.trafficPolicy.' || asked.port_place || asked.setting
        ) as path,
        proxy_settings.proxy_value,
        coalesce(asked.snapshot_at, proxy_rules.snapshot_at) as snapshot_at,
        coalesce(asked.is_later, proxy_rules.is_later) as is_later,
    from asked
    left join settings
        on asked.namespace is not distinct from settings.namespace
        and asked.name = settings.name
        and asked.level = settings.place.level
        and asked.port_place = settings.place.port_place
        and asked.setting = settings.place.setting
    left join proxy_settings
        on asked.host = proxy_settings.host
        and asked.port is not distinct from proxy_settings.port
        and asked.subset is not distinct from proxy_settings.subset
        and asked.setting = proxy_settings.setting
    left join proxy_settings as of_the_rule
        on asked.host = of_the_rule.host
        and asked.port is not distinct from of_the_rule.port
        and of_the_rule.subset is null
        and asked.setting = of_the_rule.setting
    left join proxy_rules
        on asked.host = proxy_rules.host
        and asked.port is not distinct from proxy_rules.port
        and asked.subset is not distinct from proxy_rules.subset
)

select * from effective
