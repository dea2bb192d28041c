-- one row per object that selects pods by labels (policies, filters, Sidecars) and service whose pods it selects
-- key: api_group, kind, namespace, name, service
with

objects as (
    select
        api_group,
        kind,
        namespace,
        name,
        coalesce(
            json_extract(body, '$.spec.selector.matchLabels'),
            json_extract(body, '$.spec.workloadSelector.labels'),
            '{}'::json
        ) as selector,
    from mesh_objects
    where kind in (
        'AuthorizationPolicy', 'EnvoyFilter', 'PeerAuthentication', 'RequestAuthentication', 'Sidecar', 'WasmPlugin'
    )
),

-- a Service's selector stands in for the labels of pods that were not read
labelled as (
    select distinct namespace, service, labels from mesh_pods
    where service is not null
    union
    select distinct namespace, service, selector as labels from mesh_services
    where kind = 'Service' and selector is not null
),

selected as (
    select
        objects.api_group,
        objects.kind,
        objects.namespace,
        objects.name,
        labelled.service,
        -- the labels' own, the namespace's, the mesh's
        min(case when json_keys(objects.selector) <> [] then 1 when objects.namespace = labelled.namespace then 2 else 3 end)
            as rank,
    from objects
    inner join labelled
        on (objects.namespace = labelled.namespace or objects.namespace = 'istio-system')
        and coalesce(list_bool_and(list_transform(
            json_keys(objects.selector),
            lambda label: coalesce(
                json_extract_string(objects.selector, '/' || replace(replace(label, '~', '~0'), '/', '~1'))
                = json_extract_string(labelled.labels, '/' || replace(replace(label, '~', '~0'), '/', '~1')), false)
        )), true)
    group by all
)

select * from selected
