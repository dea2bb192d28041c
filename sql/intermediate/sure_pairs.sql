-- one row per pair of lines that can be nothing but the two sides of one attempt: each other's only match
-- key: server_line_id
-- Keys are hashed: 64 bits tell a day's lines apart. What the clocks say does not count, so their difference can be learnt.
with

identified as (
    select
        *,
        direction <> 'inbound' as is_client,
        -- as logged: the few ids of which a later hop rewrote the 15th character are pairs_by_time's business
        coalesce(request_id, method || ' ' || path, 'tcp') as key,
        case
            when direction = 'inbound' then downstream_local_address
            when contains(upstream_host, '/') then regexp_extract(upstream_host, '([^/]+:\d+)$', 1)
            else upstream_host
        end as called,
        case when direction = 'inbound' then downstream_remote_address else upstream_local_address end as caller,
    from access_logs_around
    where case
        when direction = 'inbound' then not contains(coalesce(authority, ''), '-shadow')
        else upstream_local_address is not null
    end
),

-- few bytes a line: those of a day have to be held, so addresses are hashed, too
lines as materialized (
    select
        line_id,
        is_client,
        epoch_us(started_at) as started_us,
        coalesce(duration_ms, 0) as duration_ms,
        -- an id may read like what stands in for one
        request_id is not null as has_id,
        hash(has_id, key, called, caller) as address_key,
        hash(has_id, key, called) as endpoint_key,
        not is_client and coalesce(caller like '%:0', false) as is_forwarded,
        hash(regexp_replace(case when is_client then caller else called end, ':\d+$', '')) as own_address_key,
    from identified
),

-- the server logs the X-Forwarded-For address in place of its peer's: its own address alone has to do
forwarded as (
    select distinct endpoint_key,
    from lines
    where is_forwarded and has_id
),

keyed as (
    select
        * exclude (address_key, endpoint_key),
        address_key as pair_key,
        false as is_of_endpoint,
    from lines
    where not is_forwarded
    union all
    select
        * exclude (address_key, endpoint_key),
        endpoint_key as pair_key,
        true as is_of_endpoint,
    from lines
    semi join forwarded using (endpoint_key)
    where has_id
),

-- two lines of one key, a client's and a server's: sums and extremes tell the one from the other
found as (
    select
        max(line_id) filter (where is_client) as client_line_id,
        max(line_id) filter (where not is_client) as server_line_id,
        max(started_us) filter (where not is_client) as server_started_us,
        max(own_address_key) filter (where is_client) as client_address_key,
        max(own_address_key) filter (where not is_client) as server_address_key,
        -- the server's middle against the client's: what the way there and the way back take cancels out
        sum_no_overflow(
            case when is_client then -1 else 1 end * (2 * started_us + 1000 * duration_ms)
        ) / 2000 as difference_ms,
        sum_no_overflow(case when is_client then duration_ms else -duration_ms end) as slack_ms,
        -- one sum in place of four aggregates: of two lines each part counts up to two
        sum_no_overflow(
            is_client::int + 4 * has_id::int + 16 * is_forwarded::int + 64 * is_of_endpoint::int
        ) as facts,
    from keyed
    group by pair_key
    having count(*) = 2 and facts & 3 = 1 and (facts < 64 or facts & 48 > 0)
),

named as (
    select
        client_line_id,
        server_line_id,
        make_timestamptz(server_started_us) as server_started_at,
        case when facts < 64 then 'address' else 'endpoint' end as link,
        facts & 12 = 8 as has_id,
        client_address_key,
        server_address_key,
        difference_ms,
        slack_ms,
    from found
)

-- sockets without an id are used again
select * from named
where abs(difference_ms) < case when has_id then 3600000 else 10000 end
