-- one row per hop: what it can be told apart by, beside its service, method, protocol, subset and route in hops
-- key: hop_id
-- A path's template is the path without its query, in which every segment that names one thing is {id}: numbers, dates,
-- UUIDs, hexadecimal of eight digits or more, a word with a number behind a dash (order-4711), addresses with an @, and
-- long opaque tokens. A suffix such as .json stays, and what lies deeper than eight segments is cut off.
-- A user agent's family is its browser or library without the version; for others it is the first product named.
with

hops as (
    select * from hops
),

lines as (
    select
        source,
        line_number,
        node,
        user_agent,
        x_forwarded_for,
        requested_server_name,
    from access_logs_around
),

joined as (
    select
        hops.*,
        client.node as caller_node,
        server.node as node,
        coalesce(client.user_agent, server.user_agent) as user_agent,
        coalesce(client.x_forwarded_for, server.x_forwarded_for) as x_forwarded_for,
        server.requested_server_name,
        split_part(split_part(hops.path, '?', 1), '#', 1) as bare_path,
    from hops
    left join lines as client
        on hops.client_source = client.source and hops.client_line_number = client.line_number
    left join lines as server
        on hops.server_source = server.source and hops.server_line_number = server.line_number
),

named as (
    select
        hop_id,
        coalesce(server_pod, upstream_host) as pod,
        coalesce(client_pod, client_address) as caller_pod,
        node,
        caller_node,
        array_to_string(
            list_transform(
                string_split(bare_path, '/')[:9],
                lambda segment: case
                    when length(segment) > 80 then '{id}'
                    else regexp_replace(
                        segment,
                        '^(?:[+-]?\d[\d.,:_-]*'
                        || '|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}'
                        || '|[a-fA-F]{0,15}\d[0-9a-fA-F]{7,}|[0-9a-fA-F]{7,}\d[0-9a-fA-F]*'
                        || '|[A-Za-z]+[-_:]\d+'
                        || '|[^@]+@[^@]+'
                        || '|[A-Za-z_-]*\d[\w=-]{20,}|[\w-]{20,}\d[\w=-]*'
                        || ')(\.[A-Za-z][A-Za-z0-9]{0,4})?$',
                        '{id}\1'
                    )
                end
            ),
            '/'
        ) || case when length(bare_path) - length(replace(bare_path, '/', '')) > 8 then '/...' else '' end
            as path_template,
        case
            when user_agent is null then null
            when user_agent like 'grpc-%' then regexp_extract(user_agent, '^[^/ ]+')
            when regexp_matches(user_agent, '(?i)bot\b|crawler|spider') then 'bot'
            when regexp_matches(user_agent, '\b(?:Edg|EdgA|EdgiOS)/') then 'Edge'
            when regexp_matches(user_agent, '\bOPR/') then 'Opera'
            when regexp_matches(user_agent, '\b(?:Firefox|FxiOS)/') then 'Firefox'
            when regexp_matches(user_agent, '\b(?:Chrome|CriOS)/') then 'Chrome'
            when regexp_matches(user_agent, '\bVersion/.*\bSafari/') then 'Safari'
            when regexp_matches(user_agent, '^Mozilla/.*\((?:iPhone|iPad)') then 'iOS web view'
            when regexp_matches(user_agent, '^Mozilla/.*Android') then 'Android web view'
            else left(regexp_extract(user_agent, '^[^/ (;,]+'), 64)
        end as user_agent_family,
        nullif(trim(split_part(x_forwarded_for, ',', 1)), '') as forwarded_user,
        requested_server_name as server_name,
        case
            when server_source is null then null
            when requested_server_name is not null then 'TLS'
            else 'no server name'
        end as tls,
        coalesce(client_transport_failure_reason, server_transport_failure_reason) as transport_failure,
    from joined
)

select * from named
