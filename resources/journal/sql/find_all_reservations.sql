select
  client_order_id,
  quantity_left,
  micros_left
from reservations
order by client_order_id
