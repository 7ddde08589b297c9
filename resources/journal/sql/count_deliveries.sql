select
  outbox.channel as channel,
  deliveries.reason as reason,
  count(*) as attempts
from deliveries
join outbox
  on outbox.outbox_id = deliveries.outbox_id
where (:reason = '' or deliveries.reason = :reason)
  and (:channel = '' or outbox.channel = :channel)
  and deliveries.at >= :since
group by outbox.channel, deliveries.reason
order by outbox.channel, deliveries.reason
