-- one row per edge: what its retries saved and what they wasted
-- key: client_service, service
-- Attempts are those that a server logged, or the client's last one: attempts that reached nobody leave no line.
with

hops as (
    select * from hops
),

calls as (
    select
        call_id,
        client_service,
        service,
        max(attempts) as attempts,
        bool_or(is_error) filter (where attempt = attempts) as is_error,
        bool_or(list_contains(client_flags, 'URX')) filter (where attempt = attempts) as is_limit_reached,
        coalesce(sum(server_duration_ms) filter (where attempt < attempts), 0) as earlier_attempts_ms,
    from hops
    where client_source is not null and service is not null
    group by all
),

edges as (
    select
        client_service,
        service,
        count(*) as calls,
        sum(attempts)::bigint as attempts,
        count(*) filter (where attempts > 1 or is_limit_reached) as retried,
        count(*) filter (where attempts > 1 and not is_error) as saved,
        count(*) filter (where (attempts > 1 or is_limit_reached) and is_error) as wasted,
        count(*) filter (where is_limit_reached) as limit_reached,
        sum(earlier_attempts_ms)::bigint as earlier_attempts_ms,
        sum(attempts) / count(*) as attempts_per_call,
    from calls
    group by client_service, service
)

select * from edges
