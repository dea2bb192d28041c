-- one row per destination of a VirtualService's rule
-- key: namespace, virtual_service, protocol, rule, destination
with

fields as (
    select
        *,
        regexp_extract(
            field, '^spec\.(http|tls|tcp)\[(\d+)\]\.route\[(\d+)\]\.(.+)$', ['protocol', 'rule', 'destination', 'rest']
        ) as place,
    from mesh_fields
    where api_group = 'networking.istio.io' and kind = 'VirtualService'
),

destinations as (
    select
        namespace,
        name as virtual_service,
        place.protocol as protocol,
        place.rule::integer + 1 as rule,
        place.destination::integer + 1 as destination,
        'spec.' || place.protocol || '[' || place.rule || '].route[' || place.destination || ']' as field,
        any_value(value) filter (where place.rest = 'destination.host') as host,
        any_value(value) filter (where place.rest = 'destination.subset') as subset,
        try_cast(any_value(value) filter (where place.rest = 'destination.port.number') as integer) as port,
        try_cast(any_value(value) filter (where place.rest = 'weight') as integer) as weight,
        any_value(snapshot_at) as snapshot_at,
        any_value(is_later) as is_later,
    from fields
    where place.protocol <> ''
    group by namespace, name, place.protocol, place.rule, place.destination
),

resolved as (
    select
        namespace,
        virtual_service,
        protocol,
        rule,
        destination,
        field,
        -- a short name is one of the VirtualService's own namespace
        case when host like '%.%' then host else host || '.' || namespace || '.svc.cluster.local' end as host,
        subset,
        port,
        -- a destination alone takes everything, whatever weight it has
        case when count(*) over rules = 1 then 100 else coalesce(weight, 0) end as weight,
        snapshot_at,
        is_later,
    from destinations
    window rules as (partition by namespace, virtual_service, protocol, rule)
),

shared as (
    select
        *,
        regexp_replace(host, '^([^.]+)\.([^.]+)\.svc\..*$', '\1.\2') as service,
        weight / nullif(sum(weight) over (partition by namespace, virtual_service, protocol, rule), 0) as weight_share,
    from resolved
)

select * from shared
