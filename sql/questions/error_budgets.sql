-- how much of its error budget each service burnt, and how fast at worst, by the multi-window burn rates of the SRE workbook
-- $slo is the share of calls that must succeed, $objectives those of single services, $since the begin of the window that
-- is reported; lines before it only fill the long windows. A burn rate is the error rate over the budget's, 1 - slo: at 1
-- the budget lasts exactly as long as it is meant to. An alert needs both windows above its threshold, so the burn at a
-- minute is that of the calmer window, and at least three failed calls in the long one: one of ten calls a day is no rate.
-- Only minutes with calls are looked at.
with

lines as (
    select * from access_logs
    where service is not null
),

called as (
    select distinct service, true as is_called, from lines
    where direction <> 'inbound'
),

-- one side of each call: the caller's, or the server's where no caller logged
minutes as (
    select
        service,
        date_trunc('minute', started_at) as minute_at,
        count(*) as calls,
        count(*) filter (where is_error) as failed,
    from lines
    left join called using (service)
    where direction <> 'inbound' or called.is_called is null
    group by all
),

objectives as (
    select
        unnest(json_keys($objectives::json)) as service,
        unnest(json_extract($objectives::json, '$.*'))::double as slo,
),

spanned as (
    select min(minute_at) as first_minute_at,
    from minutes
),

rolled as (
    select
        minutes.*,
        coalesce(objectives.slo, $slo::double) as slo,
        sum(failed) over last_5m / sum(calls) over last_5m as rate_5m,
        sum(failed) over last_30m / sum(calls) over last_30m as rate_30m,
        sum(failed) over last_1h as failed_1h,
        sum(failed) over last_6h as failed_6h,
        sum(failed) over last_3d as failed_3d,
        sum(failed) over last_1h / sum(calls) over last_1h as rate_1h,
        sum(failed) over last_6h / sum(calls) over last_6h as rate_6h,
        sum(failed) over last_3d / sum(calls) over last_3d as rate_3d,
    from minutes
    left join objectives using (service)
    window
        last_5m as (partition by service order by minute_at range interval 4 minutes preceding),
        last_30m as (partition by service order by minute_at range interval 29 minutes preceding),
        last_1h as (partition by service order by minute_at range interval 59 minutes preceding),
        last_6h as (partition by service order by minute_at range interval 359 minutes preceding),
        last_3d as (partition by service order by minute_at range interval 4319 minutes preceding)
),

burning as (
    select
        *,
        least(rate_1h, rate_5m) / (1 - slo) as burn_1h,
        least(rate_6h, rate_30m) / (1 - slo) as burn_6h,
        least(rate_3d, rate_6h) / (1 - slo) as burn_3d,
        burn_1h >= 14.4 and failed_1h >= 3 as is_page_1h,
        burn_6h >= 6 and failed_6h >= 3 as is_page_6h,
        burn_3d >= 1 and failed_3d >= 3 as is_ticket_3d,
    from rolled
    where minute_at >= date_trunc('minute', $since::timestamptz)
),

summed as (
    select
        service,
        any_value(slo) as slo,
        sum(calls)::bigint as calls,
        sum(failed)::bigint as failed,
        sum(calls) * (1 - any_value(slo)) as budget,
        sum(failed) / (sum(calls) * (1 - any_value(slo))) as budget_used,
        max(burn_1h) as burn_1h,
        max(burn_6h) as burn_6h,
        max(burn_3d) as burn_3d,
        min(minute_at) filter (where is_page_1h) as page_1h_at,
        min(minute_at) filter (where is_page_6h) as page_6h_at,
        min(minute_at) filter (where is_ticket_3d) as ticket_3d_at,
        count(*) filter (where is_page_1h) as page_1h_minutes,
        count(*) filter (where is_page_6h) as page_6h_minutes,
        count(*) filter (where is_ticket_3d) as ticket_3d_minutes,
        date_diff('minute', any_value(spanned.first_minute_at), max(max(minute_at)) over ()) + 1 as covered_minutes,
    from burning
    cross join spanned
    group by service
),

ranked as (
    select
        *,
        failed - budget as over_budget,
        case
            when covered_minutes = 1 then '1 minute'
            when covered_minutes < 120 then covered_minutes || ' minutes'
            when covered_minutes < 4320 then covered_minutes // 60 || ' hours'
            else 'all'
        end as covered,
        count(*) over () as found,
        count(*) filter (where budget_used > 1) over () as exhausted,
        count(*) filter (where page_1h_minutes > 0 or page_6h_minutes > 0) over () as paging,
    from summed
    order by over_budget desc, budget_used desc, calls desc, service
    limit $limit
)

select * from ranked
