select
  symbol,
  side,
  quantity,
  price_micros,
  commission_micros
from fills
where book = :book
  and lane = :lane
  and session = :session
  and execution_id not in (
    select takes_back
    from busts
  )
order by seq
