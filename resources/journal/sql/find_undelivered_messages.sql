select
  outbox_id,
  dedup_key,
  channel,
  severity,
  subject,
  body,
  status,
  attempts,
  created_at,
  due_at
from outbox
where status in ('waiting', 'dead')
order by outbox_id
