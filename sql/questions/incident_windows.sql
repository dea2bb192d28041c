-- which times look like incidents: runs of trouble on any edge that overlap or follow at once are one window
-- Each window reaches a little beyond its trouble; its baseline is as long, before it, and no older than the trouble before.
with

runs as (
    select * from incident_phases
    where excess >= $least
),

placed as (
    select
        *,
        coalesce(
            first_step_at > max(last_step_until) over (
                order by first_step_at, last_step_until, edge rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_new,
    from runs
),

numbered as (
    select
        *,
        sum(is_new::int) over (order by first_step_at, last_step_until, edge) as number,
    from placed
),

windows as (
    select
        number,
        min(onset_at) as onset_at,
        max(last_bad_at) as last_bad_at,
        bool_or(recovered_at is null and edge = 0) as is_open,
        min(first_step_at) as first_step_at,
        max(last_step_until) as last_step_until,
        any_value(step_seconds) as step_seconds,
        arg_max(client_service, began) filter (where edge > 0) as client_service,
        arg_max(service, began) filter (where edge > 0) as service,
        sum(failed) filter (where edge = 0)::bigint as failed_requests,
        sum(slow) filter (where edge = 0)::bigint as slow_requests,
        sum(calls) filter (where edge = 0)::bigint as requests,
        max(peak_share) filter (where edge = 0) as peak_share,
        sum(began) filter (where edge > 0)::bigint as bad_calls,
    from numbered
    group by number
),

widened as (
    select
        *,
        to_seconds(greatest(2 * step_seconds, ceil((epoch(last_step_until) - epoch(first_step_at)) / 4)::bigint)) as pad,
        coalesce(
            lag(last_step_until) over (order by first_step_at), (select min(step_at) from incident_series)
        ) as calm_since,
        coalesce(
            lead(first_step_at) over (order by first_step_at),
            (select max(step_at) + to_seconds(any_value(step_seconds)) from incident_series)
        ) as calm_until,
    from windows
),

bounded as (
    select
        *,
        greatest(first_step_at - to_seconds(2 * step_seconds), calm_since) as since,
        least(last_step_until + pad, calm_until) as until,
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
        client_service,
        service,
        coalesce(requests, 0) as requests,
        coalesce(failed_requests, 0) as failed_requests,
        coalesce(slow_requests, 0) as slow_requests,
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
