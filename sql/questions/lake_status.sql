-- what the lake holds: lines, rows, sources and the time they span
with

loaded as (
    select
        count(distinct source) as sources,
        count(distinct load_id) as loads,
        sum(lines)::bigint as lines,
        sum(rows)::bigint as rows,
        sum(rejects)::bigint as rejects,
        sum(noise)::bigint as noise,
        sum(blank)::bigint as blank,
        sum(bytes)::bigint as bytes,
        count(problem) as problems,
        min(first_started_at) as first_started_at,
        max(last_started_at) as last_started_at,
        max(loaded_at) as last_loaded_at,
    from loads
)

select * from loaded
