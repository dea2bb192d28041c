-- one row per pair of pods that call each other: how far the server's clock is ahead of the client's
-- key: client_address, server_address
with

sure_pairs as (
    select * from sure_pairs
),

-- a call that waited on one side alone, for a connection or a second attempt, has its middle elsewhere
half_ways as (
    select
        client_address_key,
        server_address_key,
        median(abs(slack_ms)) as slack_ms,
    from sure_pairs
    where has_id
    group by client_address_key, server_address_key
),

skews as (
    select
        any_value(sure_pairs.client_line_id) as client_line_id,
        any_value(sure_pairs.server_line_id) as server_line_id,
        count(*) as calls,
        median(sure_pairs.difference_ms) as skew_ms,
        -- the server's interval lies somewhere in the client's; starts and durations are cut to whole milliseconds
        max(abs(sure_pairs.slack_ms)) / 2 + 1.5 as within_ms,
    from sure_pairs
    inner join half_ways using (client_address_key, server_address_key)
    where sure_pairs.has_id and abs(sure_pairs.slack_ms) <= least(half_ways.slack_ms, 1000)
    group by sure_pairs.client_address_key, sure_pairs.server_address_key
),

-- what the keys stand for: one line of each pair tells
told as (
    select
        line_id,
        regexp_replace(
            case when direction = 'inbound' then downstream_local_address else upstream_local_address end, ':\d+$', ''
        ) as address,
    from access_logs_around
    where line_id in (
        select client_line_id from skews
        union all
        select server_line_id from skews
    )
),

medians as (
    select
        client.address as client_address,
        server.address as server_address,
        skews.calls,
        skews.skew_ms,
        skews.within_ms,
    from skews
    inner join told as client on skews.client_line_id = client.line_id
    inner join told as server on skews.server_line_id = server.line_id
    where client.address is not null and server.address is not null
),

named as (
    select
        medians.client_address,
        medians.server_address,
        client_names.pod as client_pod,
        server_names.pod as server_pod,
        medians.calls,
        medians.skew_ms,
        medians.within_ms,
    from medians
    left join address_names as client_names on medians.client_address = client_names.address
    left join address_names as server_names on medians.server_address = server_names.address
)

select * from named
