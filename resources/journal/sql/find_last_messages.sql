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
order by outbox_id desc
limit :last
