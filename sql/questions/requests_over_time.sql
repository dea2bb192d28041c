-- how many requests came and how many failed over the window, in steps that suit the time that the rows span
with

requests as (
    select * from traces
),

spanned as (
    select
        min(started_at) as first_started_at,
        max(started_at) as last_started_at,
    from requests
),

stepped as (
    select
        *,
        to_seconds((
            select min(seconds)
            from (select unnest([1, 5, 10, 30, 60, 300, 600, 1800, 3600, 86400]) as seconds)
            where seconds * 144 >= date_diff('second', first_started_at, last_started_at)
        )) as step,
    from spanned
    where first_started_at is not null
),

grid as (
    select
        step,
        unnest(generate_series(
            time_bucket(step, first_started_at), time_bucket(step, last_started_at), step
        )) as step_at,
    from stepped
),

counted as (
    select
        time_bucket(stepped.step, requests.started_at) as step_at,
        count(*) as requests,
        count(*) filter (where requests.is_error) as failed,
    from requests
    cross join stepped
    group by all
),

placed as (
    select
        grid.step_at,
        extract(epoch from grid.step)::bigint as step_seconds,
        row_number() over (order by grid.step_at) - 1 as position,
        row_number() over (order by grid.step_at) as next_position,
        coalesce(counted.requests, 0) as requests,
        coalesce(counted.failed, 0) as failed,
        coalesce(counted.requests, 0) - coalesce(counted.failed, 0) as succeeded,
        counted.failed / counted.requests as error_rate,
        strftime(grid.step_at, case when extract(epoch from grid.step) < 60 then '%H:%M:%S' else '%H:%M' end) as label,
    from grid
    left join counted using (step_at)
    order by grid.step_at
),

-- ticks stand on round times of the day, at most nine of them
tick_widths as (
    select min(seconds) as tick_seconds
    from (select unnest([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400]) as seconds)
    where seconds * 8 >= (select max(next_position) * max(step_seconds) from placed)
),

ticked as (
    select
        placed.*,
        (hour(step_at) * 3600 + minute(step_at) * 60 + second(step_at)) % tick_seconds = 0
            or max(next_position) over () <= 2 as is_tick,
    from placed
    cross join tick_widths
    order by position
)

select * from ticked
