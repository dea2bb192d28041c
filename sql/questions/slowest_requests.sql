-- which answered requests took longest; raw TCP and failed requests are left out
-- $limit bigint = 20: how many rows at most
with

answered as (
    select * from traces
    where not is_error and kind <> 'tcp'
),

ranked as (
    select
        answered.*,
        causes.title,
        count(*) over () as found,
    from answered
    left join causes using (cause)
    order by duration_ms desc, started_at, trace_id
    limit $limit
)

select * from ranked
