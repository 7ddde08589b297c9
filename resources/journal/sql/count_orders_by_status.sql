select
  book,
  session,
  status,
  count(*) as orders,
  sum(attempts) as attempts
from orders
where book = :book
  and lane = :lane
  and session >= :first
group by book, session, status
order by session, status
