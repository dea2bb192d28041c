-- what each section of a report rests on: of all that it would count, how much was logged well enough; one row per section
with

lines as (
    select
        count(*) as lines,
        count(*) filter (where direction <> 'unknown') as sided,
        count(*) filter (where direction <> 'inbound') as callers_lines,
        count(*) filter (where direction <> 'inbound' and service is not null) as named_calls,
    from access_logs
),

counted as (
    select
        count(*) as calls,
        count(*) filter (where link in ('address', 'endpoint')) as paired,
        count(*) filter (where upstream_host is not null or link <> 'client_only') as placed,
        count(*) filter (where client_source is not null) as logged_by_callers,
        count(*) filter (where client_source is not null and link in ('address', 'endpoint')) as paired_of_callers,
        count(*) filter (where is_error) as failed,
        -- a call that reached no server has one line
        count(*) filter (
            where is_error and (link in ('address', 'endpoint') or (link = 'client_only' and upstream_host is null))
        ) as failed_whole,
    from calls_in_window
    where is_last_attempt
),

-- a gRPC call may fail with a status that the caller's line does not show
untold as (
    select count(*) as untold
    from calls
    where server_is_error and not client_is_error
),

measured as (
    select coalesce(sum(calls), 0)::bigint as measured
    from latency_breakdown
),

requests as (
    select
        count(*) as requests,
        count(*) filter (where is_complete) as whole,
        count(*) filter (where is_error) as failed,
        count(*) filter (where is_error and is_complete) as failed_whole,
        count(*) filter (where not is_error and kind <> 'tcp') as answered,
        count(*) filter (where not is_error and kind <> 'tcp' and is_complete) as answered_whole,
    from traces
),

sections as (
    select
        unnest([
            {'section': 'changes', 'known': sided, 'total': lines, 'untold': untold},
            {'section': 'budgets', 'known': named_calls, 'total': callers_lines, 'untold': untold},
            {'section': 'findings', 'known': counted.failed_whole, 'total': counted.failed, 'untold': 0},
            {'section': 'time', 'known': requests.whole, 'total': requests.requests, 'untold': 0},
            {'section': 'clusters', 'known': sided, 'total': lines, 'untold': 0},
            {'section': 'latency', 'known': measured, 'total': calls, 'untold': 0},
            {'section': 'graph', 'known': paired, 'total': calls, 'untold': 0},
            {'section': 'failed', 'known': requests.failed_whole, 'total': requests.failed, 'untold': 0},
            {'section': 'slowest', 'known': requests.answered_whole, 'total': requests.answered, 'untold': 0},
            {'section': 'retries', 'known': paired_of_callers, 'total': logged_by_callers, 'untold': 0},
            {'section': 'endpoints', 'known': placed, 'total': calls, 'untold': 0},
        ], recursive := true),
    from lines
    cross join counted
    cross join untold
    cross join measured
    cross join requests
),

shared as (
    select
        section,
        known,
        total,
        untold,
        known / nullif(total, 0) as share,
    from sections
)

select * from shared
