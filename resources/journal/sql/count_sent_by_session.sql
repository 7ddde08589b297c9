select
  intents.book,
  intents.session,
  sum(case when intents.state = 'executed' then 1 else 0 end) as executed,
  count(*) as sent
from (
  select distinct book
  from book_sessions
) as books
join intents
  on intents.book = books.book
where intents.lane = :lane
  and intents.session >= :first
  and intents.state in ('executed', 'failed', 'unknown')
group by intents.book, intents.session
order by intents.book, intents.session
