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
  and book = :book
  and lane = :lane
  and (:before = '' or session < :before)
order by seq desc
limit 1
