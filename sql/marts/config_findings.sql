-- one row per thing in the configuration in force that is wrong or left over by itself, whether or not calls failed
-- key: problem, kind, namespace, name, field
with

rules as (
    select * from mesh_rules
),

destinations as (
    select * from mesh_destinations
),

hosts as (
    select distinct host from mesh_services
),

subsets as (
    select distinct host, subset from mesh_effective_settings
    where subset is not null
    union
    -- of several rules for one host one is in effect there, though Istio merges those of a namespace: none lacks a subset
    select
        case when hosts.value like '%.%' then hosts.value else hosts.value || '.' || namespace || '.svc.cluster.local' end
            as host,
        names.value as subset,
    from (select * from mesh_fields where regexp_full_match(field, 'spec\.subsets\[\d+\]\.name')) as names
    inner join (select * from mesh_fields where field = 'spec.host') as hosts
        using (api_group, kind, namespace, name)
    where kind = 'DestinationRule' and api_group = 'networking.istio.io'
),

services as (
    select * from mesh_services
),

-- where no Service was read nothing can be said about hosts
known as (
    select bool_or(kind = 'Service') as has_services from mesh_objects
),

unowned_hosts as (
    select
        'host_nobody_owns' as problem,
        'VirtualService' as kind,
        destinations.namespace,
        destinations.virtual_service as name,
        destinations.field || '.destination.host' as field,
        destinations.host as value,
        'no Service and no ServiceEntry has this host: its calls end with NC' as says,
        destinations.snapshot_at,
    from destinations
    cross join known
    anti join hosts on destinations.host = hosts.host
    where known.has_services
),

undefined_subsets as (
    select
        'subset_undefined' as problem,
        'VirtualService' as kind,
        destinations.namespace,
        destinations.virtual_service as name,
        destinations.field || '.destination.subset' as field,
        destinations.subset as value,
        'no DestinationRule defines this subset of ' || destinations.host || ': its calls end with NC' as says,
        destinations.snapshot_at,
    from destinations
    semi join hosts on destinations.host = hosts.host
    anti join subsets on destinations.host = subsets.host and destinations.subset = subsets.subset
    where destinations.subset is not null
),

faults as (
    select
        'fault_left' as problem,
        'VirtualService' as kind,
        namespace,
        virtual_service as name,
        field || '.fault' as field,
        concat_ws(', ', 'delay ' || fault_delay, 'abort ' || fault_abort_status) as value,
        'this rule injects faults' as says,
        snapshot_at,
    from rules
    where fault_delay is not null or fault_abort_status is not null
),

mirrors as (
    select
        'mirrored' as problem,
        'VirtualService' as kind,
        namespace,
        virtual_service as name,
        field || '.mirror' as field,
        mirror_host || coalesce(' ' || mirror_percent || '%', '') as value,
        'copies of its calls go there, with -shadow behind the host; they are no calls of any user' as says,
        snapshot_at,
    from rules
    where mirror_host is not null
),

plain_ports as (
    select
        'protocol_detected' as problem,
        kind,
        namespace,
        name,
        protocol_field || ' (port ' || port || ')' as field,
        port_name as value,
        'the name tells no protocol, so Istio looks at the first bytes, and takes for TCP what it cannot tell' as says,
        snapshot_at,
    from services
    where kind = 'Service' and protocol = 'detected'
),

tls_conflicts as (
    select
        'tls_conflict' as problem,
        'DestinationRule' as kind,
        nullif(regexp_extract(settings.destination_rule, '^[^.]+\.(.+)$', 1), '') as namespace,
        split_part(settings.destination_rule, '.', 1) as name,
        settings.path as field,
        settings.value,
        'PeerAuthentication ' || coalesce(modes.policy_namespace || '/' || modes.policy, 'by default')
            || ' asks for ' || modes.mode || ' at port ' || modes.port as says,
        settings.snapshot_at,
    from mesh_effective_settings as settings
    inner join mesh_authentications as modes
        on settings.service = modes.service and settings.port = modes.port
    where
        settings.field = 'tls.mode'
        and settings.is_set
        and (
            (settings.value in ('DISABLE', 'SIMPLE') and modes.mode = 'STRICT')
            or (settings.value in ('ISTIO_MUTUAL', 'MUTUAL') and modes.mode = 'DISABLE')
        )
),

never_matched as (
    select
        'rule_never_reached' as problem,
        'VirtualService' as kind,
        later.namespace,
        later.virtual_service as name,
        later.field,
        later.rule_name as value,
        'a rule before it, ' || earlier.field || ', takes everything' as says,
        later.snapshot_at,
    from rules as later
    inner join rules as earlier
        on later.namespace is not distinct from earlier.namespace
        and later.virtual_service = earlier.virtual_service
        and later.protocol = earlier.protocol
        and later.rule > earlier.rule
        and earlier.matches = 0
    qualify row_number() over (partition by later.namespace, later.virtual_service, later.field order by earlier.rule) = 1
),

missing_delegates as (
    select
        'delegate_missing' as problem,
        'VirtualService' as kind,
        rules.namespace,
        rules.virtual_service as name,
        rules.field || '.delegate' as field,
        rules.delegate as value,
        'no VirtualService of this name is without hosts and exported here: Istio leaves the rule out' as says,
        rules.snapshot_at,
    from rules
    anti join rules as leaves
        on rules.delegate = leaves.virtual_service || coalesce('.' || leaves.namespace, '')
        and leaves.hosts = []
        and list_has_any(leaves.export_to, ['*', rules.namespace])
    where rules.delegate is not null
),

findings as (
    select * from unowned_hosts
    union all
    select * from undefined_subsets
    union all
    select * from faults
    union all
    select * from mirrors
    union all
    select * from plain_ports
    union all
    select * from tls_conflicts
    union all
    select * from never_matched
    union all
    select * from missing_delegates
)

select * from findings
qualify row_number() over (partition by problem, kind, namespace, name, field order by value, says) = 1
order by problem, namespace, name, field
