-- the requests that an id names: what became of each
-- $id is a request id or the beginning of one, a trace's id or a hop's.
with

named as (
    select distinct trace_id from trace_spans
    where starts_with(request_id, $id) or $id in (trace_id, hop_id)
)

select traces.* from traces
inner join named using (trace_id)
order by traces.started_at, traces.trace_id
