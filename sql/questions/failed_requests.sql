-- which failed requests to look at: for each cause and culprit one that shows most of its way, the commonest first
-- $limit bigint = 20: how many rows at most
with

failed as (
    select * from traces
    where is_error
),

grouped as (
    select
        failed.*,
        causes.title,
        count(*) over (partition by failed.cause, failed.culprit_service) as alike,
        count(*) over () as found,
        row_number() over (
            partition by failed.cause, failed.culprit_service
            order by is_complete desc, hops desc, duration_ms desc, started_at, trace_id
        ) as place,
    from failed
    left join causes using (cause)
),

examples as (
    select * exclude (place)
    from grouped
    where place = 1
    order by alike desc, started_at, trace_id
    limit $limit
)

select * from examples
