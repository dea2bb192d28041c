-- how the error rates of the clusters that failed most went over the window, in the steps of requests_over_time
with

lines as (
    select * from access_logs
),

chosen as (
    select * from lines
    where direction <> 'inbound' or not exists (select 1 from lines where direction = 'outbound')
),

worst as (
    select
        upstream_cluster,
        any_value(service) as service,
        any_value(cluster_subset) as cluster_subset,
        count(*) filter (where is_error) as all_errors,
        row_number() over (
            order by count(*) filter (where is_error) desc, avg(is_error::integer) desc, upstream_cluster
        ) as place,
        count(*) over () as found,
    from chosen
    group by upstream_cluster
    having bool_or(is_error)
    qualify place <= $limit
),

steps as (
    select * from time_steps
),

counted as (
    select
        steps.step_at,
        chosen.upstream_cluster,
        count(*) as requests,
        count(*) filter (where chosen.is_error) as errors,
    from chosen
    inner join steps on chosen.started_at >= steps.step_at and chosen.started_at < steps.until_at
    where exists (select 1 from worst where worst.upstream_cluster is not distinct from chosen.upstream_cluster)
    group by steps.step_at, chosen.upstream_cluster
),

-- steps without a call have no rate
rated as (
    select
        worst.place,
        worst.upstream_cluster,
        worst.service,
        worst.cluster_subset,
        worst.all_errors,
        worst.found,
        steps.step_at,
        steps.position,
        steps.next_position,
        counted.requests,
        counted.errors,
        counted.errors / counted.requests as error_rate,
        max(counted.errors / counted.requests) over (partition by worst.place) as worst_rate,
    from worst
    inner join counted on worst.upstream_cluster is not distinct from counted.upstream_cluster
    inner join steps using (step_at)
    order by worst.place, steps.position
)

select * from rated
