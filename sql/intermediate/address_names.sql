-- one row per IP address of a pod, or that the mesh's configuration names: what the logs call it, else the configuration
-- key: address
-- Kubelet paths name pods; clients' clusters name the service behind an address; a pod nobody calls has its workload.
with

lines as not materialized (
    select
        source,
        pod,
        namespace,
        reporter = 'gateway' as is_gateway,
        case when direction = 'inbound' or reporter = 'gateway' then downstream_local_address
            else upstream_local_address end as socket,
    from access_logs_around
    where direction <> 'unknown' or reporter = 'gateway'
),

logs as (
    select
        source,
        pod,
        namespace,
        is_gateway,
        regexp_replace(min(socket), ':\d+$', '') as address,
        regexp_replace(max(socket), ':\d+$', '') as last_address,
    from lines
    group by source, pod, namespace, is_gateway
),

-- most logs are of one pod: where the first and the last socket have one address, so have all between them in the alphabet
sockets as (
    select address, pod, namespace, is_gateway, from logs
    where address is not distinct from last_address
    union all
    select
        regexp_replace(socket, ':\d+$', '') as address,
        pod,
        namespace,
        is_gateway,
    from lines
    where source in (select source from logs where address <> last_address)
),

own_addresses as (
    select
        address,
        max(pod) as pod,
        max(namespace) as namespace,
        bool_or(is_gateway) as is_gateway,
    from sockets
    group by address
    having any_value(address) is not null
),

-- hosts are few: their addresses are cut out once a host, not once a line, as where instead of having would have it
called_hosts as (
    select
        upstream_host,
        service,
        count(*) as lines,
    from access_logs_around
    where direction = 'outbound' and service is not null
    group by all
),

called_by_clients as (
    select
        regexp_replace(regexp_extract(upstream_host, '([^/]+:\d+)$', 1), ':\d+$', '') as address,
        service,
        sum(lines)::bigint as lines,
    from called_hosts
    group by all
),

services as (
    select
        address,
        arg_max(service, (lines, service)) as service,
    from called_by_clients
    group by address
    having any_value(address) <> ''
),

configured as (
    select * from mesh_addresses
    where kind <> 'interception' and address is not null
),

joined as (
    select
        address,
        coalesce(own_addresses.pod, configured.pod) as pod,
        coalesce(own_addresses.namespace, configured.namespace) as namespace,
        -- a ReplicaSet's pod is workload-hash-suffix, a StatefulSet's workload-ordinal
        coalesce(
            configured.workload,
            regexp_replace(own_addresses.pod, '(-[a-z0-9]{6,10})?-[a-z0-9]{5}$|-\d+$', '')
        ) as workload,
        coalesce(services.service, configured.service) as service,
        configured.version,
        configured.zone,
        coalesce(own_addresses.is_gateway, false) as is_gateway,
    from own_addresses
    full join services using (address)
    full join configured using (address)
),

named as (
    select
        address,
        pod,
        namespace,
        coalesce(
            service,
            case when namespace is null then workload else workload || '.' || namespace end,
            case when is_gateway then 'gateway' end
        ) as service,
        workload,
        version,
        zone,
        is_gateway,
    from joined
)

select * from named
