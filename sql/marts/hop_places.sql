-- one row per hop: pod, workload, version and zone on both sides, from the mesh's configuration where the logs do not tell
-- key: hop_id
with

hops as (
    select * from hops
),

names as (
    select * from address_names
)

select
    hops.hop_id,
    hops.client_address,
    coalesce(clients.pod, hops.client_pod) as client_pod,
    clients.namespace as client_namespace,
    clients.workload as client_workload,
    hops.client_service,
    clients.version as client_version,
    clients.zone as client_zone,
    hops.server_address,
    coalesce(servers.pod, hops.server_pod) as server_pod,
    servers.namespace as server_namespace,
    servers.workload as server_workload,
    coalesce(hops.service, servers.service, called.service) as service,
    servers.version as server_version,
    servers.zone as server_zone,
    -- pod, service (its own address), interception (the mesh's machinery), null outside
    called.kind as called_kind,
    interception.what as called_for,
    clients.zone = servers.zone as is_same_zone,
from hops
left join names as clients on hops.client_address = clients.address
left join names as servers on hops.server_address = servers.address
left join mesh_addresses as called
    on regexp_extract(hops.upstream_host, '^\[?(.+?)\]?:\d+$', 1) = called.address
left join interception
    on try_cast(regexp_extract(hops.upstream_host, ':(\d+)$', 1) as integer) = interception.port
