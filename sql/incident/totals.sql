-- how far the trouble reached: requests, users, callers, routes and bytes of the window, beside those of the baseline
-- for pages
-- A user is the first address of x-forwarded-for, so people behind one address are one user.
with

calls as (
    select * from incident_calls
),

requests as (
    select
        count(*) filter (where period = 'incident') as requests,
        count(*) filter (where period = 'incident' and is_error) as failed,
        count(*) filter (where period = 'incident' and is_slow and not is_error) as slow,
        count(*) filter (where period = 'incident' and is_bad) / nullif(count(*) filter (where period = 'incident'), 0)
            as bad_share,
        count(*) filter (where period = 'baseline') as baseline_requests,
        count(*) filter (where period = 'baseline' and is_error) as baseline_failed,
        count(*) filter (where period = 'baseline' and is_slow and not is_error) as baseline_slow,
        count(*) filter (where period = 'baseline' and is_bad)
            / nullif(count(*) filter (where period = 'baseline'), 0) as baseline_bad_share,
        count(distinct forwarded_user) filter (where period = 'incident') as users,
        count(distinct forwarded_user) filter (where period = 'incident' and is_bad) as users_hit,
        count(distinct path_template) filter (where period = 'incident') as routes,
        count(distinct path_template) filter (where period = 'incident' and is_bad) as routes_hit,
        coalesce(sum(request_bytes) filter (where period = 'incident' and is_error), 0)::bigint as failed_request_bytes,
        coalesce(sum(response_bytes) filter (where period = 'incident'), 0)::bigint as response_bytes,
        coalesce(sum(response_bytes) filter (where period = 'baseline'), 0)::bigint as baseline_response_bytes,
        quantile_cont(waited_ms, 0.5) filter (where period = 'incident') as p50_ms,
        quantile_cont(waited_ms, 0.95) filter (where period = 'incident') as p95_ms,
        quantile_cont(waited_ms, 0.5) filter (where period = 'baseline') as baseline_p50_ms,
        quantile_cont(waited_ms, 0.95) filter (where period = 'baseline') as baseline_p95_ms,
    from calls
    where is_entry
),

inner_calls as (
    select
        count(*) filter (where period = 'incident') as calls,
        count(*) filter (where period = 'incident' and is_bad) as bad_calls,
        count(*) filter (where period = 'incident' and began_here) as began_calls,
        count(distinct client_service) filter (where period = 'incident' and is_bad) as callers_hit,
        count(distinct client_service) filter (where period = 'incident') as callers,
        count(distinct service) filter (where period = 'incident' and is_bad) as services_hit,
        count(distinct service) filter (where period = 'incident') as services,
    from calls
)

select *
from requests
cross join inner_calls
