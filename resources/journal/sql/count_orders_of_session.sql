select
  coalesce(sum(case when orders.prepared_at > :since then 1 else 0 end), 0) as last_minute,
  coalesce(sum(
    case
      when intents.intent_id <> :intent_id
        and intents.symbol = :symbol
        and intents.side = :side
      then 1
      else 0
    end
  ), 0) as repeated,
  (
    select count(*)
    from approvals
    where approvals.intent_id = :intent_id
      and approvals.payload_hash = :payload_hash
      and approvals.answer = 'approved'
  ) as approvals
from orders
join intents
  on intents.intent_id = orders.intent_id
where orders.book = :book
  and orders.lane = :lane
  and orders.session = :session
  and orders.client_order_id <> :apart
