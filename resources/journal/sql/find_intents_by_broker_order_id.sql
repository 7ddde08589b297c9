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
    from orders
    where broker_order_id >= :first
      and broker_order_id < :past
  )
order by session, side desc, symbol, slot, intent_id
