-- the course of the trouble in steps of time, with the marks that a chart of it needs
-- It shows the requests that entered the mesh; where none of them did, all steps are empty. Rows of the kind 'mark' are the
-- onset, peak and recovery, those of the kind 'span' the baseline and the window, placed in steps.
with

series as (
    select * from incident_series
    where edge = 0
),

main as (
    select * from incident_phases
    where edge = 0 and place = 1
),

widths as (
    select
        any_value(step_seconds) as step_seconds,
        count(*) as steps,
    from series
),

-- ticks stand on round times of the day, at most nine of them
first_steps as (
    select
        widths.*,
        (
            select min(seconds)
            from (select unnest([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400]) as seconds)
            where seconds * 8 >= widths.steps * widths.step_seconds
        ) as tick_seconds,
    from widths
),

steps as (
    select
        'step' as kind,
        position::double as position,
        position + 1.0 as next_position,
        calls,
        failed,
        slow,
        failed / nullif(calls, 0) as failed_share,
        bad_share,
        step_at as moment_at,
        series.step_seconds,
        strftime(step_at, case
            when first_steps.tick_seconds < 60 then '%H:%M:%S'
            when first_steps.tick_seconds < 86400 then '%H:%M'
            else '%d %b'
        end) as label,
        (hour(step_at) * 3600 + minute(step_at) * 60 + second(step_at)) % coalesce(first_steps.tick_seconds, 86400) = 0
            or first_steps.steps <= 2 as is_tick,
    from series
    cross join first_steps
),

moments as (
    select 'onset' as label, onset_at as moment_at from main
    union all
    select 'peak' as label, peak_at as moment_at from main
    union all
    select 'recovered' as label, recovered_at as moment_at from main
    where recovered_at is not null
),

-- a call may end beyond the last step
marks as (
    select
        'mark' as kind,
        moments.label,
        moments.moment_at,
        max(position + least(1, epoch(moments.moment_at - series.step_at) / series.step_seconds)) as place,
    from moments
    inner join series on series.step_at <= moments.moment_at and series.step_at < $until::timestamptz
    group by all
),

periods as (
    select 'baseline' as label, $baseline_since::timestamptz as since, $baseline_until::timestamptz as until
    union all
    select 'window' as label, $since::timestamptz as since, $until::timestamptz as until
),

spans as (
    select
        'span' as kind,
        periods.label,
        periods.since as moment_at,
        min(position + greatest(0, epoch(periods.since - step_at) / step_seconds)) as place,
        max(position + least(1, epoch(periods.until - step_at) / step_seconds)) as next_place,
    from periods
    inner join series
        on series.step_at < periods.until and series.step_at + to_seconds(series.step_seconds) > periods.since
    group by all
),

-- a peak is a step, and is marked in its middle
drawn as (
    select * from steps
    union all by name
    select
        kind,
        case when label = 'peak' then floor(place) + 0.5 else place end as position,
        next_place as next_position,
        moment_at,
        label,
        (select step_seconds from widths) as step_seconds,
        false as is_tick,
    from (select * from marks union all by name select * from spans)
)

select * from drawn
order by kind desc, position, label
