-- one row per IP address of a pod
-- key: namespace, pod, address
with

pods as (
    select * from mesh_objects
    where kind = 'Pod' and api_group = ''
),

slices as (
    select
        unnest(json_extract(body, '$.endpoints[*]')) as endpoint,
        labels ->> '$."kubernetes.io/service-name"' as service_name,
        namespace,
    from mesh_objects
    where kind = 'EndpointSlice'
),

slice_endpoints as (
    select
        namespace,
        service_name,
        endpoint ->> '$.targetRef.name' as pod,
        unnest(json_extract_string(endpoint, '$.addresses[*]')) as address,
        coalesce(endpoint ->> 'zone', endpoint ->> '$.topology."topology.kubernetes.io/zone"') as zone,
        coalesce(endpoint ->> 'nodeName', endpoint ->> '$.topology."kubernetes.io/hostname"') as node,
        -- absent means ready
        coalesce(endpoint ->> '$.conditions.ready', 'true') = 'true' as is_ready,
    from slices
),

placed as (
    select
        namespace,
        address,
        max(pod) as pod,
        max(zone) as zone,
        max(node) as node,
        bool_or(is_ready) as is_ready,
        -- the Service itself, not one of those made beside it for a part of its pods
        min(service_name || '.' || namespace) as service,
    from slice_endpoints
    group by namespace, address
),

proxies as (
    select * from mesh_proxies
),

addressed as (
    select
        *,
        unnest(list_distinct(list_concat(
            json_extract_string(body, '$.status.podIPs[*].ip'), [body ->> '$.status.podIP']
        ))) as address,
    from pods
),

selected as (
    select
        pods.namespace,
        pods.name,
        min(services.service) as service,
    from pods
    inner join (
        select distinct namespace, service, selector from mesh_services
        where kind = 'Service' and selector is not null and json_keys(selector) <> []
    ) as services
        on pods.namespace = services.namespace
        and list_bool_and(list_transform(
            json_keys(services.selector),
            lambda label: coalesce(
                json_extract_string(services.selector, '/' || replace(replace(label, '~', '~0'), '/', '~1'))
                = json_extract_string(pods.labels, '/' || replace(replace(label, '~', '~0'), '/', '~1')), false)
        ))
    group by pods.namespace, pods.name
),

known as (
    select
        coalesce(addressed.namespace, placed.namespace) as namespace,
        coalesce(addressed.name, placed.pod, placed.address) as pod,
        coalesce(addressed.address, placed.address) as address,
        addressed.labels,
        addressed.body,
        placed.zone,
        placed.node,
        placed.is_ready,
        placed.service,
    from addressed
    full join placed on addressed.namespace = placed.namespace and addressed.address = placed.address
),

described as (
    select
        known.namespace,
        known.pod,
        known.address,
        coalesce(
            proxies.workload,
            case known.body ->> '$.owners[0].kind'
                when 'ReplicaSet' then regexp_replace(known.body ->> '$.owners[0].name', '-[a-z0-9]+$', '')
                else known.body ->> '$.owners[0].name'
            end,
            regexp_replace(known.pod, '(-[a-z0-9]{6,10})?-[a-z0-9]{5}$|-\d+$', '')
        ) as workload,
        coalesce(known.service, selected.service) as service,
        coalesce(
            known.labels ->> '$."service.istio.io/canonical-revision"',
            known.labels ->> 'version',
            known.labels ->> '$."app.kubernetes.io/version"',
            proxies.version
        ) as version,
        coalesce(known.zone, proxies.zone, known.labels ->> '$."topology.kubernetes.io/zone"') as zone,
        coalesce(known.node, known.body ->> '$.spec.nodeName') as node,
        known.body ->> '$.spec.serviceAccountName' as service_account,
        known.body ->> '$.status.phase' as phase,
        coalesce(
            known.is_ready,
            list_contains(json_extract_string(known.body, '$.status.conditions[*].type'), 'Ready')
            and (known.body -> '$.status.conditions')::varchar like '%"status":"True","type":"Ready"%'
        ) as is_ready,
        -- sidecars may run as init containers that never end
        list_concat(
            json_extract_string(known.body, '$.spec.containers[*].name'),
            json_extract_string(known.body, '$.spec.initContainers[*].name')
        ) as containers,
        json_extract_string(known.body, '$.spec.containers[*].ports[*].containerPort') as container_ports,
        known.labels,
    from known
    left join selected on known.namespace = selected.namespace and known.pod = selected.name
    left join proxies on proxies.proxy = known.pod || '.' || known.namespace
    where known.address is not null
)

select * from described
qualify row_number() over (partition by namespace, pod, address order by service) = 1
