-- one row per minute, direction and cluster
-- key: minute_at, direction, upstream_cluster
-- A call seen from both sides counts under its outbound and under its inbound cluster: compare rates, never sum both.
with

lines as (
    select * from access_logs
),

counted as (
    select
        date_trunc('minute', started_at) as minute_at,
        direction,
        upstream_cluster,
        any_value(service) as service,
        count(*) as requests,
        count(*) filter (where response_code between 400 and 499) as responses_4xx,
        count(*) filter (where response_code >= 500) as responses_5xx,
        count(*) filter (where response_code in (502, 503, 504)) as gateway_errors,
        count(*) filter (where response_code = 0 and kind <> 'tcp') as no_response,
        count(*) filter (where response_flags is not null) as flagged,
        count(*) filter (where is_error) as errors,
    from lines
    group by minute_at, direction, upstream_cluster
),

rated as (
    select
        *,
        errors / requests as error_rate,
    from counted
)

select * from rated
