select
  nonce,
  intent_id,
  actor,
  reason,
  payload_hash,
  version,
  at
from endorsements
order by intent_id, version
