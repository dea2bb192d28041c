-- one row per address at which a line of unknown direction arrived and that clients' lines show to be a Service's own
-- key: address
-- Sidecars send on what was sent there to another address, and no proxy is called there.
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

vips as (
    select arrived.address,
    from arrived
    anti join called using (address)
    where arrived.is_sent_on and not arrived.is_served
)

select * from vips
