-- one row per IP address that the mesh's configuration names: a pod's, a Service's own, or one of the mesh's machinery
-- key: address
with

pods as (
    select
        address,
        'pod' as kind,
        pod,
        namespace,
        workload,
        service,
        version,
        zone,
    from mesh_pods
),

services as (
    select
        cluster_ip as address,
        'service' as kind,
        null as pod,
        namespace,
        null as workload,
        service,
        null as version,
        null as zone,
    from mesh_services
    where cluster_ip is not null
),

-- what a proxy itself sends to, where no object tells
proxy_endpoints as (
    select
        regexp_extract(mesh_endpoints.address, '^\[?([0-9a-f.:]+?)\]?:\d+$', 1) as address,
        'pod' as kind,
        null as pod,
        null as namespace,
        null as workload,
        min(regexp_replace(mesh_clusters.host, '^([^.]+)\.([^.]+)\.svc\..*$', '\1.\2')) as service,
        null as version,
        max(mesh_endpoints.zone) as zone,
    from mesh_endpoints
    inner join (
        select cluster, regexp_extract(cluster, '[^|]*$') as host from mesh_endpoints
        where starts_with(cluster, 'outbound|')
        group by all
    ) as mesh_clusters using (cluster)
    group by all
),

machinery as (
    select
        interception.address,
        'interception' as kind,
        null as pod,
        null as namespace,
        null as workload,
        null as service,
        null as version,
        null as zone,
    from interception
    where interception.address is not null and exists (from mesh_snapshots)
),

named as (
    select *, 1 as rank from machinery
    union all
    select *, 2 as rank from pods
    union all
    select *, 3 as rank from services
    union all
    select *, 4 as rank from proxy_endpoints
    where address <> ''
)

select * exclude (rank) from named
qualify row_number() over (partition by address order by rank, pod, service) = 1
