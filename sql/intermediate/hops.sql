-- one row per attempt of a call from one proxy to the next, both sides where both were logged
-- key: hop_id
-- client_* figures stand on the last attempt only (attempt = attempts), so sums over them count each call once.
-- network_ms + proxy_ms + body_ms + app_ms + below_ms = client_duration_ms, or the server's where it worked on for longer.
select * exclude (hop_number) from numbered_hops
