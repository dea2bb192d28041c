-- the requests that an id names: what became of each, why, and what to do about it
-- $id is a request id or the beginning of one, a trace's id or a hop's.
with

named as (
    select distinct trace_id from trace_spans
    where starts_with(request_id, $id) or $id in (trace_id, hop_id)
),

advised as (
    select
        cause,
        culprit_service,
        arg_max(because, calls) as because,
        arg_max(advice, calls) as advice,
        arg_max(next_command, calls) as next_command,
    from diagnoses
    group by cause, culprit_service
),

judged as (
    select
        traces.*,
        causes.title,
        advised.because,
        coalesce(advised.advice, causes.advice) as advice,
        advised.next_command,
    from traces
    inner join named using (trace_id)
    left join causes on traces.cause = causes.cause
    left join advised
        on traces.cause = advised.cause and traces.culprit_service is not distinct from advised.culprit_service
),

ordered as (
    select * from judged
    order by started_at, trace_id
)

select * from ordered
