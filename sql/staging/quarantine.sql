-- one row per line that looked like an access log and could not be typed
-- key: source, line_number, quarantined_at
select
    quarantined_at,
    source,
    line_number,
    reason,
    raw,
from lake_quarantine
