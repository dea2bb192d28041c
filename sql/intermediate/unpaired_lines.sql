-- one row per line that is in no pair of fitting_pairs
-- key: line_id
-- Few of a day's lines: numbers alone are compared, and only theirs are looked at further.
select line_id, direction, from access_logs_around
anti join (
    select client_line_id as line_id from fitting_pairs
    union all
    select server_line_id as line_id from fitting_pairs
) as paired using (line_id)
