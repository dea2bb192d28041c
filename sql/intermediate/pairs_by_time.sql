-- one row per attempt whose two sides were both logged and are not sure: the client's line and the server's
-- key: server_line_id
-- What unpaired_lines holds is told apart by time, all clocks set right: a server's line lies within its client's.
-- Rounds, surest first: both socket addresses; the server's address alone, for servers that log an X-Forwarded-For
-- address with port 0; connections that were closed before a request; and the attempts that a retried call made
-- elsewhere, of which the client logs the last alone.
with

service_addresses as (
    select
        case when contains(upstream_host, '/') then regexp_extract(upstream_host, '([^/]+:\d+)$', 1) else upstream_host end
            as address,
        arg_max(service, lines) as service,
    from (
        select upstream_host, service, count(*) as lines,
        from access_logs_around
        where direction <> 'inbound' and service is not null and upstream_host <> ''
        group by all
    )
    group by address
),

---------- what is left, in right time

unpaired as (
    select
        line_id,
        source,
        line_number,
        direction,
        started_at,
        ended_at,
        coalesce(
            case when length(request_id) = 36 then left(request_id, 14) || '_' || substr(request_id, 16)
                else request_id end,
            method || ' ' || path,
            'tcp'
        ) as key,
        request_id is not null as has_id,
        coalesce(path, '') as path,
        case when contains(upstream_host, '/') then regexp_extract(upstream_host, '([^/]+:\d+)$', 1) else upstream_host end
            as upstream_host,
        upstream_local_address,
        upstream_service_time_ms,
        downstream_local_address,
        downstream_remote_address,
        regexp_replace(
            case when direction = 'inbound' then downstream_local_address
                else coalesce(upstream_local_address, downstream_remote_address) end,
            ':\d+$', ''
        ) as own_ip,
        regexp_replace(downstream_remote_address, ':\d+$', '') as remote_ip,
        downstream_remote_address like '%:0' as is_forwarded,
        contains(coalesce(authority, ''), '-shadow') as is_mirror,
        coalesce(response_code_details = 'filter_chain_not_found', false) as is_unread,
        list_contains(flags, 'UC') as is_cut_off,
    from access_logs_around
    semi join unpaired_lines using (line_id)
),

in_right_time as (
    select
        unpaired.* replace (
            started_at - to_milliseconds(coalesce(pod_clocks.ahead_ms, 0)) as started_at,
            ended_at - to_milliseconds(coalesce(pod_clocks.ahead_ms, 0)) as ended_at
        ),
        started_at as logged_at,
    from unpaired
    left join pod_clocks on unpaired.own_ip = pod_clocks.address
),

clients as (
    select *, from in_right_time
    where direction <> 'inbound'
),

servers as (
    select *, from in_right_time
    where direction = 'inbound' and not is_mirror
),

---------- both addresses: as many lines on either side pair in the order that brings starts, ends and service times
---------- nearest (squared: a sum of plain differences is the same for every order). Lines are written as calls end, so
---------- their order in the file tells more than whole milliseconds do, and another order has to be clearly nearer.
---------- With fewer lines on one side the server's line belongs to the last call that began before it; two milliseconds, which
---------- clocks that were set right may still be off, count only where no call holds all of it (its last millisecond is
---------- rounded on either side).

address_clients as (
    select
        *,
        hash(key, path, upstream_host, upstream_local_address) as pair_key,
        count(*) over same_key as lines_of_key,
        ['written', 'start', 'middle', 'first byte'] as orderings,
        [
            row_number() over (same_key order by source, line_number),
            row_number() over (same_key order by started_at, ended_at, source, line_number),
            row_number() over (same_key order by ended_at - (ended_at - started_at) / 2, source, line_number),
            row_number() over (same_key order by upstream_service_time_ms, ended_at, source, line_number),
        ] as places,
    from clients
    where upstream_local_address is not null
    window same_key as (partition by hash(key, path, upstream_host, upstream_local_address))
),

address_servers as (
    select
        *,
        hash(key, path, downstream_local_address, downstream_remote_address) as pair_key,
        count(*) over same_key as lines_of_key,
        ['written', 'start', 'middle', 'first byte'] as orderings,
        [
            row_number() over (same_key order by source, line_number),
            row_number() over (same_key order by started_at, ended_at, source, line_number),
            row_number() over (same_key order by ended_at - (ended_at - started_at) / 2, source, line_number),
            row_number() over (same_key order by upstream_service_time_ms, ended_at, source, line_number),
        ] as places,
    from servers
    window same_key as (partition by hash(key, path, downstream_local_address, downstream_remote_address))
),

address_orders as (
    select
        pair_key,
        ordering,
        one.line_id as client_line_id,
        other.line_id as server_line_id,
        date_diff('ms', one.started_at, other.started_at)::double ** 2
            + date_diff('ms', one.ended_at, other.ended_at)::double ** 2
            + coalesce(one.upstream_service_time_ms - other.upstream_service_time_ms, 0)::double ** 2
            + case when ordering = 'written' then 0 else 4 end as apart,
        abs(date_diff('ms', one.started_at, other.started_at)) < 10000 as is_near,
    from (select *, unnest(orderings) as ordering, unnest(places) as place, from address_clients) as one
    inner join (select *, unnest(orderings) as ordering, unnest(places) as place, from address_servers) as other
        using (pair_key, lines_of_key, ordering, place)
),

address_in_order as (
    select client_line_id, server_line_id,
    from address_orders
    semi join (
        select pair_key, arg_min(ordering, (apart, ordering)) as ordering,
        from (select pair_key, ordering, sum(apart) as apart, from address_orders group by all)
        group by pair_key
    ) as nearest using (pair_key, ordering)
    where is_near
),

address_by_time as (
    select
        case
            when address_servers.ended_at <= holding.ended_at + interval 1 millisecond then holding.line_id
            else nearest.line_id
        end as client_line_id,
        address_servers.line_id as server_line_id,
    from address_servers
    asof join address_clients as nearest
        on nearest.pair_key = address_servers.pair_key
        and nearest.started_at <= address_servers.started_at + interval 2 milliseconds
    asof left join address_clients as holding
        on holding.pair_key = address_servers.pair_key
        and holding.started_at <= address_servers.started_at
    where
        nearest.lines_of_key <> address_servers.lines_of_key
        and (
            address_servers.ended_at <= holding.ended_at + interval 1 millisecond
            or address_servers.started_at <= nearest.ended_at + interval 2 milliseconds
        )
),

by_address as (
    from address_in_order
    union all
    from address_by_time
),

---------- the server's address

clients_left as (
    from clients
    anti join by_address
        on clients.line_id = by_address.client_line_id
),

servers_left as (
    from servers
    anti join by_address
        on servers.line_id = by_address.server_line_id
),

endpoint_clients as (
    select
        *,
        hash(key, path, upstream_host) as pair_key,
        count(*) over same_key as lines_of_key,
        ['written', 'start', 'middle', 'first byte'] as orderings,
        [
            row_number() over (same_key order by source, line_number),
            row_number() over (same_key order by started_at, ended_at, source, line_number),
            row_number() over (same_key order by ended_at - (ended_at - started_at) / 2, source, line_number),
            row_number() over (same_key order by upstream_service_time_ms, ended_at, source, line_number),
        ] as places,
    from clients_left
    where has_id and upstream_local_address is not null
    window same_key as (partition by hash(key, path, upstream_host))
),

-- the clients' lines with the id of a server's line that is left, paired or not
lines_of_ids as (
    select
        lines.* replace (
            case when contains(upstream_host, '/') then regexp_extract(upstream_host, '([^/]+:\d+)$', 1) else upstream_host end
                as upstream_host
        ),
        regexp_replace(coalesce(upstream_local_address, downstream_remote_address), ':\d+$', '') as client_ip,
    from (
        select
            line_id,
            started_at,
            ended_at,
            service,
            case when length(request_id) = 36 then left(request_id, 14) || '_' || substr(request_id, 16)
                else request_id end as key,
            coalesce(path, '') as path,
            upstream_host,
            upstream_local_address,
            downstream_remote_address,
        from access_logs_around
        where
            direction <> 'inbound'
            -- of nearly all, a few characters tell that they are not asked for
            and left(request_id, 8) in (select left(key, 8) from servers_left where has_id)
    ) as lines
    semi join (select key, from servers_left where has_id) as asked using (key)
),

ids_of_clients as (
    select distinct key, client_ip from lines_of_ids
),

-- a server that shows the client's own address on another port served another connection: an earlier attempt
servers_without_client as (
    select servers_left.*,
    from servers_left
    anti join ids_of_clients
        on servers_left.key = ids_of_clients.key
        and servers_left.remote_ip = ids_of_clients.client_ip
        and not servers_left.is_forwarded
    where has_id
),

endpoint_servers as (
    select
        *,
        hash(key, path, downstream_local_address) as pair_key,
        count(*) over same_key as lines_of_key,
        ['written', 'start', 'middle', 'first byte'] as orderings,
        [
            row_number() over (same_key order by source, line_number),
            row_number() over (same_key order by started_at, ended_at, source, line_number),
            row_number() over (same_key order by ended_at - (ended_at - started_at) / 2, source, line_number),
            row_number() over (same_key order by upstream_service_time_ms, ended_at, source, line_number),
        ] as places,
    from servers_without_client
    window same_key as (partition by hash(key, path, downstream_local_address))
),

endpoint_orders as (
    select
        pair_key,
        ordering,
        one.line_id as client_line_id,
        other.line_id as server_line_id,
        date_diff('ms', one.started_at, other.started_at)::double ** 2
            + date_diff('ms', one.ended_at, other.ended_at)::double ** 2
            + coalesce(one.upstream_service_time_ms - other.upstream_service_time_ms, 0)::double ** 2
            + case when ordering = 'written' then 0 else 4 end as apart,
        abs(date_diff('ms', one.started_at, other.started_at)) < 10000 as is_near,
    from (select *, unnest(orderings) as ordering, unnest(places) as place, from endpoint_clients) as one
    inner join (select *, unnest(orderings) as ordering, unnest(places) as place, from endpoint_servers) as other
        using (pair_key, lines_of_key, ordering, place)
),

endpoint_in_order as (
    select client_line_id, server_line_id,
    from endpoint_orders
    semi join (
        select pair_key, arg_min(ordering, (apart, ordering)) as ordering,
        from (select pair_key, ordering, sum(apart) as apart, from endpoint_orders group by all)
        group by pair_key
    ) as nearest using (pair_key, ordering)
    where is_near
),

endpoint_by_time as (
    select
        case
            when endpoint_servers.ended_at <= holding.ended_at + interval 1 millisecond then holding.line_id
            else nearest.line_id
        end as client_line_id,
        endpoint_servers.line_id as server_line_id,
    from endpoint_servers
    asof join endpoint_clients as nearest
        on nearest.pair_key = endpoint_servers.pair_key
        and nearest.started_at <= endpoint_servers.started_at + interval 2 milliseconds
    asof left join endpoint_clients as holding
        on holding.pair_key = endpoint_servers.pair_key
        and holding.started_at <= endpoint_servers.started_at
    where
        nearest.lines_of_key <> endpoint_servers.lines_of_key
        and (
            endpoint_servers.ended_at <= holding.ended_at + interval 1 millisecond
            or endpoint_servers.started_at <= nearest.ended_at + interval 2 milliseconds
        )
),

by_endpoint as (
    from endpoint_in_order
    union all
    from endpoint_by_time
),

---------- a connection that the server's proxy closed unread: its line knows nothing but the sockets

unread as (
    select
        clients_left.line_id as client_line_id,
        servers_left.line_id as server_line_id,
    from servers_left
    asof join clients_left
        on clients_left.upstream_host = servers_left.downstream_local_address
        and clients_left.upstream_local_address = servers_left.downstream_remote_address
        and clients_left.started_at <= servers_left.started_at + interval 2 milliseconds
    where
        servers_left.is_unread
        and not servers_left.has_id
        and clients_left.is_cut_off
        and servers_left.started_at <= clients_left.ended_at + interval 2 milliseconds
),

---------- attempts that were made elsewhere: over another connection, or at another pod

elsewhere_servers as (
    select
        servers_left.*,
        case when servers_left.is_forwarded then '' else servers_left.remote_ip end as from_ip,
        coalesce(service_addresses.service, '') as to_service,
    from servers_left
    anti join by_endpoint
        on servers_left.line_id = by_endpoint.server_line_id
    left join service_addresses on servers_left.downstream_local_address = service_addresses.address
    where servers_left.has_id
),

elsewhere_clients as (
    select
        lines.line_id,
        lines.key,
        lines.path,
        lines.started_at - to_milliseconds(coalesce(pod_clocks.ahead_ms, 0)) as started_at,
        lines.ended_at - to_milliseconds(coalesce(pod_clocks.ahead_ms, 0)) as ended_at,
        lines.client_ip,
        coalesce(lines.service, '') as service,
    from lines_of_ids as lines
    semi join elsewhere_servers on lines.key = elsewhere_servers.key
    left join pod_clocks on lines.client_ip = pod_clocks.address
    where lines.upstream_host <> ''
),

-- where the server hides who called, any client will do; where nobody names its service, any service
elsewhere_offers as (
    select
        *,
        unnest([client_ip, client_ip, '', '']) as from_ip,
        unnest([service, '', service, '']) as to_service,
    from elsewhere_clients
),

elsewhere as (
    select
        elsewhere_offers.line_id as client_line_id,
        elsewhere_servers.line_id as server_line_id,
    from elsewhere_servers
    asof join elsewhere_offers
        on elsewhere_offers.key = elsewhere_servers.key
        and elsewhere_offers.path = elsewhere_servers.path
        and elsewhere_offers.from_ip = elsewhere_servers.from_ip
        and elsewhere_offers.to_service = elsewhere_servers.to_service
        and elsewhere_offers.started_at <= elsewhere_servers.started_at + interval 2 milliseconds
    where elsewhere_servers.started_at <= elsewhere_offers.ended_at + interval 2 milliseconds
),

---------- together

found_by_time as (
    select *, 'address' as link, false as is_earlier, from by_address
    union all
    select *, 'endpoint' as link, false as is_earlier, from by_endpoint
    union all
    select *, 'address' as link, false as is_earlier, from unread
    union all
    select *, 'endpoint' as link, true as is_earlier, from elsewhere
),

begun as (
    select
        found_by_time.*,
        servers.logged_at as server_started_at,
    from found_by_time
    inner join servers
        on found_by_time.server_line_id = servers.line_id
)

select * from begun
