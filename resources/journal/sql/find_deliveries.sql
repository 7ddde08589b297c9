select
  deliveries.outbox_id,
  deliveries.attempt,
  outbox.channel,
  deliveries.is_delivered,
  deliveries.reason,
  deliveries.at
from deliveries
join outbox
  on outbox.outbox_id = deliveries.outbox_id
order by deliveries.at, deliveries.outbox_id, deliveries.attempt
