-- one row per hop that a rule of a VirtualService served: the rule and the match in it, told by the logged route name
-- key: hop_id
with

hops as (
    select
        hop_id,
        route_name,
        service,
        client_reporter,
        -- only where no service tells: authorities are what strangers write
        case when service is null then lower(regexp_replace(authority, ':\d+$', '')) end as authority,
    from hops
    where client_source is not null
),

asked as (
    select distinct route_name, service, client_reporter, authority from hops
    where route_name is not null or service is not null
),

rules as (
    select
        mesh_matches.*,
        mesh_rules.hosts,
        mesh_rules.gateways,
        count(*) over (partition by mesh_matches.namespace, mesh_matches.virtual_service, mesh_matches.route_name)
            as of_this_name,
    from mesh_matches
    inner join mesh_rules using (namespace, virtual_service, protocol, rule)
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
    from asked
    inner join rules
        on asked.route_name is not distinct from rules.route_name
        -- of several rules without a name none can be told
        and (rules.route_name is not null or rules.of_this_name = 1)
    left join destinations using (namespace, virtual_service, protocol, rule)
    where
        list_contains(destinations.services, asked.service)
        or list_contains(rules.hosts, regexp_replace(asked.service, '^([^.]+\.[^.]+)$', '\1.svc.cluster.local'))
        or list_has_any(rules.hosts, [
            asked.authority,
            asked.authority || '.svc.cluster.local',
            asked.authority || '.' || rules.namespace || '.svc.cluster.local'
        ])
    qualify row_number() over (
        partition by asked.route_name, asked.service, asked.client_reporter, asked.authority
        order by
            -- a gateway takes the rules that are bound to one
            (asked.client_reporter = 'gateway') = list_contains(rules.gateways, 'mesh'),
            list_contains(destinations.services, asked.service) is not true,
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
from hops
inner join served
    on hops.route_name is not distinct from served.route_name
    and hops.service is not distinct from served.service
    and hops.client_reporter is not distinct from served.client_reporter
    and hops.authority is not distinct from served.authority
