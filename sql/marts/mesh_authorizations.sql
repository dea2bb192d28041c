-- one row per rule of an AuthorizationPolicy, or the one row 0 of a policy without rules
-- key: namespace, policy, rule
with

policies as (
    select
        *,
        json_extract(body, '$.spec.rules[*]') as rules,
    from mesh_objects
    where kind = 'AuthorizationPolicy' and api_group = 'security.istio.io'
),

numbered as (
    select
        namespace,
        name as policy,
        unnest(case when len(rules) = 0 then [0] else generate_series(1, len(rules)) end)::integer as rule,
        rules,
        body,
        snapshot_at,
        is_later,
    from policies
)

select
    namespace,
    policy,
    rule,
    coalesce(body ->> '$.spec.action', 'ALLOW') as action,
    body -> '$.spec.selector.matchLabels' as selector,
    body ->> '$.spec.provider.name' as provider,
    rules[rule] as conditions,
    -- Istio counts from 0, and so do the details of a denial
    case when rule > 0 then 'spec.rules[' || (rule - 1) || ']' end as field,
    snapshot_at,
    is_later,
from numbered
