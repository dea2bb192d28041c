-- which rule of which VirtualService served each call of a request, and what it is set to
-- $request_id varchar: the request's id, or its beginning
with

served as (
    select
        hops.request_id,
        hops.started_at,
        hops.client_service,
        hops.service,
        hops.route_name,
        hop_rules.namespace,
        hop_rules.virtual_service,
        hop_rules.protocol,
        hop_rules.rule,
        hop_rules.match,
        hop_rules.field,
        hops.attempts,
        hops.client_response_code,
    from hops
    left join hop_rules using (hop_id)
    where starts_with(hops.request_id, $request_id) and hops.client_source is not null and hops.attempt = hops.attempts
),

explained as (
    select
        served.* exclude (protocol, rule, match),
        mesh_matches.conditions,
        mesh_rules.timeout,
        mesh_rules.retry_attempts,
        mesh_rules.retry_on,
    from served
    left join mesh_rules using (namespace, virtual_service, protocol, rule)
    left join mesh_matches using (namespace, virtual_service, protocol, rule, match)
)

select * from explained
order by started_at, client_service, service
