-- one row per attempt of a call: the client's line, the server's line, or both
-- key: client_line_id, server_line_id
with

-- what is told otherwise than by being the only match: few pairs, so few of a day's lines have to be compared below
found as (
    select * from pairs_by_time
    union all by name
    select
        refused_connections.*,
        'address' as link,
        false as is_earlier,
    from refused_connections
    semi join unpaired_lines
        on refused_connections.server_line_id = unpaired_lines.line_id
    anti join pairs_by_time
        on refused_connections.server_line_id = pairs_by_time.server_line_id
),

rows_of_calls as (
    select
        client_line_id,
        server_line_id,
        server_started_at,
        link,
        false as is_earlier,
    from fitting_pairs
    union all by name
    select *, from found
    union all by name
    -- the client's last attempt reached no server that logged
    select
        lines.line_id as client_line_id,
        'client_only' as link,
        false as is_earlier,
    from unpaired_lines as lines
    anti join (select *, from found where not is_earlier) as answered
        on lines.line_id = answered.client_line_id
    -- a line that could not be read does not tell its side, and may be a server's
    anti join found
        on lines.line_id = found.server_line_id
    where lines.direction <> 'inbound'
    union all by name
    select
        lines.line_id as server_line_id,
        'server_only' as link,
        false as is_earlier,
    from unpaired_lines as lines
    anti join found
        on lines.line_id = found.server_line_id
    where lines.direction = 'inbound'
),

-- most calls have one attempt, and nothing to put in order: of two, one at least was found so
several as (
    select client_line_id from rows_of_calls
    where client_line_id in (select client_line_id from found)
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
