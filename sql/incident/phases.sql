-- when trouble began, was worst and ended: one row per edge of the series and run of trouble, the worst run that touches the
-- window first
-- A run began with its first bad call and ended with its last; it has no end where it reaches the end of the window.
with

calls as (
    select * from incident_calls
),

series as (
    select * from incident_series
),

in_runs as (
    select
        series.*,
        runs.run,
        runs.usual_share,
    from incident_runs as runs
    inner join series using (edge, position)
),

timed as (
    select
        edge,
        run,
        any_value(client_service) as client_service,
        any_value(service) as service,
        any_value(usual_share) as usual_share,
        sum(bad - usual_share * calls) as excess,
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
    greatest(timed.peak_at, exact.onset_at) as peak_at,
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
