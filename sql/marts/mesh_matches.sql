-- one row per match of a VirtualService's rule (any of them will do), or the one row 0 of a rule that takes everything
-- key: namespace, virtual_service, protocol, rule, match
with

rules as (
    select * from mesh_rules
),

fields as (
    select
        *,
        regexp_extract(
            field, '^spec\.(http|tls|tcp)\[(\d+)\]\.match\[(\d+)\]\.(.+)$', ['protocol', 'rule', 'match', 'rest']
        ) as place,
    from mesh_fields
    where api_group = 'networking.istio.io' and kind = 'VirtualService'
),

matches as (
    select
        namespace,
        name as virtual_service,
        place.protocol as protocol,
        place.rule::integer + 1 as rule,
        place.match::integer + 1 as match,
        any_value(value) filter (where place.rest = 'name') as match_name,
        string_agg(replace(replace(place.rest, '"', ''), '.', ' ') || ' ' || value, ' and ' order by place.rest)
            filter (where place.rest <> 'name') as conditions,
    from fields
    where place.protocol <> ''
    group by namespace, name, place.protocol, place.rule, place.match
),

named as (
    select
        rules.namespace,
        rules.virtual_service,
        rules.protocol,
        rules.rule,
        coalesce(matches.match, 0) as match,
        rules.rule_name,
        matches.match_name,
        -- as access logs have it
        nullif(coalesce(rules.rule_name, '') || coalesce('.' || matches.match_name, ''), '') as route_name,
        coalesce(matches.conditions, 'everything') as conditions,
        rules.field || coalesce('.match[' || (matches.match - 1) || ']', '') as field,
        rules.snapshot_at,
        rules.is_later,
    from rules
    left join matches using (namespace, virtual_service, protocol, rule)
)

select * from named
