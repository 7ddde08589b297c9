select
  account,
  lane,
  actual_adapter,
  min(session) as since,
  max(broker_order_id <> '') as is_acknowledged
from orders
group by account, lane, actual_adapter
order by account, lane, actual_adapter
