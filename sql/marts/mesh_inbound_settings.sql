-- one row per service, port and field of a connection pool: what the service's own sidecars have in effect for its calls
-- key: service, port, field
-- The Sidecar that selects the service's pods counts, for the port that the application listens at, as a whole: its ingress's
-- pool, else its inboundConnectionPool, else the DestinationRule that the service's own namespace has.
with

services as (
    select distinct
        service,
        namespace,
        port,
        coalesce(try_cast(target_port as integer), port) as application_port,
    from mesh_services
    where kind = 'Service'
),

sidecars as (
    select
        service,
        namespace,
        name,
    from mesh_selections
    where kind = 'Sidecar' and api_group = 'networking.istio.io'
    qualify row_number() over (partition by service order by rank, namespace, name) = 1
),

fields as (
    select * from mesh_fields
    where kind = 'Sidecar' and api_group = 'networking.istio.io'
),

settings as (
    select
        namespace,
        name,
        regexp_extract(field, '^(spec\.inboundConnectionPool|spec\.ingress\[\d+\]\.connectionPool)\.', 1) as place,
        'connectionPool.' || substr(field, len(place) + 2) as setting,
        field,
        value,
        snapshot_at,
        is_later,
    from fields
    where place <> ''
),

listeners as (
    select
        namespace,
        name,
        replace(field, '.port.number', '.connectionPool') as place,
        try_cast(value as integer) as port,
    from fields
    where regexp_full_match(field, 'spec\.ingress\[\d+\]\.port\.number')
),

-- a port's own pool stands before the one for all ports
deciding as (
    select
        services.service,
        services.port,
        settings.namespace,
        settings.name,
        settings.place,
        settings.snapshot_at,
        settings.is_later,
    from services
    inner join sidecars using (service)
    inner join settings
        on sidecars.namespace is not distinct from settings.namespace
        and sidecars.name = settings.name
    left join listeners
        on settings.namespace is not distinct from listeners.namespace
        and settings.name = listeners.name
        and settings.place = listeners.place
    where settings.place = 'spec.inboundConnectionPool' or listeners.port = services.application_port
    qualify row_number() over (
        partition by services.service, services.port
        order by settings.place = 'spec.inboundConnectionPool', settings.place
    ) = 1
),

---------- without a Sidecar's word the DestinationRule's counts at the server, too

rules as (
    select policies.*
    from mesh_effective_settings as policies
    inner join services using (service, port)
    where
        policies.subset is null
        and starts_with(policies.field, 'connectionPool.')
        and (policies.client_namespace is null or policies.client_namespace = services.namespace)
    qualify row_number() over (
        partition by policies.service, policies.port, policies.field
        order by policies.client_namespace is null
    ) = 1
),

by_rule as (
    select
        rules.service,
        rules.port,
        rules.field,
        rules.value,
        rules.is_set,
        rules.default_says,
        case when rules.destination_rule is not null then 'DestinationRule' end as kind,
        rules.destination_rule as object,
        rules.path,
        rules.snapshot_at,
        rules.is_later,
    from rules
    anti join deciding using (service, port)
),

asked as (
    select
        deciding.*,
        mesh_defaults.field,
    from deciding
    inner join mesh_defaults on starts_with(mesh_defaults.field, 'connectionPool.')
    union
    -- fields without a known default
    select
        deciding.*,
        settings.setting as field,
    from deciding
    inner join settings
        on deciding.namespace is not distinct from settings.namespace
        and deciding.name = settings.name
        and deciding.place = settings.place
),

by_sidecar as (
    select
        asked.service,
        asked.port,
        asked.field,
        coalesce(settings.value, mesh_defaults.default_value) as value,
        settings.value is not null as is_set,
        mesh_defaults.says as default_says,
        'Sidecar' as kind,
        asked.name || coalesce('.' || asked.namespace, '') as object,
        asked.place || substr(asked.field, len('connectionPool') + 1) as path,
        asked.snapshot_at,
        asked.is_later,
    from asked
    left join settings
        on asked.namespace is not distinct from settings.namespace
        and asked.name = settings.name
        and asked.place = settings.place
        and asked.field = settings.setting
    left join mesh_defaults on asked.field = mesh_defaults.field
),

effective as (
    select * from by_rule
    union all
    select * from by_sidecar
)

select * from effective
