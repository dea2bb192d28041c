-- when trouble began, was worst and ended: one row per edge of the series and run of bad segments, the worst run that
-- touches the window first
-- $changes has the positions at which the series of an edge changes, found by change-point detection. A segment between two
-- of them is bad where its share of bad calls lies two points and the half above the usual: the baseline's share, or that of
-- the best quarter of the steps. Runs of bad segments that a few good steps part are one. A run began with its first bad call
-- and ended with its last; it has no end where it reaches the end of the window.
with

calls as (
    select * from incident_calls
),

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

baselines as (
    select
        edge,
        coalesce(
            sum(bad) filter (where step_at < $since::timestamptz and step_at >= $baseline_since::timestamptz)
            / nullif(
                sum(calls) filter (where step_at < $since::timestamptz and step_at >= $baseline_since::timestamptz), 0
            ),
            quantile_cont(bad_share, 0.25),
            0
        ) as usual_share,
    from series
    group by edge
),

segments as (
    select
        numbered.edge,
        numbered.segment,
        min(numbered.position) as first_position,
        max(numbered.position) as last_position,
        sum(numbered.calls) as calls,
        sum(numbered.bad) as bad,
        any_value(baselines.usual_share) as usual_share,
        coalesce(sum(numbered.bad) / nullif(sum(numbered.calls), 0), 0) as share,
    from numbered
    inner join baselines using (edge)
    group by numbered.edge, numbered.segment
),

worse as (
    select
        *,
        coalesce(first_position > lag(last_position) over runs + 1 + $bridge, true) as is_new,
    from segments
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
        sum(bad - usual_share * calls) as excess,
    from (
        select *, sum(is_new::int) over (partition by edge order by first_position) as run
        from worse
    )
    group by edge, run
),

in_runs as (
    select
        runs.*,
        series.* exclude (edge),
    from runs
    inner join series on runs.edge = series.edge and series.position between runs.first_position and runs.last_position
),

timed as (
    select
        edge,
        run,
        any_value(client_service) as client_service,
        any_value(service) as service,
        any_value(usual_share) as usual_share,
        any_value(excess) as excess,
        min(step_at) as first_step_at,
        max(step_at) + to_seconds(any_value(step_seconds)) as last_step_until,
        any_value(step_seconds) as step_seconds,
        max(position) = (select max(position) from series) as is_open,
        arg_max(step_at, bad_share) filter (where calls >= 3) as peak_at,
        max(bad_share) filter (where calls >= 3) as peak_share,
        sum(calls)::bigint as calls,
        sum(bad)::bigint as bad,
        sum(failed)::bigint as failed,
        sum(slow)::bigint as slow,
        sum(began)::bigint as began,
    from in_runs
    group by edge, run
),

exact as (
    select
        timed.edge,
        timed.run,
        min(calls.started_at) as onset_at,
        max(calls.ended_at) as last_bad_at,
        avg(calls.depth) as depth,
    from timed
    inner join calls
        on calls.is_bad
        and calls.started_at >= timed.first_step_at
        and calls.started_at < timed.last_step_until
        and case
            when timed.edge = 0 then calls.is_entry
            else calls.client_service is not distinct from timed.client_service
                and calls.service is not distinct from timed.service
        end
    group by timed.edge, timed.run
)

select
    timed.edge,
    timed.client_service,
    timed.service,
    exact.onset_at,
    timed.peak_at,
    timed.peak_share,
    case when not timed.is_open then exact.last_bad_at end as recovered_at,
    exact.last_bad_at,
    timed.usual_share,
    timed.bad / nullif(timed.calls, 0) as bad_share,
    timed.calls,
    timed.bad,
    timed.failed,
    timed.slow,
    timed.began,
    timed.began / nullif(timed.bad, 0) as began_share,
    exact.depth,
    timed.excess,
    timed.step_seconds,
    timed.first_step_at,
    timed.last_step_until,
    row_number() over (
        partition by timed.edge
        order by
            timed.first_step_at < $until::timestamptz and timed.last_step_until > $since::timestamptz desc,
            timed.excess desc,
            exact.onset_at
    ) as place,
from timed
inner join exact using (edge, run)
order by timed.edge, place
