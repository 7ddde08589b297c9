select
  book,
  lane,
  status,
  count(*) as orders,
  sum(attempts) as attempts
from orders
group by book, lane, status
order by book, lane, status
