-- how many requests came and how many failed over the window, in steps that suit the time that the rows span
with

steps as (
    select * from time_steps
),

counted as (
    select
        steps.step_at,
        count(*) as requests,
        count(*) filter (where traces.is_error) as failed,
    from traces
    inner join steps on traces.started_at >= steps.step_at and traces.started_at < steps.until_at
    group by steps.step_at
),

placed as (
    select
        steps.*,
        coalesce(counted.requests, 0) as requests,
        coalesce(counted.failed, 0) as failed,
        coalesce(counted.requests, 0) - coalesce(counted.failed, 0) as succeeded,
        counted.failed / counted.requests as error_rate,
    from steps
    left join counted using (step_at)
    order by position
)

select * from placed
