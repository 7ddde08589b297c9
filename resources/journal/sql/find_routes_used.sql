select
  account,
  lane,
  actual_adapter,
  min(session) as since
from orders
group by account, lane, actual_adapter
order by account, lane, actual_adapter
