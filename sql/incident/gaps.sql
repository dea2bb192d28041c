-- what the evidence lacks, the gravest first: times without lines, logs that are missing, sides that are, clocks apart
with

calls as (
    select * from incident_calls
),

asked as (
    select
        $since::timestamptz as since,
        $until::timestamptz as until,
        $baseline_since::timestamptz as baseline_since,
        $baseline_until::timestamptz as baseline_until,
),

reach as (
    select
        period,
        min(started_at) as first_at,
        max(started_at) as last_at,
        count(*) as calls,
    from calls
    group by period
),

times as (
    select
        1 as rank,
        'no baseline' as kind,
        'baseline' as subject,
        0 as calls,
        null::double as share,
        case when baseline_since is null
            then 'There is no baseline: what changed cannot be told, and slow is judged by the window itself.'
            else 'The baseline holds no call: what changed cannot be told.'
        end as says,
    from asked
    where baseline_since is null or not exists (select 1 from reach where period = 'baseline')
    union all
    select
        2 as rank,
        'time not covered' as kind,
        case period when 'incident' then 'window' else 'baseline' end as subject,
        calls,
        (epoch(first_at) - epoch(lower) + epoch(upper) - epoch(last_at)) / (epoch(upper) - epoch(lower)) as share,
        format(
            'Calls of the {} are from {} to {} only.', subject, strftime(first_at, '%H:%M:%S'),
            strftime(last_at, '%H:%M:%S')
        ) as says,
    from (
        select
            reach.*,
            case period when 'incident' then since else baseline_since end as lower,
            case period when 'incident' then until else baseline_until end as upper,
        from reach
        cross join asked
    )
    where epoch(first_at) - epoch(lower) > 0.1 * (epoch(upper) - epoch(lower))
        or epoch(upper) - epoch(last_at) > 0.1 * (epoch(upper) - epoch(lower))
),

-- a call that got through and was answered has left a line at its server, unless that is not logged
answered as (
    select
        hops.service,
        hops.client_service,
        hops.link,
        hops.client_source is null as lacks_client,
        hops.server_source is null and hops.upstream_host is not null and hops.client_response_code > 0
            and not list_has_any(hops.client_flags, ['UF']) as lacks_server,
    from hops
    inner join calls using (hop_id)
),

services as (
    select
        service,
        count(*) as calls,
        count(*) filter (where lacks_server) as without_server,
        count(*) filter (where lacks_client) as without_client,
        count(*) filter (where lacks_server) = count(*) as is_unlogged,
    from answered
    where service is not null
    group by service
),

logs as (
    select
        3 as rank,
        'log missing' as kind,
        service as subject,
        calls,
        1.0 as share,
        'No line of its own proxy: its callers alone tell of it, and nothing that it called can be followed.' as says,
    from services
    where is_unlogged
    union all
    select
        5 as rank,
        'server side missing' as kind,
        service as subject,
        without_server as calls,
        without_server / calls as share,
        'Answered calls without the server''s line: a pod''s log is missing or incomplete.' as says,
    from services
    where not is_unlogged and without_server >= 0.01 * calls and without_server > 1
    union all
    select
        6 as rank,
        'client side missing' as kind,
        service as subject,
        without_client as calls,
        without_client / calls as share,
        'Calls without the caller''s line: a caller''s log is missing, or it has no proxy.' as says,
    from services
    where without_client >= 0.01 * calls and without_client > 1
),

silent as (
    select
        4 as rank,
        'went silent' as kind,
        pod as subject,
        count(*) filter (where started_at < since) as calls,
        null::double as share,
        format('Its last line is of {}: it stopped, or its log did.', strftime(max(started_at), '%H:%M:%S')) as says,
    from access_logs
    cross join asked
    where pod is not null and started_at >= coalesce(baseline_since, since) and started_at < until
    group by pod
    having max(started_at) < any_value(since) and count(*) >= 10
),

sources as (
    select
        case when problem is not null then 3 else 7 end as rank,
        case when problem is not null then 'source unreadable' else 'lines rejected' end as kind,
        source as subject,
        coalesce(rejects, 0) as calls,
        rejects / nullif(lines, 0) as share,
        coalesce(problem, 'Lines that look like access logs could not be read; see quarantine.') as says,
    from coverage
    where rows_in_window > 0 and (rejects > 0 or problem is not null)
),

clocks as (
    select
        8 as rank,
        'clocks apart' as kind,
        concat_ws(' and ', coalesce(client_pod, client_address), coalesce(server_pod, server_address)) as subject,
        calls,
        null::double as share,
        format(
            'The second clock is {} ms {} the first; times are set right by that.', abs(skew_ms)::bigint,
            case when skew_ms > 0 then 'ahead of' else 'behind' end
        ) as says,
    from clock_skews
    where abs(skew_ms) >= 100
),

directions as (
    select
        9 as rank,
        'side unknown' as kind,
        'lines' as subject,
        count(*) filter (where direction = 'unknown') as calls,
        count(*) filter (where direction = 'unknown') / count(*) as share,
        'Lines that do not tell whether a client or a server wrote them; they are in no call.' as says,
    from access_logs
    having count(*) filter (where direction = 'unknown') > 0
),

gaps as (
    select * from times
    union all
    select * from logs
    union all
    select * from silent
    union all
    select * from sources
    union all
    select * from clocks
    union all
    select * from directions
),

ranked as (
    select
        kind,
        subject,
        calls,
        share,
        says,
        count(*) over () as found,
    from gaps
    order by rank, calls desc, subject
    limit $limit
)

select * from ranked
