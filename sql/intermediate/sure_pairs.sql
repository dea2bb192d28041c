-- one row per pair of lines that can be nothing but the two sides of one attempt: each other's only match
-- key: server_line_id
-- Keys are hashed: 64 bits tell a day's lines apart. What the clocks say does not count, so their difference can be learnt.
with

lines as (
    select
        line_id,
        direction,
        started_at,
        ended_at,
        -- Envoy keeps the trace reason in the id's 15th character, and a later hop may rewrite it
        coalesce(
            case
                when length(request_id) = 36 then left(request_id, 14) || '_' || substr(request_id, 16)
                else request_id
            end,
            method || ' ' || path,
            'tcp'
        ) as key,
        request_id is not null as has_id,
        case when contains(upstream_host, '/') then regexp_extract(upstream_host, '([^/]+:\d+)$', 1) else upstream_host end
            as upstream_host,
        upstream_local_address,
        downstream_local_address,
        downstream_remote_address,
        downstream_remote_address like '%:0' as is_forwarded,
        contains(coalesce(authority, ''), '-shadow') as is_mirror,
    from access_logs_around
),

clients as (
    select *, from lines
    where direction <> 'inbound' and upstream_local_address is not null
),

servers as (
    select *, from lines
    where direction = 'inbound' and not is_mirror
),

---------- both socket addresses

address_clients as (
    select
        hash(key, upstream_host, upstream_local_address) as pair_key,
        any_value(line_id) as client_line_id,
        any_value(has_id) as has_id,
        any_value(started_at) as client_started_at,
        any_value(ended_at) as client_ended_at,
        any_value(upstream_local_address) as client_socket,
    from clients
    group by pair_key
    having count(*) = 1
),

address_servers as (
    select
        hash(key, downstream_local_address, downstream_remote_address) as pair_key,
        any_value(line_id) as server_line_id,
        any_value(started_at) as server_started_at,
        any_value(ended_at) as server_ended_at,
        any_value(downstream_local_address) as server_socket,
    from servers
    where not is_forwarded
    group by pair_key
    having count(*) = 1
),

---------- the server's address alone: it logs the X-Forwarded-For address in place of its peer's

forwarded as (
    select distinct hash(key, downstream_local_address) as pair_key,
    from servers
    where is_forwarded and has_id
),

endpoint_clients as (
    select
        hash(key, upstream_host) as pair_key,
        any_value(line_id) as client_line_id,
        any_value(has_id) as has_id,
        any_value(started_at) as client_started_at,
        any_value(ended_at) as client_ended_at,
        any_value(upstream_local_address) as client_socket,
    from clients
    semi join forwarded on hash(key, upstream_host) = forwarded.pair_key
    where has_id
    group by hash(key, upstream_host)
    having count(*) = 1
),

endpoint_servers as (
    select
        hash(key, downstream_local_address) as pair_key,
        any_value(line_id) as server_line_id,
        any_value(started_at) as server_started_at,
        any_value(ended_at) as server_ended_at,
        any_value(downstream_local_address) as server_socket,
        any_value(is_forwarded) as is_forwarded,
    from servers
    semi join forwarded on hash(key, downstream_local_address) = forwarded.pair_key
    where has_id
    group by hash(key, downstream_local_address)
    having count(*) = 1
),

found as (
    select *, 'address' as link,
    from address_clients
    inner join address_servers using (pair_key)
    union all by name
    select * exclude (is_forwarded), 'endpoint' as link,
    from endpoint_clients
    inner join endpoint_servers using (pair_key)
    where endpoint_servers.is_forwarded
),

measured as (
    select
        client_line_id,
        server_line_id,
        server_started_at,
        link,
        has_id,
        regexp_replace(client_socket, ':\d+$', '') as client_address,
        regexp_replace(server_socket, ':\d+$', '') as server_address,
        -- the server's middle against the client's: what the way there and the way back take cancels out
        (epoch_us(server_started_at) + epoch_us(server_ended_at) - epoch_us(client_started_at)
            - epoch_us(client_ended_at)) / 2000 as difference_ms,
        date_diff('ms', client_started_at, client_ended_at)
            - date_diff('ms', server_started_at, server_ended_at) as slack_ms,
    from found
)

-- sockets without an id are used again
select * from measured
where abs(difference_ms) < case when has_id then 3600000 else 10000 end
