-- which service has to answer for the most failed requests: one row, none where nothing failed
with

failed as (
    select * from traces
    where is_error
),

blamed as (
    select
        culprit_service,
        count(*) as failed,
        sum(count(*)) over ()::bigint as all_failed,
        count(*) over () as culprits,
    from failed
    group by culprit_service
),

worst as (
    select
        *,
        failed > 0.5 * all_failed as is_most,
    from blamed
    order by failed desc, culprit_service
    limit 1
)

select * from worst
