-- one row per attempt of a call: the client's line, the server's line, or both
-- key: client_source, client_line_number, server_source, server_line_number
-- Pairs in three rounds, surest first: both socket addresses; the server's address alone, for servers that log an
-- X-Forwarded-For address with port 0; and the earlier attempts of a retried call, of which the client logs the last.
-- Connections refused before their request was read are paired apart, in refused_connections.
-- Within a key a pair is one to one and in order of time, as long as both sides have as many lines.
with

lines as (
    select
        source,
        line_number,
        direction,
        started_at,
        ended_at,
        service,
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
        regexp_extract(upstream_host, '([^/]+:\d+)$', 1) as upstream_host,
        upstream_local_address,
        downstream_local_address,
        downstream_remote_address,
        regexp_replace(coalesce(upstream_local_address, downstream_remote_address), ':\d+$', '') as client_ip,
        regexp_replace(downstream_remote_address, ':\d+$', '') as remote_ip,
        downstream_remote_address like '%:0' as is_forwarded,
        contains(coalesce(authority, ''), '-shadow') as is_mirror,
    from access_logs_around
    anti join refused_connections
        on access_logs_around.source = refused_connections.server_source
        and access_logs_around.line_number = refused_connections.server_line_number
),

clients as (
    select *, from lines
    where direction <> 'inbound'
),

servers as (
    select *, from lines
    where direction = 'inbound' and not is_mirror
),

service_addresses as (
    select
        upstream_host as address,
        arg_max(service, lines) as service,
    from (
        select upstream_host, service, count(*) as lines,
        from clients
        where service is not null and upstream_host <> ''
        group by all
    )
    group by upstream_host
),

---------- round 1: both addresses

address_clients as (
    select
        *,
        row_number() over same_key as place,
        count(*) over (partition by key, upstream_host, upstream_local_address) as lines_of_key,
    from clients
    where upstream_local_address is not null
    window same_key as (
        partition by key, upstream_host, upstream_local_address order by started_at, source, line_number
    )
),

address_servers as (
    select
        *,
        row_number() over same_key as place,
        count(*) over (partition by key, downstream_local_address, downstream_remote_address) as lines_of_key,
    from servers
    window same_key as (
        partition by key, downstream_local_address, downstream_remote_address order by started_at, source, line_number
    )
),

address_in_order as (
    select
        address_clients.source as client_source,
        address_clients.line_number as client_line_number,
        address_servers.source as server_source,
        address_servers.line_number as server_line_number,
    from address_clients
    inner join address_servers
        on address_clients.key = address_servers.key
        and address_clients.upstream_host = address_servers.downstream_local_address
        and address_clients.upstream_local_address = address_servers.downstream_remote_address
        and address_clients.place = address_servers.place
        and address_clients.lines_of_key = address_servers.lines_of_key
        and address_servers.started_at between address_clients.started_at - interval 10 seconds
            and address_clients.ended_at + interval 10 seconds
),

-- several attempts over one connection, or a line that is missing: the server's line belongs to the last call before it
address_by_time as (
    select
        address_clients.source as client_source,
        address_clients.line_number as client_line_number,
        address_servers.source as server_source,
        address_servers.line_number as server_line_number,
    from address_servers
    asof join address_clients
        on address_clients.key = address_servers.key
        and address_clients.upstream_host = address_servers.downstream_local_address
        and address_clients.upstream_local_address = address_servers.downstream_remote_address
        and address_clients.started_at <= address_servers.started_at + interval 2 milliseconds
    where
        address_clients.lines_of_key <> address_servers.lines_of_key
        and address_servers.started_at <= address_clients.ended_at + interval 2 milliseconds
),

by_address as (
    select *, from address_in_order
    union all
    select *, from address_by_time
),

---------- round 2: the server's address

endpoint_clients as (
    select
        clients.*,
        row_number() over same_key as place,
        count(*) over (partition by clients.key, clients.upstream_host) as lines_of_key,
    from clients
    anti join by_address
        on clients.source = by_address.client_source and clients.line_number = by_address.client_line_number
    where clients.has_id and clients.upstream_local_address is not null
    window same_key as (
        partition by clients.key, clients.upstream_host order by clients.started_at, clients.source, clients.line_number
    )
),

unpaired_servers as (
    select servers.*,
    from servers
    anti join by_address
        on servers.source = by_address.server_source and servers.line_number = by_address.server_line_number
    where servers.has_id
),

-- a server that shows the client's own address on another port served another connection: an earlier attempt
endpoint_servers as (
    select
        unpaired_servers.*,
        row_number() over same_key as place,
        count(*) over (partition by unpaired_servers.key, unpaired_servers.downstream_local_address) as lines_of_key,
    from unpaired_servers
    anti join clients
        on unpaired_servers.key = clients.key
        and unpaired_servers.remote_ip = clients.client_ip
        and not unpaired_servers.is_forwarded
    window same_key as (
        partition by unpaired_servers.key, unpaired_servers.downstream_local_address
        order by unpaired_servers.started_at, unpaired_servers.source, unpaired_servers.line_number
    )
),

endpoint_in_order as (
    select
        endpoint_clients.source as client_source,
        endpoint_clients.line_number as client_line_number,
        endpoint_servers.source as server_source,
        endpoint_servers.line_number as server_line_number,
    from endpoint_clients
    inner join endpoint_servers
        on endpoint_clients.key = endpoint_servers.key
        and endpoint_clients.upstream_host = endpoint_servers.downstream_local_address
        and endpoint_clients.place = endpoint_servers.place
        and endpoint_clients.lines_of_key = endpoint_servers.lines_of_key
        and endpoint_servers.started_at between endpoint_clients.started_at - interval 10 seconds
            and endpoint_clients.ended_at + interval 10 seconds
),

endpoint_by_time as (
    select
        endpoint_clients.source as client_source,
        endpoint_clients.line_number as client_line_number,
        endpoint_servers.source as server_source,
        endpoint_servers.line_number as server_line_number,
    from endpoint_servers
    asof join endpoint_clients
        on endpoint_clients.key = endpoint_servers.key
        and endpoint_clients.upstream_host = endpoint_servers.downstream_local_address
        and endpoint_clients.started_at <= endpoint_servers.started_at + interval 2 milliseconds
    where
        endpoint_clients.lines_of_key <> endpoint_servers.lines_of_key
        and endpoint_servers.started_at <= endpoint_clients.ended_at + interval 2 milliseconds
),

by_endpoint as (
    select *, from endpoint_in_order
    union all
    select *, from endpoint_by_time
),

---------- round 3: earlier attempts

earlier_candidates as (
    select
        clients.source as client_source,
        clients.line_number as client_line_number,
        unpaired_servers.source as server_source,
        unpaired_servers.line_number as server_line_number,
        clients.started_at as client_started_at,
    from unpaired_servers
    anti join by_endpoint
        on unpaired_servers.source = by_endpoint.server_source
        and unpaired_servers.line_number = by_endpoint.server_line_number
    left join service_addresses on unpaired_servers.downstream_local_address = service_addresses.address
    inner join clients
        on unpaired_servers.key = clients.key
        and (service_addresses.service is null or service_addresses.service = clients.service)
        and (unpaired_servers.is_forwarded or unpaired_servers.remote_ip = clients.client_ip)
        and unpaired_servers.started_at between clients.started_at - interval 1 second
            and clients.ended_at + interval 1 second
    where clients.upstream_host <> ''
),

earlier_attempts as (
    select * exclude (client_started_at),
    from earlier_candidates
    qualify row_number() over (
        partition by server_source, server_line_number
        order by client_started_at desc, client_source, client_line_number
    ) = 1
),

---------- together

matched as (
    select *, 'address' as link, false as is_earlier, from by_address
    union all
    select *, 'endpoint' as link, false as is_earlier, from by_endpoint
    union all
    select *, 'endpoint' as link, true as is_earlier, from earlier_attempts
),

rows_of_calls as (
    select
        matched.*,
        servers.started_at as server_started_at,
    from matched
    inner join servers
        on matched.server_source = servers.source and matched.server_line_number = servers.line_number
    union all by name
    -- the client's last attempt reached no server that logged
    select
        clients.source as client_source,
        clients.line_number as client_line_number,
        'client_only' as link,
        false as is_earlier,
    from clients
    anti join (select *, from matched where not is_earlier) as answered
        on clients.source = answered.client_source and clients.line_number = answered.client_line_number
    anti join refused_connections
        on clients.source = refused_connections.client_source
        and clients.line_number = refused_connections.client_line_number
    union all by name
    select
        lines.source as server_source,
        lines.line_number as server_line_number,
        'server_only' as link,
        false as is_earlier,
    from lines
    anti join matched
        on lines.source = matched.server_source and lines.line_number = matched.server_line_number
    where lines.direction = 'inbound'
    union all by name
    select
        *,
        'address' as link,
        false as is_earlier,
    from refused_connections
),

numbered as (
    select
        client_source,
        client_line_number,
        server_source,
        server_line_number,
        link,
        case when client_source is null then 1 else row_number() over (
            partition by client_source, client_line_number
            order by not is_earlier, server_started_at nulls last, server_source, server_line_number
        ) end as attempt,
        case when client_source is null then 1 else count(*) over (
            partition by client_source, client_line_number
        ) end as attempts,
    from rows_of_calls
)

select * from numbered
