-- which times are compared: window and baseline as asked; else a baseline as long right before, as far as the lake reaches back
with

held as (
    select
        min(first_started_at) as first_at,
        max(last_started_at) + interval 1 millisecond as last_at,
    from loads
),

asked as (
    select
        first_at,
        last_at,
        coalesce($since::timestamptz, first_at) as since,
        least(coalesce($until::timestamptz, last_at), greatest(last_at, $since::timestamptz)) as until,
    from held
),

placed as (
    select
        *,
        coalesce($baseline_since::timestamptz, greatest(since - (until - since), first_at)) as baseline_since,
        coalesce($baseline_until::timestamptz, since) as baseline_until,
        $baseline_since::timestamptz is null and since - (until - since) < first_at as is_cut,
    from asked
)

select
    first_at,
    last_at,
    since,
    until,
    case when baseline_since < baseline_until then baseline_since end as baseline_since,
    case when baseline_since < baseline_until then baseline_until end as baseline_until,
    is_cut,
    baseline_since < until and baseline_until > since as is_overlapped,
    greatest(until, baseline_until) - least(since, baseline_since) > interval 1 day as is_long,
    epoch(until) - epoch(since) as seconds,
    epoch(baseline_until) - epoch(baseline_since) as baseline_seconds,
from placed
