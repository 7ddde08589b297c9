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
  select seq
  from (
    select
      seq,
      row_number() over (partition by book, lane order by seq desc) as place
    from events
    where kind = 'signal_window'
      and reason <> ''
  ) as empty_windows
  where place <= :last
)
order by seq desc
