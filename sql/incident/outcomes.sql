-- how the calls ended that ended otherwise before: flags, statuses, details and TLS failures by called service
-- for pages
-- k of n are the service's calls that ended so.
with

calls as (
    select incident_calls.*
    from incident_calls
    cross join incident_trouble
    where
        period = 'baseline'
        or (incident_calls.started_at >= trouble_since and incident_calls.started_at <= trouble_until)
),

ended as (
    select
        period,
        coalesce(service, 'no service') as service,
        nullif(flags, '') as flags,
        response_code::varchar as response_code,
        nullif(response_code_details, 'via_upstream') as response_code_details,
        transport_failure,
    from calls
),

tall as (
    select *
    from ended unpivot (value for dimension in (flags, response_code, response_code_details, transport_failure))
),

services as (
    select
        service,
        count(*) filter (where period = 'incident') as calls,
        count(*) filter (where period = 'baseline') as baseline_calls,
    from ended
    group by service
),

counted as (
    select
        service,
        dimension,
        value,
        count(*) filter (where period = 'incident') as bad,
        count(*) filter (where period = 'baseline') as baseline_bad,
    from tall
    group by all
),

shared as (
    select
        'outcome' as measure,
        service,
        dimension,
        value,
        services.calls,
        counted.bad,
        counted.bad / services.calls as share,
        services.baseline_calls,
        counted.baseline_bad,
        counted.baseline_bad / nullif(services.baseline_calls, 0) as baseline_share,
        share - coalesce(baseline_share, 0) as difference,
        counted.bad - services.calls * coalesce(counted.baseline_bad / nullif(services.baseline_calls, 0), 0) as excess,
    from counted
    inner join services using (service)
    where services.calls > 0
)

select * from shared
where excess > 0
order by excess desc, service, dimension, value
