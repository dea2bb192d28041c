-- one row per attempt of a call: the client's line, the server's line, or both
-- key: client_source, client_line_number, server_source, server_line_number
with

matched as (
    select * from paired_lines
    union all by name
    select
        refused_connections.*,
        'address' as link,
        false as is_earlier,
    from refused_connections
    anti join paired_lines
        on refused_connections.server_source = paired_lines.server_source
        and refused_connections.server_line_number = paired_lines.server_line_number
),

lines as (
    select source, line_number, direction, from access_logs_around
),

rows_of_calls as (
    select *, from matched
    union all by name
    -- the client's last attempt reached no server that logged
    select
        lines.source as client_source,
        lines.line_number as client_line_number,
        'client_only' as link,
        false as is_earlier,
    from lines
    anti join (select *, from matched where not is_earlier) as answered
        on lines.source = answered.client_source and lines.line_number = answered.client_line_number
    -- a line that could not be read does not tell its side, and may be a server's
    anti join matched
        on lines.source = matched.server_source and lines.line_number = matched.server_line_number
    where lines.direction <> 'inbound'
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
