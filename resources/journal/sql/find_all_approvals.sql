select
  nonce,
  intent_id,
  answer,
  actor,
  reason,
  payload_hash,
  version,
  at
from approvals
order by at, nonce
