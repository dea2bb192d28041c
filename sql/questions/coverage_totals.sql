-- what was read of the sources that the window's rows came from, and how much of it found its other side
-- A source that gave no row at all counts when it was loaded together with one that gave rows in the window.
with

loads_in_window as (
    select distinct loads.load_id
    from loads
    inner join coverage using (source)
    where coverage.rows_in_window > 0
),

sources as (
    select * from coverage
    where
        rows_in_window > 0
        or (coalesce(rows, 0) = 0 and source in (
            select loads.source from loads
            inner join loads_in_window using (load_id)
        ))
),

counted as (
    select
        count(*) as sources,
        sum(lines)::bigint as lines,
        sum(rejects)::bigint as rejects,
        sum(noise)::bigint as noise,
        sum(blank)::bigint as blank,
        sum(rows_in_window)::bigint as rows_in_window,
        sum(paired)::bigint as paired,
        sum(unpaired)::bigint as unpaired,
        sum(unpaired) / nullif(sum(rows_in_window), 0) as unpaired_share,
        sum(rejects) / nullif(sum(lines), 0) as reject_share,
        count(problem) as problems,
        min(first_started_at) as first_started_at,
        max(last_started_at) as last_started_at,
    from sources
)

select * from counted
