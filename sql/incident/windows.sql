-- which times look like incidents: runs of trouble of the requests, and runs of edges that no request shows
-- Runs of edges that overlap or follow at once are one window. Each begins a little before its trouble and reaches as far
-- beyond it as it took, which shows whether it was over; its baseline is as long, before it, and no older than the trouble
-- before. The edge named is the one where the most bad calls began.
with

runs as (
    select * from incident_phases
    where excess >= $least
),

of_requests as (
    select
        onset_at,
        last_bad_at,
        recovered_at is null as is_open,
        first_step_at,
        last_step_until,
        step_seconds,
        peak_share,
    from runs
    where edge = 0
),

of_edges as (
    select
        runs.*,
        coalesce(
            runs.first_step_at > max(runs.last_step_until) over (
                order by runs.first_step_at, runs.last_step_until, edge rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_new,
    from runs
    where
        edge > 0
        and not exists (
            select 1 from of_requests
            where runs.first_step_at <= of_requests.last_step_until and runs.last_step_until >= of_requests.first_step_at
        )
),

windows as (
    select * from of_requests
    union all by name
    select
        min(onset_at) as onset_at,
        max(last_bad_at) as last_bad_at,
        bool_or(recovered_at is null) as is_open,
        min(first_step_at) as first_step_at,
        max(last_step_until) as last_step_until,
        any_value(step_seconds) as step_seconds,
        max(peak_share) as peak_share,
    from (
        select *, sum(is_new::int) over (order by first_step_at, last_step_until, edge) as number from of_edges
    )
    group by number
),

---------- what lies in them

bad_calls as (
    select
        windows.first_step_at,
        calls.client_service,
        calls.service,
        count(*) filter (where calls.is_entry) as requests,
        count(*) filter (where calls.is_entry and calls.is_error) as failed,
        count(*) filter (where calls.is_entry and calls.is_slow and not calls.is_error) as slow,
        count(*) filter (where calls.began_here) as began,
    from windows
    inner join incident_calls as calls
        on calls.started_at >= windows.first_step_at and calls.started_at <= windows.last_bad_at
    group by all
),

counted as (
    select
        first_step_at,
        arg_max({'client_service': client_service, 'service': service}, began) as edge,
        sum(requests)::bigint as requests,
        sum(failed)::bigint as failed_requests,
        sum(slow)::bigint as slow_requests,
        sum(began)::bigint as bad_calls,
    from bad_calls
    group by first_step_at
),

widened as (
    select
        windows.*,
        counted.* exclude (first_step_at),
        to_seconds(greatest(2 * step_seconds, ceil(epoch(last_step_until) - epoch(windows.first_step_at))::bigint)) as pad,
        coalesce(
            lag(last_step_until) over (order by windows.first_step_at), (select min(step_at) from incident_series)
        ) as calm_since,
        coalesce(
            lead(windows.first_step_at - to_seconds(2 * step_seconds)) over (order by windows.first_step_at),
            (select max(step_at) + to_seconds(any_value(step_seconds)) from incident_series)
        ) as calm_until,
    from windows
    inner join counted using (first_step_at)
),

bounded as (
    select
        *,
        greatest(first_step_at - to_seconds(2 * step_seconds), calm_since) as since,
        greatest(
            last_step_until,
            least(last_step_until + case when first_step_at > calm_since then pad else 2 * pad end, calm_until)
        ) as until,
    from widened
),

based as (
    select
        *,
        greatest(calm_since, since - (until - since)) as baseline_since,
        since as baseline_until,
    from bounded
),

written as (
    select
        since,
        until,
        baseline_since,
        baseline_until,
        onset_at,
        case when not is_open then last_bad_at end as recovered_at,
        edge.client_service as client_service,
        edge.service as service,
        requests,
        failed_requests,
        slow_requests,
        peak_share,
        bad_calls,
        'meshlog incident --since ' || strftime(since at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ')
            || ' --until ' || strftime(until at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ')
            || case when baseline_since < baseline_until then
                ' --baseline ' || strftime(baseline_since at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ')
                || '..' || strftime(baseline_until at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ')
            else '' end
            || $flags
            || ' --out incident-' || strftime(onset_at at time zone 'UTC', '%Y%m%dT%H%M%SZ') as command,
    from based
)

select * from written
order by since
