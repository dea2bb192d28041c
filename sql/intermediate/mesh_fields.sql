-- one row per field that is set in an object of Kubernetes or Istio: its path and its value
-- key: api_group, kind, namespace, name, field
with

objects as (
    select * from mesh_objects
),

leaves as (
    select
        objects.api_group,
        objects.kind,
        objects.namespace,
        objects.name,
        substr(tree.fullkey, 3) as field,
        tree.atom ->> '$' as value,
        objects.snapshot_at,
        objects.is_later,
    from objects
    cross join json_tree(objects.body) as tree
    where tree.atom is not null and tree.type <> 'NULL'
),

measured as (
    select
        *,
        -- a duration as Kubernetes writes it: 1h30m, 0.250s
        case when regexp_full_match(value, '(\d+(\.\d+)?(h|m|s|ms|us|ns))+') then
            list_sum(list_transform(
                regexp_extract_all(value, '\d+(?:\.\d+)?(?:ms|us|ns|h|m|s)'),
                lambda part: regexp_extract(part, '^[\d.]+')::double
                    * case regexp_extract(part, '[a-z]+$')
                        when 'h' then 3600000
                        when 'm' then 60000
                        when 's' then 1000
                        when 'ms' then 1
                        when 'us' then 0.001
                        else 0.000001
                    end
            ))
        end as value_ms,
    from leaves
)

select * from measured
