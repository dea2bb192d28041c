-- one row per source and ingest that read something from it
-- key: load_id, source
select
    load_id,
    source,
    loaded_at,
    lines,
    rows,
    rejects,
    noise,
    blank,
    bytes,
    first_started_at,
    last_started_at,
    problem,
from lake_loads
