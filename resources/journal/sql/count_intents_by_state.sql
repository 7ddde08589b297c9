select
  book,
  session,
  state,
  count(*) as intents
from intents
where book = :book
  and lane = :lane
  and session >= :first
group by book, session, state
order by session, state
