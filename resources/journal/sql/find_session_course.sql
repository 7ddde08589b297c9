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
where kind in ('stage_refused', 'retried')
  and book = :book
  and lane = :lane
  and session = :session
  and seq <= :until
union all
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
where kind in ('breaker_changed', 'cooldown_began', 'incident', 'run_control')
  and seq > :after
  and seq <= :until
  and lane in ('', :lane)
order by seq
