select
  scope,
  kill_switch_on,
  paused,
  actor,
  reason,
  changed_at
from run_control
order by scope
