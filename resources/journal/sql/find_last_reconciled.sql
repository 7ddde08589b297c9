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
where kind = 'reconciled'
  and seq < :before
  and substr(body, 1, length(cast(:account as text))) = cast(:account as text)
order by seq desc
limit 1
