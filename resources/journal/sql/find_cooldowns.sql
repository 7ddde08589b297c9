select
  account,
  lane,
  failures,
  began_at,
  until,
  actor,
  reason,
  changed_seq
from cooldowns
order by account, lane
