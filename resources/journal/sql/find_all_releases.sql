select
  row_id,
  seq,
  actor,
  reason,
  released_at
from quote_releases
order by seq
