-- which routes failed most: calls by service, method and path, with ids in the path as {id}
-- $service varchar = null: only calls of this service, as name.namespace
-- $limit bigint = 20: how many rows at most
with

calls as (
    select
        hops.*,
        call_dimensions.path_template as route,
    from hops
    inner join call_dimensions using (hop_id)
    where attempt = attempts and kind <> 'tcp'
),

routes as (
    select
        service,
        method,
        route,
        count(*) as calls,
        count(*) filter (where is_error) as errors,
        round(count(*) filter (where is_error) / count(*), 6) as error_rate,
        mode(cause) filter (where is_error) as commonest_cause,
        min(started_at) filter (where is_error) as first_failed_at,
        max(started_at) filter (where is_error) as last_failed_at,
        min_by(request_id, started_at) filter (where is_error) as first_failed_request_id,
    from calls
    where $service is null or service = $service
    group by service, method, route
),

ranked as (
    select * from routes
    where errors > 0
    order by errors desc, error_rate desc, service, method, route
    limit $limit
)

select * from ranked
