-- one row per step of time, of the width that suits the time that the rows span: at most 145 steps
-- key: step_at
with

lines as (
    select started_at from access_logs
    union all
    -- a clock set right can move a request's begin to before the first line's, or to after the last one's
    select started_at from traces
),

spanned as (
    select
        min(started_at) as first_started_at,
        max(started_at) as last_started_at,
    from lines
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

placed as (
    select
        step_at,
        step_at + step as until_at,
        extract(epoch from step)::bigint as step_seconds,
        row_number() over (order by step_at) - 1 as position,
        row_number() over (order by step_at) as next_position,
        strftime(step_at, case when extract(epoch from step) < 60 then '%H:%M:%S' else '%H:%M' end) as label,
    from grid
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
