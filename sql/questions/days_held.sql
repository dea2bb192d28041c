-- which days the lake holds access-log lines of
with

lines as (
    select * from access_logs
),

days as (
    select
        started_at::date as day,
        count(*) as lines,
    from lines
    group by day
    order by day
)

select * from days
