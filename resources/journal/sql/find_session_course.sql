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
where book = :book
  and lane = :lane
  and session = :session
  and (
    kind in ('stage_refused', 'retried') and seq <= :until
    -- The stage that settles a session ends just behind its settlement; no later end is its own, by any clock.
    or kind = 'stage_ran' and seq <= (
      select coalesce(min(later.seq), :until)
      from events as later
      where later.kind = 'stage_ran'
        and later.book = :book
        and later.lane = :lane
        and later.session = :session
        and later.seq > :until
    )
  )
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
