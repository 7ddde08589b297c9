select
  book,
  session,
  sum(case when state = 'executed' then 1 else 0 end) as executed,
  count(*) as sent
from intents
where lane = :lane
  and session >= :first
  and state in ('executed', 'failed', 'unknown')
group by book, session
order by book, session
