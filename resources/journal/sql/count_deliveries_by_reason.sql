select
  outbox.channel as channel,
  deliveries.reason as reason,
  count(*) as deliveries
from deliveries
join outbox on outbox.outbox_id = deliveries.outbox_id
group by outbox.channel, deliveries.reason
order by outbox.channel, deliveries.reason
