select
  client_order_id,
  account,
  session,
  reason,
  at
from watch_list
order by client_order_id
