select
  actor,
  at,
  body
from events
where kind = 'evidence_filed'
order by seq
