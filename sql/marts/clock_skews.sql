-- one row per pair of pods that call each other: how far the server's clock is ahead of the client's
-- key: client_address, server_address
with

sure_pairs as (
    select * from sure_pairs
),

medians as (
    select
        client_address,
        server_address,
        count(*) as calls,
        median(difference_ms) as skew_ms,
    from sure_pairs
    where has_id
    group by client_address, server_address
),

named as (
    select
        medians.client_address,
        medians.server_address,
        client_names.pod as client_pod,
        server_names.pod as server_pod,
        medians.calls,
        medians.skew_ms,
    from medians
    left join address_names as client_names on medians.client_address = client_names.address
    left join address_names as server_names on medians.server_address = server_names.address
)

select * from named
