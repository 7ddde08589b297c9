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
where book = :book
  and lane = :lane
  and session >= :first
  and symbol = :symbol
order by session desc, side desc, slot, intent_id
