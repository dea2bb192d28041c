-- one row per pod address: how far its clock is ahead of the others'
-- key: address
-- Differences add up along calls, so pods that never call each other are compared too. A pod without a sure pair is none.
with recursive

-- where the servers' times fit into their clients' as they are, nothing shows that the two clocks differ
edges as (
    select
        client_address as near,
        server_address as far,
        case when abs(skew_ms) <= within_ms then 0 else skew_ms end as skew_ms,
        calls,
    from clock_skews
    where client_address <> server_address
),

both_ways as (
    select near, far, skew_ms, calls, from edges
    union all
    select far as near, near as far, -skew_ms as skew_ms, calls, from edges
),

-- the pods that reach each other have the least address among them in common
meshes (address, root) using key (address) as (
    select near as address, min(near) as root,
    from both_ways
    group by near
    union
    select both_ways.far as address, min(meshes.root) as root,
    from meshes
    inner join both_ways on meshes.address = both_ways.near
    inner join recurring.meshes as known on both_ways.far = known.address
    where meshes.root < known.root
    group by both_ways.far
),

-- outward from each root, over the pair with the most calls
walk (address, root, ahead_ms) using key (address) as (
    select address, root, 0::double as ahead_ms,
    from meshes
    where address = root
    union
    select
        both_ways.far as address,
        any_value(walk.root) as root,
        arg_max(walk.ahead_ms + both_ways.skew_ms, (both_ways.calls, both_ways.near, both_ways.skew_ms)) as ahead_ms,
    from walk
    inner join both_ways on walk.address = both_ways.near
    anti join recurring.walk as known on both_ways.far = known.address
    group by both_ways.far
),

-- most pods agree, so the middle one stands for the right time
centred as (
    select
        address,
        round(ahead_ms - median(ahead_ms) over (partition by root)) as ahead_ms,
    from walk
)

select address, ahead_ms::bigint as ahead_ms, from centred
