select
  row_id,
  actor,
  reason,
  released_at
from quote_releases
order by seq
