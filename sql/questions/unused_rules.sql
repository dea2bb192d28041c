-- which rules of VirtualServices served no call of the window, though others of the same VirtualService did
-- $virtual_service varchar = null: only rules of this VirtualService, by its name
-- $limit bigint = 100: how many rows at most
with

usage as (
    select * from route_usage
),

unused as (
    select
        namespace,
        virtual_service,
        field,
        route_name,
        conditions,
        is_virtual_service_used,
        -- without a name of its own in the log a rule's calls may be a sibling's
        is_told_by_name,
    from usage
    where not is_used and ($virtual_service is null or virtual_service = $virtual_service)
    order by is_virtual_service_used desc, is_told_by_name desc, namespace, virtual_service, field
    limit $limit
)

select * from unused
