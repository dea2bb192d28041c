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

calls as (
    select
        count(*) as calls,
        count(*) filter (where link in ('address', 'endpoint')) as paired,
        count(*) filter (where upstream_host is not null or link <> 'client_only') as placed,
        count(*) filter (where client_source is not null) as logged_by_callers,
        count(*) filter (where client_source is not null and link in ('address', 'endpoint')) as paired_of_callers,
        count(*) filter (where is_error) as failed,
        count(*) filter (where is_error and (link in ('address', 'endpoint') or upstream_host is null)) as failed_whole,
    from hops
    where attempt = attempts
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
            {'section': 'changes', 'known': sided, 'total': lines},
            {'section': 'budgets', 'known': named_calls, 'total': callers_lines},
            {'section': 'findings', 'known': calls.failed_whole, 'total': calls.failed},
            {'section': 'time', 'known': requests.whole, 'total': requests.requests},
            {'section': 'clusters', 'known': sided, 'total': lines},
            {'section': 'latency', 'known': measured, 'total': calls},
            {'section': 'graph', 'known': paired, 'total': calls},
            {'section': 'failed', 'known': requests.failed_whole, 'total': requests.failed},
            {'section': 'slowest', 'known': requests.answered_whole, 'total': requests.answered},
            {'section': 'retries', 'known': paired_of_callers, 'total': logged_by_callers},
            {'section': 'endpoints', 'known': placed, 'total': calls},
        ], recursive := true),
    from lines
    cross join calls
    cross join measured
    cross join requests
),

shared as (
    select
        section,
        known,
        total,
        known / nullif(total, 0) as share,
    from sections
)

select * from shared
