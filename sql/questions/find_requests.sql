-- which requests match, the newest first; meshlog trace REQUEST_ID shows one
-- $path varchar = null: with this text in the path of any of its calls
-- $service varchar = null: that reached this service, as name.namespace
-- $failed boolean = null: true for failed requests alone, false for the others
-- $limit bigint = 20: how many rows at most
with

matching as (
    select distinct spans.trace_id
    from trace_spans as spans
    inner join hops using (hop_id)
    where ($path is null or contains(hops.path, $path))
        and ($service is null or hops.service = $service)
),

requests as (
    select
        traces.request_id,
        traces.started_at,
        traces.duration_ms,
        traces.entry_service,
        traces.method,
        traces.path,
        traces.response_code,
        traces.is_error,
        traces.cause,
        traces.culprit_service,
        traces.hops,
    from traces
    inner join matching using (trace_id)
    where $failed is null or traces.is_error = $failed
    order by traces.started_at desc, traces.trace_id
    limit $limit
)

select * from requests
