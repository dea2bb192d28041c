-- when which response flag was logged: lines a minute by flag and side, with the flag's meaning
-- $flag varchar = null: only this flag, such as UF
-- $service varchar = null: only lines about this service, as name.namespace
with

lines as (
    select
        date_trunc('minute', started_at) as minute_at,
        unnest(flags) as flag,
        direction,
        service,
    from access_logs
),

counted as (
    select
        lines.minute_at,
        lines.flag,
        lines.direction,
        count(*) as lines,
        any_value(response_flags.meaning) as meaning,
    from lines
    left join response_flags using (flag)
    where ($flag is null or lines.flag = $flag) and ($service is null or lines.service = $service)
    group by lines.minute_at, lines.flag, lines.direction
    order by lines.minute_at, lines.flag, lines.direction
)

select * from counted
