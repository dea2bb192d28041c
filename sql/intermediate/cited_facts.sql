-- one row per finding and thing in the configuration that confirms it and is no mere setting
-- key: diagnosis_id, kind, namespace, name, field
-- Endpoints, subsets, hosts that nobody owns, protocols by port name, routes that take a host or path.
with

diagnosed as (
    select * from diagnosed_hops
),

services as (
    select * from mesh_services
),

---------- no endpoints: what the Service has, and how many pods have the subset's labels

service_endpoints as (
    select
        regexp_replace(labels ->> '$."kubernetes.io/service-name"', '$', '.' || namespace) as service,
        namespace,
        name,
        len(list_filter(
            json_extract(body, '$.endpoints[*]'),
            lambda endpoint: coalesce(endpoint ->> '$.conditions.ready', 'true') = 'true'
        )) as ready,
        snapshot_at,
        is_later,
    from mesh_objects
    where kind = 'EndpointSlice'
),

slice_endpoints as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        'EndpointSlice' as kind,
        slices.namespace,
        slices.name,
        'endpoints' as field,
        slices.ready || ' ready' as value,
        case when slices.ready = 0 then 'no pod that the Service selects is ready'
            else 'the Service has pods that are ready' end as says,
        'compare the Service''s selector with the labels of its pods, and see why they are not ready' as change,
        slices.snapshot_at,
        slices.is_later,
    from diagnosed
    inner join service_endpoints as slices using (service)
    where diagnosed.cause in ('no_endpoints', 'app_down', 'connect_refused')
),

-- what the callers' own proxies hold, where no slice was read
proxy_endpoints as (
    select
        diagnosed.diagnosis_id,
        1 as place,
        'Service' as kind,
        split_part(diagnosed.service, '.', 2) as namespace,
        split_part(diagnosed.service, '.', 1) as name,
        'spec.selector' as field,
        count(distinct mesh_endpoints.address) || ' endpoints in proxies' as value,
        'what proxies hold for ' || diagnosed.upstream_cluster as says,
        'compare the Service''s selector with the labels of its pods, and see why they are not ready' as change,
        max(known.snapshot_at) as snapshot_at,
        bool_or(known.is_later) as is_later,
    from (select distinct diagnosis_id, service, upstream_cluster, cause from diagnosed) as diagnosed
    inner join (
        select cluster, max(snapshot_at) as snapshot_at, bool_or(is_later) as is_later from mesh_clusters group by all
    ) as known on diagnosed.upstream_cluster = known.cluster
    left join mesh_endpoints on diagnosed.upstream_cluster = mesh_endpoints.cluster
    where
        diagnosed.cause in ('no_endpoints', 'app_down', 'connect_refused')
        and exists (from mesh_endpoints)
        and diagnosed.service not in (select service from service_endpoints where service is not null)
    group by diagnosed.diagnosis_id, diagnosed.service, diagnosed.upstream_cluster
),

-- where the application is called
target_ports as (
    select distinct
        diagnosed.diagnosis_id,
        2 as place,
        services.kind,
        services.namespace,
        services.name,
        'spec.ports[].targetPort' as field,
        services.target_port as value,
        'port ' || services.port || ' of the Service leads there' as says,
        'let it be the port that the application listens on' as change,
        services.snapshot_at,
        services.is_later,
    from diagnosed
    inner join services
        on diagnosed.service = services.service
        and diagnosed.port is not distinct from coalesce(services.port, diagnosed.port)
    where diagnosed.cause in ('app_down', 'connect_refused') and services.kind = 'Service'
),

subsets as (
    select
        namespace,
        name,
        'spec.subsets[' || (unnest(generate_series(1, len(json_extract(body, '$.spec.subsets[*]')))) - 1) || ']' as place,
        unnest(json_extract(body, '$.spec.subsets[*]')) as subset,
        case when body ->> '$.spec.host' like '%.%' then body ->> '$.spec.host'
            else (body ->> '$.spec.host') || '.' || namespace || '.svc.cluster.local' end as host,
        snapshot_at,
        is_later,
    from mesh_objects
    where kind = 'DestinationRule'
),

subset_labels as (
    select
        diagnosed.diagnosis_id,
        1 as place,
        'DestinationRule' as kind,
        subsets.namespace,
        subsets.name,
        subsets.place || '.labels' as field,
        json_extract_string(subsets.subset, '$.labels') as value,
        (
            select count(*) from mesh_pods
            where mesh_pods.service = diagnosed.service
                -- labels are flat, so what contains them has each
                and coalesce(json_contains(coalesce(mesh_pods.labels, '{}'), subsets.subset -> 'labels'), true)
        ) || ' pods have these labels' as says,
        'let the labels be those of running pods' as change,
        subsets.snapshot_at,
        subsets.is_later,
    from (select distinct diagnosis_id, service, host, subset, cause from diagnosed) as diagnosed
    inner join subsets on diagnosed.host = subsets.host and diagnosed.subset = subsets.subset ->> 'name'
    where diagnosed.cause = 'no_endpoints'
),

---------- no cluster: a subset that no DestinationRule defines, a host that nobody owns

dangling as (
    select
        diagnosed.diagnosis_id,
        case when diagnosed_host.host is null then 1 else 2 end as place,
        'VirtualService' as kind,
        destinations.namespace,
        destinations.virtual_service as name,
        destinations.field || case when diagnosed_host.host is null then '.destination.host'
            else '.destination.subset' end as field,
        case when diagnosed_host.host is null then destinations.host else destinations.subset end as value,
        case when diagnosed_host.host is null then 'no Service and no ServiceEntry has this host'
            else 'no DestinationRule defines this subset of ' || destinations.host end as says,
        case when diagnosed_host.host is null then 'name a host that there is, with its namespace'
            else 'add the subset to the DestinationRule, or name one that there is' end as change,
        destinations.snapshot_at,
        destinations.is_later,
    from (
        select distinct diagnosed.diagnosis_id, hop_rules.namespace, hop_rules.virtual_service, hop_rules.protocol,
            hop_rules.rule
        from diagnosed
        inner join hop_rules using (hop_id)
        where diagnosed.cause = 'no_cluster'
    ) as diagnosed
    inner join mesh_destinations as destinations using (namespace, virtual_service, protocol, rule)
    left join (select distinct host from services) as diagnosed_host on destinations.host = diagnosed_host.host
    left join subsets on destinations.host = subsets.host and destinations.subset = subsets.subset ->> 'name'
    where diagnosed_host.host is null or (destinations.subset is not null and subsets.subset is null)
),

-- where no object tells: a proxy's route that leads to a cluster which the proxy has not
proxy_routes as (
    select
        proxy,
        route_name,
        nullif(regexp_extract(virtual_service, '^[^.]+\.(.+)$', 1), '') as namespace,
        split_part(virtual_service, '.', 1) as name,
        -- direction|port|subset|host, with its weight behind where there are several
        string_split(split_part(unnest(string_split(cluster, ', ')), ' ', 1), '|') as parts,
        snapshot_at,
        is_later,
    from mesh_proxy_routes
    where virtual_service is not null and cluster is not null and not exists (from mesh_rules)
),

proxy_dangling as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        'VirtualService' as kind,
        routes.namespace,
        routes.name,
        'spec.http[].route[].destination.subset' as field,
        routes.parts[3] as value,
        'the proxy has no cluster ' || array_to_string(routes.parts, '|') as says,
        'add the subset to the DestinationRule, or name one that there is' as change,
        routes.snapshot_at,
        routes.is_later,
    from (select distinct diagnosis_id, route_name, host from diagnosed where cause = 'no_cluster') as diagnosed
    inner join proxy_routes as routes
        on diagnosed.route_name = routes.route_name
        and coalesce(diagnosed.host = routes.parts[4], true)
    where
        routes.parts[3] <> ''
        and exists (from mesh_clusters where mesh_clusters.proxy is not distinct from routes.proxy)
        and not exists (
            from mesh_clusters
            where
                mesh_clusters.proxy is not distinct from routes.proxy
                and mesh_clusters.cluster = array_to_string(routes.parts, '|')
        )
),

-- printed tables have no routes' clusters: the VirtualService is known, and the field to look at
printed_dangling as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        'VirtualService' as kind,
        nullif(regexp_extract(routes.virtual_service, '^[^.]+\.(.+)$', 1), '') as namespace,
        split_part(routes.virtual_service, '.', 1) as name,
        'spec.http[].route[].destination.subset' as field,
        null as value,
        'names a cluster that no proxy has, which printed tables do not tell: kubectl get -o yaml does' as says,
        'add the subset to the DestinationRule, or name one that there is' as change,
        routes.snapshot_at,
        routes.is_later,
    from (select distinct diagnosis_id, lower(regexp_replace(authority, ':\d+$', '')) as authority from diagnosed
        where cause = 'no_cluster') as diagnosed
    inner join mesh_proxy_routes as routes on list_contains(routes.domains, diagnosed.authority)
    where
        routes.virtual_service is not null
        and routes.cluster is null
        and routes.settings is null
        and not exists (from mesh_rules)
),

---------- no route: which hosts and paths the VirtualServices take, those of gateways or of the host that was called

unrouted as (
    select
        diagnosis_id,
        client_reporter = 'gateway' as is_gateway,
        list(distinct nullif(split_part(client_service, '.', 2), '')) as client_namespaces,
        list(distinct lower(regexp_replace(authority, ':\d+$', ''))) as authorities,
        list_sort(list(distinct {
            'path': regexp_replace(path, '\?.*$', ''),
            'authority': lower(regexp_replace(authority, ':\d+$', ''))
        })) as requests,
    from diagnosed
    where cause = 'no_route' and authority is not null
    group by diagnosis_id, client_reporter = 'gateway'
),

routing as (
    select
        namespace,
        virtual_service,
        gateways,
        -- sidecars know a service by shorter names, too
        case when gateways = ['mesh'] then list_distinct(flatten(list_transform(hosts, lambda host: [
            host,
            regexp_replace(host, '\.svc\.cluster\.local$', ''),
            regexp_replace(host, '\.cluster\.local$', ''),
            regexp_replace(host, '^([^.]+)\.[^.]+\.svc\.cluster\.local$', '\1')
        ]))) else hosts end as names,
        hosts,
        export_to,
        any_value(snapshot_at) as snapshot_at,
        any_value(is_later) as is_later,
    from mesh_rules
    where protocol = 'http'
    group by namespace, virtual_service, hosts, gateways, export_to
),

asked_routes as (
    select
        unrouted.diagnosis_id,
        unrouted.is_gateway,
        routing.namespace,
        routing.virtual_service,
        routing.hosts,
        len(list_filter(unrouted.authorities, lambda authority: not list_contains(routing.names, authority))) > 0
            as lacks_host,
        not list_contains(routing.export_to, '*') and unrouted.client_namespaces <> []
            and not list_has_any(routing.export_to, unrouted.client_namespaces) as is_hidden,
        array_to_string(unrouted.client_namespaces, ', ') as client_namespaces,
        array_to_string(routing.export_to, ', ') as export_to,
        list_transform(
            list_filter(unrouted.requests, lambda request: list_contains(routing.names, request.authority)),
            lambda request: request.path
        )[:3] as paths,
        routing.snapshot_at,
        routing.is_later,
    from unrouted
    inner join routing
        on case when unrouted.is_gateway then routing.gateways <> ['mesh']
            else list_contains(routing.gateways, 'mesh') and list_has_any(routing.names, unrouted.authorities) end
    qualify row_number() over (
        partition by unrouted.diagnosis_id
        order by list_has_any(routing.names, unrouted.authorities) desc, routing.virtual_service
    ) <= 3
),

route_hosts as (
    select
        diagnosis_id,
        1 as place,
        'VirtualService' as kind,
        namespace,
        virtual_service as name,
        'spec.hosts' as field,
        array_to_string(hosts, ', ') as value,
        case when lacks_host then 'an authority that was asked for is not among them'
            else 'they take the authority that was asked for' end as says,
        'add the host, if it is meant to exist' as change,
        snapshot_at,
        is_later,
    from asked_routes
    where is_gateway and not is_hidden
),

-- a VirtualService that takes the call, were it shown to the caller
route_exports as (
    select
        diagnosis_id,
        1 as place,
        'VirtualService' as kind,
        namespace,
        virtual_service as name,
        'spec.exportTo' as field,
        export_to as value,
        'it is not exported to the caller''s namespace, ' || client_namespaces as says,
        'export it there, if it is meant to be used from there' as change,
        snapshot_at,
        is_later,
    from asked_routes
    where is_hidden and not lacks_host
),

route_paths as (
    select
        asked_routes.diagnosis_id,
        2 as place,
        'VirtualService' as kind,
        asked_routes.namespace,
        asked_routes.virtual_service as name,
        'spec.http[].match' as field,
        string_agg(distinct mesh_matches.conditions, '; ' order by mesh_matches.conditions) as value,
        'no match takes paths such as ' || array_to_string(any_value(asked_routes.paths), ', ') as says,
        'add a match, if the path is meant to exist' as change,
        any_value(asked_routes.snapshot_at) as snapshot_at,
        any_value(asked_routes.is_later) as is_later,
    from asked_routes
    inner join mesh_matches
        on asked_routes.namespace is not distinct from mesh_matches.namespace
        and asked_routes.virtual_service = mesh_matches.virtual_service
    where asked_routes.paths <> [] and not asked_routes.is_hidden and mesh_matches.protocol = 'http'
    group by asked_routes.diagnosis_id, asked_routes.namespace, asked_routes.virtual_service
),

-- where no object tells: what the gateways' own routes have
proxy_domains as (
    select
        unrouted.diagnosis_id,
        1 as place,
        'VirtualService' as kind,
        nullif(regexp_extract(routes.virtual_service, '^[^.]+\.(.+)$', 1), '') as namespace,
        split_part(routes.virtual_service, '.', 1) as name,
        'spec.hosts' as field,
        string_agg(distinct array_to_string(routes.domains, ', '), ', ') as value,
        'its routes take ' || string_agg(distinct routes.match, ', ' order by routes.match) as says,
        'add the host or a match for the path, if it is meant to exist' as change,
        max(routes.snapshot_at) as snapshot_at,
        bool_or(routes.is_later) as is_later,
    from unrouted
    inner join mesh_proxy_routes as routes on list_has_any(routes.domains, unrouted.authorities)
    where routes.virtual_service is not null and not exists (from mesh_rules)
    group by unrouted.diagnosis_id, routes.virtual_service
),

---------- protocols by port name

protocols as (
    select distinct
        diagnosed.diagnosis_id,
        1 as place,
        services.kind,
        services.namespace,
        services.name,
        services.protocol_field as field,
        coalesce(services.app_protocol, services.port_name, services.declared_protocol) as value,
        'Istio takes port ' || services.port || ' for ' || services.protocol as says,
        'name the port after the protocol that the application speaks, or set appProtocol' as change,
        services.snapshot_at,
        services.is_later,
    from diagnosed
    inner join services on diagnosed.service = services.service and diagnosed.port = services.port
    where diagnosed.cause in ('protocol_error', 'bad_request')
),

facts as (
    select * from slice_endpoints
    union all
    select * from proxy_endpoints
    union all
    select * from target_ports
    union all
    select * from subset_labels
    union all
    select * from dangling
    union all
    select * from proxy_dangling
    union all
    select * from printed_dangling
    union all
    select * from route_hosts
    union all
    select * from route_exports
    union all
    select * from route_paths
    union all
    select * from proxy_domains
    union all
    select * from protocols
)

select * from facts
qualify row_number() over (partition by diagnosis_id, kind, namespace, name, field order by place, value) = 1
