-- one row per destination of a rule, its weight, and the share of the rule's calls that went there
-- key: namespace, virtual_service, protocol, rule, destination
with

destinations as (
    select * from mesh_destinations
),

served_calls as (
    select
        hop_rules.namespace,
        hop_rules.virtual_service,
        hop_rules.protocol,
        hop_rules.rule,
        hops.service,
        hops.cluster_subset,
        count(distinct hops.call_id) as calls,
    from hop_rules
    inner join hops using (hop_id)
    where hops.attempt = hops.attempts
    group by all
),

joined as (
    select
        destinations.namespace,
        destinations.virtual_service,
        destinations.protocol,
        destinations.rule,
        destinations.destination,
        destinations.service,
        destinations.subset,
        destinations.weight,
        destinations.weight_share,
        coalesce(served_calls.calls, 0) as calls,
        sum(coalesce(served_calls.calls, 0)) over rules as rule_calls,
        destinations.field || '.weight' as field,
        destinations.snapshot_at,
        destinations.is_later,
    from destinations
    left join served_calls
        on destinations.namespace is not distinct from served_calls.namespace
        and destinations.virtual_service = served_calls.virtual_service
        and destinations.protocol = served_calls.protocol
        and destinations.rule = served_calls.rule
        and destinations.service is not distinct from served_calls.service
        and destinations.subset is not distinct from served_calls.cluster_subset
    window rules as (
        partition by destinations.namespace, destinations.virtual_service, destinations.protocol, destinations.rule
    )
)

select
    * exclude (snapshot_at, is_later, rule_calls),
    calls / nullif(rule_calls, 0) as call_share,
    -- how many standard errors the split lies off its weight, were each call drawn by it
    (calls - rule_calls * weight_share) / nullif(sqrt(rule_calls * weight_share * (1 - weight_share)), 0) as split_z,
    snapshot_at,
    is_later,
from joined
