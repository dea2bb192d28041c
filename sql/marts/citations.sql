-- one row per finding and field of the configuration in force that bears on it, the most telling first
-- key: diagnosis_id, place
-- Empty where no configuration was read: meshlog mesh.
with

observations as (
    select * from cited_observations
),

settings as (
    select
        cited_values.diagnosis_id,
        10 + cited_values.place as rank,
        cited_values.kind,
        cited_values.namespace,
        cited_values.name,
        cited_values.field,
        cited_values.value,
        cited_values.is_set,
        case
            when cited_values.is_set then null
            when cited_values.is_set is null and cited_values.value is not null then 'as is Istio''s default'
            when cited_values.is_set is null then 'has a value that printed tables do not tell: kubectl get -o yaml does'
            when cited_values.default_value is null then 'not set: ' || cited_values.default_says
            else 'not set; Istio''s default is ' || cited_values.default_value
                || coalesce(' (' || cited_values.default_says || ')', '')
        end as says,
        case cited_values.observed
            when 'concurrency' then 'up to ' || observations.concurrency || ' calls at once from one pod'
            when 'server_time' then 'the server took ' || round(observations.server_p99_ms)::bigint
                || ' ms (p99), as far as callers waited'
            when 'client_time' then 'the calls took ' || round(observations.client_p50_ms)::bigint || ' ms (median)'
            when 'attempts' then nullif(concat_ws('; ',
                case when observations.attempts > 1 then 'up to ' || observations.attempts || ' attempts of a call' end,
                case when observations.used_up > 0 then 'retries used up in ' || observations.used_up || ' calls' end
            ), '')
            when 'calls' then observations.calls || case when observations.calls = 1 then ' call' else ' calls' end
        end as observed,
        cited_values.change,
        cited_values.snapshot_at,
        cited_values.is_later,
    from cited_values
    left join observations using (diagnosis_id)
),

facts as (
    select
        diagnosis_id,
        place as rank,
        kind,
        namespace,
        name,
        field,
        value,
        value is not null as is_set,
        says,
        null as observed,
        change,
        snapshot_at,
        is_later,
    from cited_facts
),

every_citation as (
    select * from facts
    union all
    select * from settings
),

placed as (
    select
        diagnosis_id,
        row_number() over (
            partition by diagnosis_id
            -- what is set says more than what is not
            order by coalesce(is_set, false) desc, is_set is null desc, rank, kind, namespace, name, field
        ) as place,
        kind,
        namespace,
        name,
        field,
        value,
        is_set,
        says,
        observed,
        change,
        snapshot_at,
        is_later,
    from every_citation
)

select
    diagnosis_id,
    place,
    kind,
    namespace,
    name,
    field,
    value,
    is_set,
    coalesce(kind || ' ' || coalesce(namespace || '/', '') || name, 'no ' || kind)
    || case
        when value is not null then case when is_set and says is null then ' sets ' else ' ' end || field || ': ' || value || coalesce('; ' || says, '')
        else ' ' || field || coalesce(' ' || says, '')
    end as cited,
    observed,
    change,
    snapshot_at,
    is_later,
from placed
