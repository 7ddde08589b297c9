select
  client_order_id,
  intent_id,
  book,
  lane,
  symbol,
  side,
  quantity_left,
  micros_left
from reservations
order by client_order_id
