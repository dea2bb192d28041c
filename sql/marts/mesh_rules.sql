-- one row per rule of a VirtualService, numbered in the order in which it is tried
-- key: namespace, virtual_service, protocol, rule
with

fields as (
    select
        *,
        regexp_extract(field, '^spec\.(http|tls|tcp)\[(\d+)\]\.(.+)$', ['protocol', 'number', 'rest']) as place,
    from mesh_fields
    where api_group = 'networking.istio.io' and kind = 'VirtualService'
),

hosts as (
    select
        namespace,
        name,
        list(case when value like '%.%' or value = '*' then value
            else value || '.' || namespace || '.svc.cluster.local' end order by field)
            filter (where starts_with(field, 'spec.hosts[')) as hosts,
        list(value order by field) filter (where starts_with(field, 'spec.gateways[')) as gateways,
        list(case when value = '.' then namespace else value end order by field)
            filter (where starts_with(field, 'spec.exportTo[')) as exported,
        -- ~ is nobody, and * everybody, whoever else is named
        case
            when exported is null or list_contains(exported, '*') then ['*']
            when list_contains(exported, '~') then []
            else exported
        end as export_to,
    from fields
    group by namespace, name
),

rules as (
    select
        namespace,
        name as virtual_service,
        place.protocol as protocol,
        place.number::integer + 1 as rule,
        'spec.' || place.protocol || '[' || place.number || ']' as field,
        any_value(value) filter (where place.rest = 'name') as rule_name,
        count(distinct regexp_extract(place.rest, '^match\[(\d+)\]', 1))
            filter (where starts_with(place.rest, 'match[')) as matches,
        any_value(value) filter (where place.rest = 'timeout') as timeout,
        any_value(value_ms) filter (where place.rest = 'timeout') as timeout_ms,
        try_cast(any_value(value) filter (where place.rest = 'retries.attempts') as integer) as retry_attempts,
        any_value(value) filter (where place.rest = 'retries.perTryTimeout') as per_try_timeout,
        any_value(value) filter (where place.rest = 'retries.retryOn') as retry_on,
        any_value(value) filter (where place.rest = 'fault.delay.fixedDelay') as fault_delay,
        any_value(value) filter (where place.rest in ('fault.delay.percentage.value', 'fault.delay.percent'))
            as fault_delay_percent,
        any_value(value) filter (where place.rest in ('fault.abort.httpStatus', 'fault.abort.grpcStatus'))
            as fault_abort_status,
        any_value(value) filter (where place.rest in ('fault.abort.percentage.value', 'fault.abort.percent'))
            as fault_abort_percent,
        any_value(value) filter (where place.rest in ('mirror.host', 'mirrors[0].destination.host')) as mirror_host,
        any_value(value) filter (where place.rest in (
            'mirrorPercentage.value', 'mirrorPercent', 'mirrors[0].percentage.value')) as mirror_percent,
        any_value(value) filter (where place.rest = 'rewrite.uri') as rewrite_uri,
        any_value(value) filter (where place.rest = 'rewrite.authority') as rewrite_authority,
        any_value(value) filter (where place.rest = 'directResponse.status') as direct_response_status,
        bool_or(starts_with(place.rest, 'redirect.')) as is_redirect,
        any_value(value) filter (where place.rest = 'delegate.name')
            || coalesce('.' || any_value(value) filter (where place.rest = 'delegate.namespace'), '.' || namespace, '')
            as delegate,
        any_value(snapshot_at) as snapshot_at,
        any_value(is_later) as is_later,
    from fields
    where place.protocol <> ''
    group by namespace, name, place.protocol, place.number
),

joined as (
    select
        rules.* exclude (snapshot_at, is_later),
        coalesce(hosts.hosts, []) as hosts,
        coalesce(hosts.gateways, ['mesh']) as gateways,
        hosts.export_to,
        rules.snapshot_at,
        rules.is_later,
    from rules
    inner join hosts on rules.namespace is not distinct from hosts.namespace and rules.virtual_service = hosts.name
)

select * from joined
