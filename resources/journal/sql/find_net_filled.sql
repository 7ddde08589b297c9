select
  coalesce(sum(quantity), 0) as quantity
from fills
where client_order_id = :client_order_id
  and execution_id not in (
    select takes_back
    from busts
  )
