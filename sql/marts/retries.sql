-- one row per edge: what its retries saved, what they wasted, and how they multiply along a chain of calls
-- key: client_service, service
-- Attempts are those that a server logged, or the client's last one: attempts that reached nobody leave no line.
-- Two tries on each of three edges in a row are eight calls of the last service: chain_attempts_per_call says so.
with

attempts_made as not materialized (
    select
        *,
        contains(',' || client_response_flags || ',', ',URX,') as is_limit_reached,
    from calls_in_window
    where client_source is not null and service is not null
),

-- most calls have one attempt, and nothing to gather
calls_made as (
    select
        client_service,
        service,
        attempts,
        is_error,
        is_limit_reached,
        0 as earlier_attempts_ms,
    from attempts_made
    where attempts = 1
    union all
    select
        client_service,
        service,
        max(attempts) as attempts,
        bool_or(is_error) filter (where is_last_attempt) as is_error,
        bool_or(is_limit_reached) filter (where is_last_attempt) as is_limit_reached,
        coalesce(sum(server_duration_ms) filter (where not is_last_attempt), 0) as earlier_attempts_ms,
    from attempts_made
    where attempts > 1
    group by call_number, client_service, service
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
    from calls_made
    group by client_service, service
),

chains as (
    select
        client_service,
        service,
        count(*) / nullif(count(*) filter (where not is_repeat), 0) as chain_attempts_per_call,
    from trace_places
    inner join calls using (hop_number)
    where service is not null
    group by client_service, service
),

joined as (
    select
        edges.*,
        chains.chain_attempts_per_call,
    from edges
    left join chains
        on edges.client_service is not distinct from chains.client_service
        and edges.service = chains.service
)

select * from joined
