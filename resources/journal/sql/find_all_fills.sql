select
  execution_id,
  seq,
  client_order_id,
  intent_id,
  book,
  lane,
  session,
  symbol,
  side,
  quantity,
  price_micros,
  commission_micros,
  filled_at
from fills
order by seq
