-- which routes took longest: answered calls by service, method and path, with ids in the path as {id}
-- $service varchar = null: only calls of this service, as name.namespace
-- $limit bigint = 20: how many rows at most
with

calls as (
    select
        hops.*,
        call_dimensions.path_template as route,
        coalesce(client_duration_ms, server_duration_ms) as duration_ms,
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
        round(quantile_cont(duration_ms, 0.5) filter (where not is_error), 3) as p50_ms,
        round(quantile_cont(duration_ms, 0.95) filter (where not is_error), 3) as p95_ms,
        round(quantile_cont(duration_ms, 0.99) filter (where not is_error), 3) as p99_ms,
        max(duration_ms) filter (where not is_error) as longest_ms,
        arg_max(request_id, duration_ms) filter (where not is_error) as longest_request_id,
    from calls
    where $service is null or service = $service
    group by service, method, route
),

ranked as (
    select * from routes
    where p95_ms is not null
    order by p95_ms desc, calls desc, service, method, route
    limit $limit
)

select * from ranked
