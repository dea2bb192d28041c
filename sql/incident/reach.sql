-- whom the trouble reached: the callers whose calls went wrong and the routes whose requests did, the most first
with

-- the calls of a request are made for its user, whom the line of its first call names
users as (
    select trace_id, forwarded_user
    from incident_calls
    where is_entry
),

calls as (
    select
        incident_calls.* exclude (forwarded_user),
        users.forwarded_user,
    from incident_calls
    left join users using (trace_id)
    where period = 'incident'
),

reached as (
    select
        'caller' as kind,
        coalesce(client_service, 'outside the mesh') as name,
        count(*) as calls,
        count(*) filter (where is_error) as failed,
        count(*) filter (where is_slow and not is_error) as slow,
        count(*) filter (where is_bad) / count(*) as bad_share,
        count(distinct forwarded_user) filter (where is_bad) as users_hit,
        coalesce(sum(response_bytes) filter (where is_bad), 0)::bigint as response_bytes,
    from calls
    group by name
    having count(*) filter (where is_bad) > 0
    union all
    select
        'route' as kind,
        concat_ws(' ', method, coalesce(path_template, 'TCP to ' || service)) as name,
        count(*) as calls,
        count(*) filter (where is_error) as failed,
        count(*) filter (where is_slow and not is_error) as slow,
        count(*) filter (where is_bad) / count(*) as bad_share,
        count(distinct forwarded_user) filter (where is_bad) as users_hit,
        coalesce(sum(response_bytes) filter (where is_bad), 0)::bigint as response_bytes,
    from calls
    where is_entry
    group by name
    having count(*) filter (where is_bad) > 0
),

ranked as (
    select
        *,
        count(*) over (partition by kind) as found,
    from reached
    qualify row_number() over (partition by kind order by failed + slow desc, calls desc, name) <= $limit
)

select * from ranked
order by kind, failed + slow desc, calls desc, name
