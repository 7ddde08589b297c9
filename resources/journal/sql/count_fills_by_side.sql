select
  book,
  session,
  side,
  count(*) as fills,
  sum(quantity) as quantity
from fills
where book = :book
  and lane = :lane
  and session >= :first
group by book, session, side
order by session, side
