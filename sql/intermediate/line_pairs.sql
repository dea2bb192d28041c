-- one row per attempt of a call: the client's line, the server's line, or both
-- key: client_line_id, server_line_id
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
        on refused_connections.server_line_id = paired_lines.server_line_id
),

lines as (
    select line_id, direction, from access_logs_around
),

rows_of_calls as (
    select *, from matched
    union all by name
    -- the client's last attempt reached no server that logged
    select
        lines.line_id as client_line_id,
        'client_only' as link,
        false as is_earlier,
    from lines
    anti join (select *, from matched where not is_earlier) as answered
        on lines.line_id = answered.client_line_id
    -- a line that could not be read does not tell its side, and may be a server's
    anti join matched
        on lines.line_id = matched.server_line_id
    where lines.direction <> 'inbound'
    union all by name
    select
        lines.line_id as server_line_id,
        'server_only' as link,
        false as is_earlier,
    from lines
    anti join matched
        on lines.line_id = matched.server_line_id
    where lines.direction = 'inbound'
),

-- most calls have one attempt, and nothing to put in order
several as (
    select client_line_id from rows_of_calls
    where client_line_id is not null
    group by client_line_id
    having count(*) > 1
),

numbered as (
    select
        client_line_id,
        server_line_id,
        link,
        1 as attempt,
        1 as attempts,
    from rows_of_calls
    anti join several using (client_line_id)
    union all
    select
        client_line_id,
        server_line_id,
        link,
        row_number() over (
            partition by client_line_id
            order by not is_earlier, server_started_at nulls last, server_line_id
        ) as attempt,
        count(*) over (partition by client_line_id) as attempts,
    from rows_of_calls
    semi join several using (client_line_id)
)

select * from numbered
