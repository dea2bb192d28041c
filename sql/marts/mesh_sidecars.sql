-- one row per Sidecar: what the proxies it selects may reach
-- key: namespace, sidecar
select
    namespace,
    name as sidecar,
    body -> '$.spec.workloadSelector.labels' as selector,
    json_extract_string(body, '$.spec.egress[*].hosts[*]') as egress_hosts,
    json_extract_string(body, '$.spec.ingress[*].port.number') as ingress_ports,
    coalesce(body ->> '$.spec.outboundTrafficPolicy.mode', 'ALLOW_ANY') as outbound_mode,
    (body ->> '$.spec.outboundTrafficPolicy.mode') is not null as is_set,
    snapshot_at,
    is_later,
from mesh_objects
where kind = 'Sidecar' and api_group = 'networking.istio.io'
