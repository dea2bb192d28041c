-- the traces that the time alone links to one trace: for which it was probably made, and those probably made for it
-- $trace_id is the trace; confidence is 1 where its pod was serving one request alone when the other trace began.
with

made_for as (
    select
        'for' as direction,
        above.trace_id,
        above.request_id,
        above.service,
        traces.cause,
        traces.started_at,
        traces.inferred_confidence as confidence,
    from traces
    inner join trace_spans as above on traces.inferred_parent_hop_id = above.hop_id
    where traces.trace_id = $trace_id
),

made_below as (
    select
        'below' as direction,
        traces.trace_id,
        traces.request_id,
        traces.root_service as service,
        traces.cause,
        traces.started_at,
        traces.inferred_confidence as confidence,
    from traces
    inner join trace_spans as here on traces.inferred_parent_hop_id = here.hop_id
    where here.trace_id = $trace_id
),

linked as (
    from made_for
    union all by name
    from made_below
)

select * from linked
order by direction desc, started_at, trace_id
