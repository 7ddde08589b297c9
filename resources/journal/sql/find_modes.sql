select
  name,
  value,
  actor,
  reason,
  changed_at
from modes
order by name
