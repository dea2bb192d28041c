-- one row per attempt of a call that started in the window; hops adds what it was made for and what went wrong with it
-- key: hop_number
-- What asks neither of all calls of a day reads them here: the joins that make hops of ten million have to be held in memory.
select calls.* from calls
cross join session_window
where
    (since is null or started_at >= since)
    and (until is null or started_at < until)
