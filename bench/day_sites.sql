-- one row per line of a recorded request and site; what differs from request to request is left as a slot
with

recorded as (
    select
        *,
        regexp_extract(source, '(\w+)\.jsonl$', 1) as story,
    from samples
),

stories as (
    select * from recorded
    where story not in ('', 'all_strings')
),

-- a request is what entered at the gateway, and whatever else was written before the next one did
entered as (
    select
        story,
        request_id,
        story <> 'happy_path' as is_failing,
        min(started_at) as entered_at,
        row_number() over (order by story <> 'happy_path', story, min(started_at), request_id) - 1 as request,
    from stories
    where reporter = 'gateway'
    group by story, request_id
),

of_requests as (
    select stories.*, request, is_failing, entered_at from stories
    inner join entered using (story, request_id)
    union all by name
    select others.*, request, is_failing, entered_at
    from (select *, from stories anti join entered using (story, request_id)) as others
    asof join entered on others.story = entered.story and others.started_at >= entered.entered_at
),

-- the pod that wrote the line: it is called here, or it calls from here
located as (
    select
        *,
        regexp_replace(
            case
                when direction = 'inbound' or reporter = 'gateway' then downstream_local_address
                else coalesce(upstream_local_address, downstream_remote_address)
            end, ':\d+$', ''
        ) as address,
    from of_requests
),

owned as (
    select
        located.*,
        names.is_gateway,
        coalesce(names.pod, replace(names.service, '.shop', '-v1-7d9f8b6c5d-qw8zr')) as recorded_pod,
    from located
    inner join names using (address)
),

at_sites as (
    select
        *,
        $namespaces[site % len($namespaces) + 1] as shop,
        case when is_gateway then 'istio-system' else shop end as pod_namespace,
        left(recorded_pod, -1) || substr('bcdfghjklmnpqrstvwxz2456', site + 1, 1) as pod_name,
    from owned
    cross join (select unnest(range($sites)) as site)
),

moved as (
    select
        * exclude (story, entered_at, address, is_gateway, recorded_pod, shop, pod_namespace, pod_name)
        replace (
            moved(authority, site, shop) as authority,
            moved(x_forwarded_for, site, shop) as x_forwarded_for,
            moved(upstream_cluster, site, shop) as upstream_cluster,
            moved(cluster_host, site, shop) as cluster_host,
            replace(service, '.shop', '.' || shop) as service,
            moved(upstream_host, site, shop) as upstream_host,
            moved(upstream_local_address, site, shop) as upstream_local_address,
            moved(downstream_local_address, site, shop) as downstream_local_address,
            moved(downstream_remote_address, site, shop) as downstream_remote_address,
            moved(requested_server_name, site, shop) as requested_server_name,
            replace(path, 'alice', '{user}') as path,
            pod_name as pod,
            pod_namespace as namespace,
            '/var/log/pods/' || pod_namespace || '_' || pod_name || '_' || md5(pod_name) || '/istio-proxy/0.log' as source
        ),
        dense_rank() over (partition by request, site order by request_id) as id_place,
        date_diff('ms', entered_at, started_at) as offset_ms,
        coalesce(try_cast(regexp_extract(upstream_local_address, ':(\d+)$', 1) as integer), 0) as near_port,
        coalesce(try_cast(regexp_extract(downstream_remote_address, ':(\d+)$', 1) as integer), 0) as far_port,
    from at_sites
)

select * from moved
