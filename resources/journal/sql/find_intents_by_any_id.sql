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
  and intent_id in (
    select intent_id
    from intents
    where intent_id >= :first
      and intent_id < :past
    union
    select intent_id
    from orders
    where client_order_id >= :first
      and client_order_id < :past
    union
    select intent_id
    from fills
    where execution_id >= :first
      and execution_id < :past
  )
order by session, side desc, symbol, slot, intent_id
