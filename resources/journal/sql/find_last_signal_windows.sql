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
where seq in (
  select max(seq)
  from events
  where kind = 'signal_window'
  group by book, lane
)
order by seq
