-- how many requests entered the mesh, how many of them failed, and how long they took
-- Raw TCP connections count as requests; they have no latency, since they last as long as their users like.
with

requests as (
    select * from traces
),

counted as (
    select
        count(*) as requests,
        count(*) filter (where is_error) as failed,
        count(*) filter (where is_error) / nullif(count(*), 0) as error_rate,
        quantile_cont(duration_ms, 0.5) filter (where kind <> 'tcp') as p50_ms,
        quantile_cont(duration_ms, 0.95) filter (where kind <> 'tcp') as p95_ms,
    from requests
)

select * from counted
