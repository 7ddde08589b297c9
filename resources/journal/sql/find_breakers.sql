select
  name,
  state,
  failures,
  trials,
  until,
  holder,
  word,
  version,
  actor,
  reason,
  changed_at
from breakers
order by name
