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
        min(step_at) as first_at,
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
    select 'mark' as kind, 'onset' as label, onset_at as moment_at, null::timestamptz as moment_until from main
    union all
    select 'mark' as kind, 'peak' as label, peak_at as moment_at, null as moment_until from main
    union all
    select 'mark' as kind, 'recovered' as label, recovered_at as moment_at, null as moment_until from main
    where recovered_at is not null
    union all
    select
        'span' as kind,
        'baseline' as label,
        $baseline_since::timestamptz as moment_at,
        $baseline_until::timestamptz as moment_until,
    where $baseline_since is not null
    union all
    select 'span' as kind, 'window' as label, $since::timestamptz as moment_at, $until::timestamptz as moment_until
),

marks as (
    select
        kind,
        (epoch_ms(moment_at) - epoch_ms(first_at)) / 1000 / first_steps.step_seconds as place,
        (epoch_ms(moment_until) - epoch_ms(first_at)) / 1000 / first_steps.step_seconds as next_place,
        moment_at,
        label,
        first_steps.step_seconds,
        first_steps.steps,
    from moments
    cross join first_steps
),

-- a peak is a step, and is marked in its middle
drawn as (
    select * from steps
    union all by name
    select
        kind,
        greatest(0, least(steps, case when label = 'peak' then floor(place) + 0.5 else place end)) as position,
        greatest(0, least(steps, next_place)) as next_position,
        moment_at,
        label,
        step_seconds,
        false as is_tick,
    from marks
)

select * from drawn
order by kind desc, position, label
