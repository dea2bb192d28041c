-- when things went wrong: one row per edge of the series, run of trouble and step in it
-- $changes has the positions at which the series of an edge changes, found by change-point detection. A segment between two
-- of them is bad where its share of bad calls lies two points and the half above the usual: the baseline's share, or the
-- least share that a quarter of the steps keep to. Runs of bad segments that at most $bridge good steps part are one. Where
-- most bad calls of a run began elsewhere, it is cut out of it what was calm: more steps than that in which trouble began on no
-- edge, and the share of bad calls was less than half the run's.
with

series as (
    select * from incident_series
),

changes as (
    select
        change.edge as edge,
        change.position as position,
    from (select unnest($changes::json::struct(edge bigint, position bigint)[]) as change)
),

numbered as (
    select
        series.*,
        (select count(*) from changes where changes.edge = series.edge and changes.position <= series.position) as segment,
    from series
),

segments as (
    select
        edge,
        segment,
        min(position) as first_position,
        max(position) as last_position,
        count(*) as steps,
        sum(calls) as calls,
        sum(bad) as bad,
        coalesce(sum(bad) / nullif(sum(calls), 0), 0) as share,
    from numbered
    group by edge, segment
),

-- by the segments' shares: what does not change between baseline and window is not worse in it
baselines as (
    select
        numbered.edge,
        sum(segments.share * numbered.calls) / nullif(sum(numbered.calls), 0) as usual_share,
    from numbered
    inner join segments using (edge, segment)
    where numbered.step_at < $baseline_until::timestamptz and numbered.step_at >= $baseline_since::timestamptz
    group by numbered.edge
),

-- the least share that a quarter of the steps keep to; the whole's, where it does not change
best_quarters as (
    select
        edge,
        min(share) as usual_share,
    from (
        select
            *,
            sum(steps) over (partition by edge order by share, segment) >= 0.25 * sum(steps) over (partition by edge)
                as is_enough,
        from segments
    )
    where is_enough
    group by edge
),

judged as (
    select
        segments.*,
        coalesce(baselines.usual_share, best_quarters.usual_share) as usual_share,
    from segments
    inner join best_quarters using (edge)
    left join baselines using (edge)
),

worse as (
    select
        *,
        coalesce(first_position > lag(last_position) over runs + 1 + $bridge, true) as is_new,
    from judged
    where share >= usual_share + 0.02 and share >= 1.5 * usual_share and bad - usual_share * calls >= 3
    window runs as (partition by edge order by first_position)
),

runs as (
    select
        edge,
        run,
        min(first_position) as first_position,
        max(last_position) as last_position,
        any_value(usual_share) as usual_share,
    from (
        select *, sum(is_new::int) over (partition by edge order by first_position) as run
        from worse
    )
    group by edge, run
),

in_runs as (
    select
        series.*,
        runs.run,
        runs.usual_share,
    from runs
    inner join series on runs.edge = series.edge and series.position between runs.first_position and runs.last_position
),

---------- what was calm in a run that only passes on what began elsewhere

shared as (
    select
        *,
        sum(bad) over runs / sum(calls) over runs as run_share,
        edge > 0 and sum(began) over runs >= 0.5 * sum(bad) over runs as is_origin,
    from in_runs
    window runs as (partition by edge, run)
),

stretched as (
    select
        *,
        position - row_number() over (partition by edge, run, is_origin_bad order by position) as stretch,
    from (
        select
            *,
            position in (select position from shared where is_origin) as is_origin_bad,
        from shared
    )
),

judged_steps as (
    select
        *,
        is_origin
        or is_origin_bad
        or count(*) over stretches <= $bridge
        or sum(bad) over stretches >= 0.5 * run_share * sum(calls) over stretches as is_trouble,
    from stretched
    window stretches as (partition by edge, run, is_origin_bad, stretch)
),

-- cut apart, a run is several, and so it is where its steps are those of a baseline of another time and of the window
numbered_runs as (
    select
        * exclude (run),
        dense_rank() over (partition by edge order by run, piece) as run,
    from (
        select
            *,
            step_at - to_seconds(step_seconds * row_number() over (partition by edge, run order by position)) as piece,
        from judged_steps
        where is_trouble
    )
)

select
    edge,
    run,
    position,
    usual_share,
from numbered_runs
order by edge, position
