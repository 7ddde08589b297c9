select
  outbox_id,
  attempt,
  is_delivered,
  reason,
  at
from deliveries
order by outbox_id, attempt
