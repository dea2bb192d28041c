-- what was read of each source of the window, the ones with trouble first
-- $limit bigint = 20: how many rows at most
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

ranked as (
    select
        source,
        pod,
        lines,
        rejects,
        noise,
        blank,
        rows_in_window,
        outbound,
        inbound,
        unknown_direction,
        paired,
        unpaired,
        unpaired / nullif(rows_in_window, 0) as unpaired_share,
        problem,
        count(*) over () as found,
    from sources
    order by problem is not null desc, rejects desc, unpaired desc, source
    limit $limit
)

select * from ranked
