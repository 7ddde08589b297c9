select
  fills.execution_id,
  fills.quantity,
  busts.execution_id as bust_id
from fills
left join busts
  on busts.takes_back = fills.execution_id
where fills.client_order_id = :client_order_id
