-- whose calls fail: failed calls by caller, called service and cause, the commonest first
-- $service varchar = null: only calls of this service, as name.namespace
-- $limit bigint = 20: how many rows at most
with

calls as (
    select
        *,
        count(*) over (partition by client_service, service) as edge_calls,
    from hops
    where attempt = attempts and ($service is null or service = $service)
),

failures as (
    select
        client_service,
        service,
        cause,
        culprit_service,
        count(*) as failed,
        any_value(edge_calls) as edge_calls,
        round(count(*) / any_value(edge_calls), 6) as failed_share,
        min(started_at) as first_failed_at,
        max(started_at) as last_failed_at,
        min_by(request_id, started_at) as first_failed_request_id,
    from calls
    where is_error
    group by client_service, service, cause, culprit_service
),

ranked as (
    select * from failures
    order by failed desc, client_service, service, cause, culprit_service
    limit $limit
)

select * from ranked
