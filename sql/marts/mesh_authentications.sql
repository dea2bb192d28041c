-- one row per service and port, and the mTLS mode that its pods ask of callers
-- key: service, port
-- The most particular PeerAuthentication counts: its port's mode, its workload's, its namespace's, the mesh's.
with

policies as (
    select
        namespace,
        name,
        body,
        coalesce(json_extract(body, '$.spec.selector.matchLabels'), '{}'::json) as selector,
        snapshot_at,
        is_later,
    from mesh_objects
    where kind = 'PeerAuthentication' and api_group = 'security.istio.io'
),

services as (
    select
        service,
        namespace,
        port,
        target_port,
        selector,
    from mesh_services
    where kind = 'Service'
),

applying as (
    select
        services.service,
        services.port,
        policies.namespace,
        policies.name,
        policies.snapshot_at,
        policies.is_later,
        case when json_keys(policies.selector) <> [] then 1 when policies.namespace = services.namespace then 2 else 3 end
            as rank,
        json_extract_string(policies.body, '$.spec.portLevelMtls."' || services.target_port || '".mode') as port_mode,
        nullif(policies.body ->> '$.spec.mtls.mode', 'UNSET') as mode,
    from services
    inner join policies
        on (policies.namespace = services.namespace or (policies.namespace = 'istio-system'
            and json_keys(policies.selector) = []))
        and coalesce(list_bool_and(list_transform(
            json_keys(policies.selector),
            lambda label: coalesce(
                json_extract_string(policies.selector, '/' || replace(replace(label, '~', '~0'), '/', '~1'))
                = json_extract_string(services.selector, '/' || replace(replace(label, '~', '~0'), '/', '~1')), false)
        )), true)
),

modes as (
    select
        *,
        coalesce(port_mode, mode) as effective_mode,
        case when port_mode is not null then 'spec.portLevelMtls' else 'spec.mtls.mode' end as field,
    from applying
    qualify row_number() over (
        partition by service, port
        order by coalesce(port_mode, mode) is null, rank, name
    ) = 1
)

select
    services.service,
    services.port,
    coalesce(modes.effective_mode, 'PERMISSIVE') as mode,
    modes.effective_mode is not null as is_set,
    modes.namespace as policy_namespace,
    modes.name as policy,
    modes.field,
    modes.snapshot_at,
    modes.is_later,
from (select distinct service, port from services) as services
left join modes using (service, port)
