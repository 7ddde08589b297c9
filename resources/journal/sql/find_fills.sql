select
  execution_id,
  client_order_id,
  intent_id,
  symbol,
  side,
  quantity,
  price_micros,
  commission_micros,
  session,
  filled_at
from fills
where book = :book
  and lane = :lane
  and session = :session
  and execution_id not in (
    select takes_back
    from busts
  )
order by seq
