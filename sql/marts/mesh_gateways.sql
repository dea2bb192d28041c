-- one row per server of a Gateway: a port, and the hosts that it takes there
-- key: namespace, gateway, server
with

gateways as (
    select * from mesh_objects
    where kind = 'Gateway' and api_group = 'networking.istio.io'
),

servers as (
    select
        namespace,
        name as gateway,
        unnest(generate_series(1, len(json_extract(body, '$.spec.servers[*]')))) as server,
        unnest(json_extract(body, '$.spec.servers[*]')) as found,
        body -> '$.spec.selector' as selector,
        snapshot_at,
        is_later,
    from gateways
)

select
    namespace,
    gateway,
    server,
    try_cast(found ->> '$.port.number' as integer) as port,
    found ->> '$.port.protocol' as protocol,
    json_extract_string(found, '$.hosts[*]') as hosts,
    found ->> '$.tls.mode' as tls_mode,
    found ->> '$.tls.credentialName' as credential_name,
    coalesce(found ->> '$.tls.httpsRedirect', 'false') = 'true' as is_redirect,
    selector,
    snapshot_at,
    is_later,
from servers
