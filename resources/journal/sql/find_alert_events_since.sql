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
where kind in ('alert', 'alert_acknowledged', 'silence_set', 'silence_ended', 'alerts_told')
  and seq >= :first
order by seq
