-- one row per port of a Service or ServiceEntry, and the protocol that Istio takes it for
-- key: kind, namespace, name, host, port
with

services as (
    select * from mesh_objects
    where (kind = 'Service' and api_group = '') or (kind = 'ServiceEntry' and api_group = 'networking.istio.io')
),

hosts as (
    select
        kind,
        namespace,
        name,
        body,
        unnest(case when kind = 'Service' then [name || '.' || namespace || '.svc.cluster.local']
            else json_extract_string(body, '$.spec.hosts[*]') end) as host,
        snapshot_at,
        is_later,
    from services
),

ports as (
    select
        * exclude (body),
        case when kind = 'Service' then name || '.' || namespace else host end as service,
        unnest(json_extract(body, '$.spec.ports[*]')) as port,
        body ->> '$.spec.clusterIP' as cluster_ip,
        json_extract_string(body, '$.spec.addresses[*]') as addresses,
        body ->> '$.spec.location' as location,
        body ->> '$.spec.resolution' as resolution,
        json_extract(body, '$.spec.selector') as selector,
    from hosts
),

named as (
    select
        kind,
        namespace,
        name,
        host,
        service,
        try_cast(coalesce(port ->> 'number', port ->> 'port') as integer) as port,
        port ->> 'name' as port_name,
        port ->> 'appProtocol' as app_protocol,
        port ->> 'protocol' as declared_protocol,
        port ->> 'targetPort' as target_port,
        -- a headless Service has None
        nullif(cluster_ip, 'None') as cluster_ip,
        cluster_ip = 'None' as is_headless,
        addresses,
        location,
        resolution,
        selector,
        snapshot_at,
        is_later,
    from ports
),

judged as (
    select
        *,
        case
            when kind = 'ServiceEntry' then lower(declared_protocol)
            when app_protocol is not null then
                case app_protocol
                    when 'kubernetes.io/h2c' then 'http2'
                    when 'kubernetes.io/ws' then 'http'
                    when 'kubernetes.io/wss' then 'https'
                    else lower(app_protocol)
                end
            when upper(declared_protocol) = 'UDP' then 'udp'
            else lower(regexp_extract(port_name, '^(grpc-web|[^-]+)(-|$)', 1))
        end as named_protocol,
    from named
)

select
    * exclude (named_protocol, snapshot_at, is_later),
    -- what Istio's convention knows; for other names it looks at the first bytes
    case when named_protocol in (
        'http', 'http2', 'https', 'grpc', 'grpc-web', 'tcp', 'tls', 'mongo', 'mysql', 'redis', 'udp', 'hbone'
    ) then named_protocol else 'detected' end as protocol,
    case
        when kind = 'ServiceEntry' then 'spec.ports[].protocol'
        when app_protocol is not null then 'spec.ports[].appProtocol'
        else 'spec.ports[].name'
    end as protocol_field,
    snapshot_at,
    is_later,
from judged
