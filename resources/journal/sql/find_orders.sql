select
  intent_id,
  client_order_id,
  generation,
  request,
  request_sha,
  status,
  broker_order_id,
  filled_quantity,
  attempts,
  absences,
  first_absent_at,
  cancel_asked_at,
  cancel_kind,
  prepared_at,
  send_by,
  reason,
  expected_adapter,
  actual_adapter,
  fallback_count,
  fallback_reason
from orders
where book = :book
  and lane = :lane
  and session = :session
order by intent_id, generation
