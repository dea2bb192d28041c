-- one row per finding, and rule of blame in it (null for all): what the log shows of the figures that a configuration limits
-- key: diagnosis_id, blame_rule
with

diagnosed as (
    select * from diagnosed_hops
),

of_the_finding as (
    select
        diagnosis_id,
        blame_rule,
        any_value(service) as service,
        count(distinct call_id) as calls,
        max(attempts) as attempts,
        count(distinct call_id) filter (where list_contains(client_flags, 'URX')) as used_up,
        quantile_cont(client_duration_ms, 0.5) as client_p50_ms,
    from diagnosed
    group by grouping sets ((diagnosis_id), (diagnosis_id, blame_rule))
    having blame_rule is not null or grouping(blame_rule) = 1
),

server_times as (
    select
        service,
        quantile_cont(server_duration_ms, 0.99) as server_p99_ms,
    from calls_in_window
    where server_duration_ms is not null and service in (select service from diagnosed)
    group by service
),

---------- how many calls one client pod had under way at once at one cluster, refused ones included

changes as (
    select
        client_pod,
        upstream_cluster,
        unnest([
            {'moment_at': client_started_at, 'change': 1},
            {'moment_at': client_ended_at + interval 1 microsecond, 'change': -1}
        ], recursive := true),
    from calls_in_window
    where
        attempt = attempts
        and client_started_at is not null
        and upstream_cluster in (select upstream_cluster from diagnosed where cause = 'overload')
),

under_way as (
    select
        client_pod,
        upstream_cluster,
        sum(change) over (partition by client_pod, upstream_cluster order by moment_at, change rows unbounded preceding)
            as calls,
    from changes
),

concurrencies as (
    select
        diagnosed.diagnosis_id,
        max(under_way.calls)::bigint as concurrency,
    from (select distinct diagnosis_id, client_pod, upstream_cluster from diagnosed) as diagnosed
    inner join under_way using (client_pod, upstream_cluster)
    group by diagnosed.diagnosis_id
)

select
    of_the_finding.diagnosis_id,
    of_the_finding.blame_rule,
    of_the_finding.calls,
    of_the_finding.attempts,
    of_the_finding.used_up,
    of_the_finding.client_p50_ms,
    server_times.server_p99_ms,
    concurrencies.concurrency,
from of_the_finding
left join server_times using (service)
left join concurrencies using (diagnosis_id)
