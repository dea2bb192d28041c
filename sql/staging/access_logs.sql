-- one row per access-log line; a call seen from both sides is two rows, so never sum both
-- key: source, line_number
with

around as (
    select * from access_logs_around
),

in_window as (
    select around.* exclude (ended_at, line_id)
    from around
    cross join session_window
    where
        (since is null or started_at >= since)
        and (until is null or started_at < until)
)

select * from in_window
