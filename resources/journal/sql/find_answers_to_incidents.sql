select
  seq,
  at,
  kind,
  book,
  lane,
  session,
  intent_id,
  actor,
  reason,
  body,
  prev_hash,
  hash
from events
where kind in (
  'incident',
  'halted',
  'halt_lifted',
  'run_control',
  'incident_acknowledged',
  'incident_acted',
  'incident_resolved',
  'incident_action_planned',
  'incident_action_done'
)
order by seq
