-- one row per sure pair whose times lie near each other by the clocks of its two pods
-- key: server_line_id
-- One whose times lie far apart for those clocks is none: the same id and sockets at another time.
select sure_pairs.* from sure_pairs
left join pod_clocks as client_clock on sure_pairs.client_address_key = hash(client_clock.address)
left join pod_clocks as server_clock on sure_pairs.server_address_key = hash(server_clock.address)
where
    abs(difference_ms - coalesce(server_clock.ahead_ms, 0) + coalesce(client_clock.ahead_ms, 0)) < 10000
    or server_clock.address is null
