select
  book,
  lane,
  side,
  count(*) as fills,
  sum(quantity) as quantity
from fills
group by book, lane, side
order by book, lane, side
