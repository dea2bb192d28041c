-- one row per match of a VirtualService's rule, and the calls of the window that its route name shows
-- key: namespace, virtual_service, protocol, rule, match
-- A rule that delegates is told by its delegate's. Calls count for a rule without a name only where its VirtualService has
-- no other such. Without any client's line, nothing.
with

names as (
    select
        namespace,
        virtual_service,
        protocol,
        rule,
        match,
        string_agg(distinct route_name, ', ' order by route_name) as route_name,
    from mesh_route_names
    group by namespace, virtual_service, protocol, rule, match
),

matches as (
    select mesh_matches.* replace (coalesce(names.route_name, mesh_matches.route_name) as route_name)
    from mesh_matches
    inner join mesh_rules
        on mesh_matches.namespace is not distinct from mesh_rules.namespace
        and mesh_matches.virtual_service = mesh_rules.virtual_service
        and mesh_matches.protocol = mesh_rules.protocol
        and mesh_matches.rule = mesh_rules.rule
    left join names
        on mesh_matches.namespace is not distinct from names.namespace
        and mesh_matches.virtual_service = names.virtual_service
        and mesh_matches.protocol = names.protocol
        and mesh_matches.rule = names.rule
        and mesh_matches.match = names.match
    where mesh_rules.delegate is null
),

served_calls as (
    select
        hop_rules.namespace,
        hop_rules.virtual_service,
        hop_rules.protocol,
        hop_rules.rule,
        hop_rules.match,
        count(distinct hops.call_id) as calls,
        count(distinct hops.call_id) filter (where hops.is_error) as errors,
        max(hops.started_at) as last_called_at,
    from hop_rules
    inner join hops using (hop_id)
    group by all
),

-- a VirtualService whose other rules were used had callers that log
used as (
    select
        namespace,
        virtual_service,
        sum(calls) as calls,
    from served_calls
    group by namespace, virtual_service
)

select
    matches.namespace,
    matches.virtual_service,
    matches.protocol,
    matches.rule,
    matches.match,
    matches.route_name,
    matches.conditions,
    matches.field,
    coalesce(served_calls.calls, 0) as calls,
    coalesce(served_calls.errors, 0) as errors,
    served_calls.last_called_at,
    -- none of its calls can be told apart from those of its siblings
    count(*) over (
        partition by matches.namespace, matches.virtual_service, matches.route_name
    ) = 1 as is_told_by_name,
    coalesce(served_calls.calls, 0) > 0 as is_used,
    coalesce(used.calls, 0) > 0 as is_virtual_service_used,
    matches.snapshot_at,
    matches.is_later,
from matches
left join served_calls
    on matches.namespace is not distinct from served_calls.namespace
    and matches.virtual_service = served_calls.virtual_service
    and matches.protocol = served_calls.protocol
    and matches.rule = served_calls.rule
    and matches.match = served_calls.match
left join used
    on matches.namespace is not distinct from used.namespace
    and matches.virtual_service = used.virtual_service
