select
  symbol,
  side,
  quantity_left,
  micros_left
from reservations
where book = :book
  and lane = :lane
  and quantity_left > 0
  and client_order_id <> :apart
