-- one row per hop that a rule of a VirtualService served: the rule and the match in it, told by the logged route name
-- key: hop_id
-- Of a delegate's rule the root is the rule that left it the choice, else the rule itself. Rules that are not exported to the
-- client's namespace serve none of its calls.
with

hops as (
    select
        hop_id,
        route_name,
        service,
        client_reporter,
        nullif(split_part(client_service, '.', 2), '') as client_namespace,
        -- only where no service tells: authorities are what strangers write
        case when service is null then lower(regexp_replace(authority, ':\d+$', '')) end as authority,
    from hops
    -- without a configuration there are no rules, and nothing need be looked up
    where client_source is not null and exists (from mesh_snapshots)
),

asked as (
    select distinct route_name, service, client_reporter, client_namespace, authority from hops
    where route_name is not null or service is not null
),

rules as (
    select
        *,
        count(*) over (partition by root_namespace, root_virtual_service, route_name) as of_this_name,
    from mesh_route_names
),

destinations as (
    select
        namespace,
        virtual_service,
        protocol,
        rule,
        list(distinct service) as services,
    from mesh_destinations
    group by all
),

served as (
    select
        asked.*,
        rules.namespace,
        rules.virtual_service,
        rules.protocol,
        rules.rule,
        rules.match,
        rules.field,
        rules.root_namespace,
        rules.root_virtual_service,
        rules.root_rule,
    from asked
    inner join rules
        on asked.route_name is not distinct from rules.route_name
        -- of several rules without a name none can be told
        and (rules.route_name is not null or rules.of_this_name = 1)
        and (asked.client_namespace is null or list_has_any(rules.export_to, ['*', asked.client_namespace]))
    left join destinations using (namespace, virtual_service, protocol, rule)
    where (
        list_contains(destinations.services, asked.service)
        or list_contains(rules.hosts, regexp_replace(asked.service, '^([^.]+\.[^.]+)$', '\1.svc.cluster.local'))
        or list_has_any(rules.hosts, [
            asked.authority,
            asked.authority || '.svc.cluster.local',
            asked.authority || '.' || rules.root_namespace || '.svc.cluster.local'
        ])
    )
    qualify row_number() over (
        partition by
            asked.route_name, asked.service, asked.client_reporter, asked.client_namespace, asked.authority
        order by
            -- a gateway takes the rules that are bound to one
            (asked.client_reporter = 'gateway') = list_contains(rules.gateways, 'mesh'),
            list_contains(destinations.services, asked.service) is not true,
            -- what is its namespace's alone, or exported to some, stands before what is everybody's
            list_contains(rules.export_to, '*'),
            rules.namespace,
            rules.virtual_service,
            rules.rule,
            rules.match
    ) = 1
)

select
    hops.hop_id,
    served.namespace,
    served.virtual_service,
    served.protocol,
    served.rule,
    served.match,
    served.field,
    served.root_namespace,
    served.root_virtual_service,
    served.root_rule,
from hops
inner join served
    on hops.route_name is not distinct from served.route_name
    and hops.service is not distinct from served.service
    and hops.client_reporter is not distinct from served.client_reporter
    and hops.client_namespace is not distinct from served.client_namespace
    and hops.authority is not distinct from served.authority
