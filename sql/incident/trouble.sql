-- the trouble of the window: its onset, peak and recovery, one row
-- That of the requests that entered the mesh; where they show none, that of the worst edge; else the window as asked.
with

runs as (
    select *
    from incident_phases
    where first_step_at < $until::timestamptz and last_step_until > $since::timestamptz
    order by edge = 0 desc, place, excess desc
    limit 1
),

found as (
    select
        runs.edge is not null as is_found,
        runs.edge = 0 as is_of_requests,
        coalesce(runs.first_step_at, $since::timestamptz) as trouble_since,
        coalesce(runs.last_bad_at, $until::timestamptz) as trouble_until,
        coalesce(runs.last_step_until, $until::timestamptz) as last_step_until,
        runs.onset_at,
        runs.onset_at < $since::timestamptz as is_before_window,
        runs.peak_at,
        runs.peak_share,
        runs.recovered_at,
        epoch(runs.last_bad_at) - epoch(runs.onset_at) as seconds,
        runs.usual_share,
        runs.bad_share,
        (select any_value(step_seconds) from incident_series) as step_seconds,
    from (select 1 as one)
    left join runs on true
)

select * from found
