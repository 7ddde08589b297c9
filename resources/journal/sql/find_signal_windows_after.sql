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
where kind = 'signal_window'
  and lane = :lane
  and seq > :after
order by seq
