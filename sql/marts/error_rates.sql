-- one row per minute, direction, cluster and service
-- key: minute_at, direction, upstream_cluster, service
-- A call seen from both sides counts under its outbound and under its inbound cluster: compare rates, never sum both.
-- An inbound cluster names no more than a port, which many services share: the address that was called tells them apart.
with

lines as (
    select * from access_logs
),

counted as (
    select
        epoch_us(started_at) // 60000000 as minute,
        direction,
        upstream_cluster,
        service,
        case when direction = 'inbound' and service is null then downstream_local_address end as called_address,
        count(*) as requests,
        count(*) filter (where response_code between 400 and 499) as responses_4xx,
        count(*) filter (where response_code >= 500) as responses_5xx,
        count(*) filter (where response_code in (502, 503, 504)) as gateway_errors,
        count(*) filter (where response_code = 0 and kind <> 'tcp') as no_response,
        count(*) filter (where response_flags is not null) as flagged,
        count(*) filter (where is_error) as errors,
    from lines
    group by minute, direction, upstream_cluster, service, called_address
),

named as (
    select
        counted.* replace (coalesce(counted.service, address_names.service) as service),
    from counted
    left join address_names on regexp_replace(counted.called_address, ':\d+$', '') = address_names.address
),

summed as (
    select
        make_timestamptz(minute * 60000000) as minute_at,
        direction,
        upstream_cluster,
        service,
        sum(requests)::bigint as requests,
        sum(responses_4xx)::bigint as responses_4xx,
        sum(responses_5xx)::bigint as responses_5xx,
        sum(gateway_errors)::bigint as gateway_errors,
        sum(no_response)::bigint as no_response,
        sum(flagged)::bigint as flagged,
        sum(errors)::bigint as errors,
    from named
    group by minute, direction, upstream_cluster, service
),

rated as (
    select
        *,
        errors / requests as error_rate,
    from summed
)

select * from rated
