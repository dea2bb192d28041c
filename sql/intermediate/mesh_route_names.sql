-- one row per name that access logs can have for a match of a VirtualService's rule, and the hosts that are called by it
-- key: namespace, virtual_service, protocol, rule, match, root_namespace, root_virtual_service, root_rule, root_match
-- Of a delegate the root's names stand before its own, and where it has no match the root's count. No rule that delegates
-- is a route itself.
with

matches as (
    select
        mesh_matches.* exclude (conditions, snapshot_at, is_later),
        mesh_rules.hosts,
        mesh_rules.gateways,
        mesh_rules.export_to,
        mesh_rules.delegate,
    from mesh_matches
    inner join mesh_rules
        on mesh_matches.namespace is not distinct from mesh_rules.namespace
        and mesh_matches.virtual_service = mesh_rules.virtual_service
        and mesh_matches.protocol = mesh_rules.protocol
        and mesh_matches.rule = mesh_rules.rule
),

own as (
    select
        namespace,
        virtual_service,
        protocol,
        rule,
        match,
        field,
        route_name,
        hosts,
        gateways,
        export_to,
        namespace as root_namespace,
        virtual_service as root_virtual_service,
        rule as root_rule,
        match as root_match,
    from matches
    where delegate is null and hosts <> []
),

delegated as (
    select
        leaves.namespace,
        leaves.virtual_service,
        leaves.protocol,
        leaves.rule,
        leaves.match,
        leaves.field,
        nullif(
            concat_ws('-', roots.rule_name, leaves.rule_name)
            || coalesce('.' || nullif(concat_ws('-', roots.match_name, leaves.match_name), ''), ''),
            ''
        ) as route_name,
        roots.hosts,
        roots.gateways,
        roots.export_to,
        roots.namespace as root_namespace,
        roots.virtual_service as root_virtual_service,
        roots.rule as root_rule,
        roots.match as root_match,
    from matches as roots
    inner join matches as leaves
        on roots.delegate = leaves.virtual_service || coalesce('.' || leaves.namespace, '')
        and list_has_any(leaves.export_to, ['*', roots.namespace])
    where roots.hosts <> [] and leaves.hosts = [] and leaves.protocol = 'http'
),

named as (
    select * from own
    union all
    select * from delegated
)

select * from named
