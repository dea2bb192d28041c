-- one row per line of the requests from number $first up to $last, without the numbers of the lines
with

drawn as (
    select
        number,
        hash(number, 'request') as chance,
        hash(number, 'fails') % 1000 < 1000 * $failing_share as is_failing,
        hash(number, 'site') % $sites as site,
        -- clients' ports begin at 32768
        (hash(number, 'port') % 28233)::integer as shift,
        hash(number, 'client') as client,
        'customer-' || hash(number, 'user') % 50000 as customer,
        $day::timestamptz + to_milliseconds((number * 86400000 / $requests)::bigint) as entered_at,
        -- times and sizes of the happy path have a long tail; failures keep the times that tell them apart
        case when is_failing then 1 else 1 + (pow(hash(number, 'time') % 1000 / 1000, 6) * 40)::bigint end as times,
        case when is_failing then 0 else hash(number, 'size') % 900 end as size,
    from range($first, $last) as numbers (number)
),

requests as (
    select
        *,
        case when is_failing then happy + chance % failing else chance % happy end as request,
        $clients[(client % len($clients) + 1)::integer] as client_address,
        $agents[(client % len($agents) + 1)::integer] as agent,
    from drawn
    cross join (
        select
            count(distinct request) filter (where not is_failing) as happy,
            count(distinct request) filter (where is_failing) as failing,
        from sites
    )
),

lines as (
    select
        sites.* replace (
            entered_at + to_milliseconds(offset_ms * times) as started_at,
            duration_ms * times + times - 1 as duration_ms,
            upstream_service_time_ms * times as upstream_service_time_ms,
            case when bytes_sent > 0 then bytes_sent + size else bytes_sent end as bytes_sent,
            replace(path, '{user}', customer) as path,
            replace(x_forwarded_for, '{client}', client_address) as x_forwarded_for,
            case when starts_with(user_agent, 'curl') or starts_with(user_agent, 'Mozilla') then 'Mozilla/5.0 ' || agent
                else user_agent end as user_agent,
            case when near_port >= 32768
                then regexp_replace(upstream_local_address, '\d+$', (32768 + (near_port - 32768 + shift) % 28233)::varchar)
                else upstream_local_address end as upstream_local_address,
            replace(
                case when far_port >= 32768
                    then regexp_replace(downstream_remote_address, '\d+$', (32768 + (far_port - 32768 + shift) % 28233)::varchar)
                    else downstream_remote_address end,
                '{client}', client_address
            ) as downstream_remote_address,
            case when request_id is not null then
                regexp_replace(md5(number || ':' || id_place), '^(.{8})(.{4}).(.{3}).(.{3})(.{12})$', '\1-\2-4\3-a\4-\5')
            end as request_id
        ),
        number,
    from requests
    inner join sites using (request, site)
)

select * from lines
