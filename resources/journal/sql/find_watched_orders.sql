select
  orders.intent_id,
  orders.client_order_id,
  orders.generation,
  orders.request,
  orders.request_sha,
  orders.status,
  orders.broker_order_id,
  orders.filled_quantity,
  orders.attempts,
  orders.absences,
  orders.first_absent_at,
  orders.cancel_asked_at,
  orders.cancel_kind,
  orders.prepared_at,
  orders.send_by,
  orders.reason,
  orders.expected_adapter,
  orders.actual_adapter,
  orders.fallback_count,
  orders.fallback_reason
from orders
join watch_list
  on watch_list.client_order_id = orders.client_order_id
where watch_list.account = :account
  and watch_list.session >= :since
order by orders.client_order_id
