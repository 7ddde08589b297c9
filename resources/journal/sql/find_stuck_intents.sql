select
  intent_id,
  account,
  lane,
  payload,
  payload_hash,
  state,
  stage,
  version,
  epoch,
  generation,
  quantity,
  unadvised_quantity,
  filled_quantity,
  reason,
  actor,
  not_after,
  verdicts_sha,
  limits_sha,
  inputs_sha,
  changed_at
from intents
where lane = :lane
  and state in ('executing', 'unknown')
  and changed_at < :before
order by changed_at, intent_id
