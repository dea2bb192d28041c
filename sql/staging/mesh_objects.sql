-- one row per object of Kubernetes or Istio, as it stood in the snapshot in force
-- key: api_group, kind, namespace, name
with

objects as (
    select * from lake_mesh_objects
),

in_force as (
    select * from mesh_snapshots
    where is_in_force
),

latest as (
    select
        objects.kind,
        objects.api_group,
        objects.api_version,
        objects.namespace,
        objects.name,
        objects.labels::json as labels,
        objects.body::json as body,
        objects.is_understood,
        objects.unknown_fields,
        objects.snapshot_at,
        in_force.is_later,
        objects.source,
        objects.document,
    from objects
    inner join in_force
        on objects.api_group = in_force.api_group
        and objects.kind = in_force.kind
        and objects.snapshot_at = in_force.snapshot_at
    qualify row_number() over (
        partition by objects.api_group, objects.kind, objects.namespace, objects.name
        order by objects.read_at desc, objects.source desc, objects.document desc
    ) = 1
)

select * from latest
