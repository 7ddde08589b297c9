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
where kind in ('advisor_moved', 'advisor_stepped_back', 'advisor_evaluated')
order by seq
