-- which pods answer with errors, each beside what its siblings of the same service and subset fail
-- $service varchar = null: only pods of this service, as name.namespace
-- $limit bigint = 20: how many rows at most
with

hosts as (
    select * from endpoints
    where errors > 0 and ($service is null or service = $service)
),

ranked as (
    select
        pod,
        upstream_host,
        service,
        cluster_subset,
        calls,
        errors,
        round(error_rate, 6) as error_rate,
        siblings,
        round(sibling_error_rate, 6) as sibling_error_rate,
        is_outlier,
        outlier_by,
        last_called_at,
    from hosts
    order by is_outlier desc, errors desc, error_rate desc, upstream_host, service, cluster_subset
    limit $limit
)

select * from ranked
