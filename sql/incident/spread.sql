-- the way the trouble took: the first failing edge, then the edges that it spread to, in the order of their onsets
-- for pages
-- Of the edges where most bad calls also began, the one with the earliest onset failed first. Onsets within two steps of each
-- other are one moment, in which the deeper edge comes first: its callers can only pass on what it does.
with

phases as (
    select * from incident_phases
),

edges as (
    select phases.*
    from phases
    cross join incident_trouble
    where
        phases.edge > 0
        and phases.first_step_at <= incident_trouble.last_step_until
        and phases.last_step_until >= incident_trouble.trouble_since
    qualify row_number() over (partition by phases.edge order by phases.excess desc) = 1
),

judged as (
    select
        *,
        began >= 0.5 * bad and began >= 0.1 * max(began) over () as is_origin,
    from edges
),

origins as (
    select
        edge,
        onset_at,
        step_seconds,
    from judged
    order by is_origin desc, floor(epoch(onset_at) / (2 * step_seconds)), began desc, depth desc, onset_at
    limit 1
),

ordered as (
    select
        judged.* exclude (place, is_origin),
        judged.is_origin,
        judged.edge = origins.edge as is_first,
        (epoch_ms(judged.onset_at) - epoch_ms(origins.onset_at)) / 1000 as after_seconds,
        row_number() over (
            order by
                judged.edge = origins.edge desc,
                greatest(0, floor((epoch(judged.onset_at) - epoch(origins.onset_at)) / (2 * origins.step_seconds))),
                judged.depth desc,
                judged.onset_at,
                judged.edge
        ) as place,
    from judged
    cross join origins
)

select * from ordered
order by place
