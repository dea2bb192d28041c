-- what failed first: each culprit and cause by the first call that a failure began with
-- $limit bigint = 20: how many rows at most
with

failures as (
    select * from hops
    where is_error and coalesce(culprit_hop_id, hop_id) = hop_id
),

firsts as (
    select
        culprit_service,
        cause,
        min(started_at) as first_failed_at,
        max(started_at) as last_failed_at,
        count(*) as failed,
        count(distinct client_service) as callers,
        min_by(client_service, started_at) as first_caller,
        min_by(service, started_at) as first_called,
        min_by(request_id, started_at) as first_failed_request_id,
    from failures
    group by culprit_service, cause
),

ranked as (
    select * from firsts
    order by first_failed_at, culprit_service, cause
    limit $limit
)

select * from ranked
