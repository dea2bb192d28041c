-- which clusters failed most over the window, seen from their callers; from the servers where no caller logged
-- $limit bigint = 20: how many rows at most
with

minutes as (
    select * from error_rates
),

chosen as (
    select * from minutes
    where direction <> 'inbound' or not exists (select 1 from minutes where direction = 'outbound')
),

counted as (
    select
        upstream_cluster,
        direction,
        service,
        sum(requests)::bigint as requests,
        sum(errors)::bigint as errors,
        sum(responses_4xx)::bigint as responses_4xx,
        sum(responses_5xx)::bigint as responses_5xx,
        sum(gateway_errors)::bigint as gateway_errors,
        sum(no_response)::bigint as no_response,
        sum(flagged)::bigint as flagged,
        sum(errors) / sum(requests) as error_rate,
        arg_max(minute_at, (errors, -epoch(minute_at))) filter (where errors > 0) as worst_minute_at,
    from chosen
    group by upstream_cluster, direction, service
),

ranked as (
    select
        *,
        count(*) over () as found,
    from counted
    where errors > 0
    order by errors desc, error_rate desc, upstream_cluster, service
    limit $limit
)

select * from ranked
