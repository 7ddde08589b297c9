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
order by seq
