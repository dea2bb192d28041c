-- one row per address of a Service's own at which a line of unknown direction arrived
-- key: address
-- Clients' lines show it (sidecars send on what was sent there, and no proxy is called there), or the configuration says.
with

undecided as (
    select distinct downstream_local_address as address, from lake_access_logs
    where direction = 'unknown' and upstream_cluster is null and downstream_local_address is not null
),

arrived as (
    select
        address,
        bool_or(
            lines.direction = 'outbound'
            and starts_with(lines.upstream_cluster, 'outbound|')
            and lines.upstream_host <> address
        ) as is_sent_on,
        bool_or(lines.direction = 'inbound' or lines.reporter = 'gateway') as is_served,
    from lake_access_logs as lines
    inner join undecided on lines.downstream_local_address = undecided.address
    where lines.direction <> 'unknown'
    group by address
),

called as (
    select distinct lines.upstream_host as address, from lake_access_logs as lines
    semi join undecided on lines.upstream_host = undecided.address
),

-- of the Services and ServiceEntries themselves: mesh_addresses says the same, but takes pods and endpoints in, too
configured as (
    select cluster_ip as address from mesh_services
    union
    select unnest(addresses) as address from mesh_services
),

vips as (
    select arrived.address,
    from arrived
    anti join called using (address)
    where arrived.is_sent_on and not arrived.is_served
    union
    select undecided.address,
    from undecided
    semi join configured on regexp_extract(undecided.address, '^\[?(.+?)\]?:\d+$', 1) = configured.address
)

select * from vips
