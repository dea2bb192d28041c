-- one row per line of a connection that was refused before its request could be read: the call that it belongs to
-- key: server_line_id
-- Plain text at a TLS port, or another protocol, leaves a line without request, id or cluster, which tells no side. It
-- belongs to the call that last took the same connection; both sockets have to agree.
with

refusals as (
    select
        line_id,
        source,
        line_number,
        started_at,
        downstream_local_address,
        downstream_remote_address,
    from access_logs_around
    where
        method is null
        and upstream_host is null
        and (
            coalesce(response_code_details = 'filter_chain_not_found', false)
            or list_has_any(flags, ['NR', 'DPE'])
        )
),

called as (
    select
        line_id,
        started_at,
        ended_at,
        upstream_host,
        upstream_local_address,
    from access_logs_around
    where
        direction <> 'inbound'
        and upstream_local_address is not null
        and upstream_host in (select downstream_local_address from refusals)
),

paired as (
    select
        called.line_id as client_line_id,
        refusals.line_id as server_line_id,
        refusals.started_at as server_started_at,
    from refusals
    asof join called
        on called.upstream_host = refusals.downstream_local_address
        and called.upstream_local_address = refusals.downstream_remote_address
        and called.started_at <= refusals.started_at + interval 1 second
    where refusals.started_at <= called.ended_at + interval 1 second
    qualify row_number() over (
        partition by called.line_id
        order by refusals.started_at desc, refusals.source, refusals.line_number
    ) = 1
)

select * from paired
