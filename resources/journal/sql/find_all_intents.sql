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
order by session, book, lane, side desc, symbol, slot, intent_id
