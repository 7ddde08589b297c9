select
  deliveries.at,
  deliveries.outbox_id,
  deliveries.attempt,
  outbox.channel,
  deliveries.reason,
  outbox.severity,
  outbox.subject,
  outbox.status
from deliveries
join outbox
  on outbox.outbox_id = deliveries.outbox_id
where (:reason = '' or deliveries.reason = :reason)
  and (:channel = '' or outbox.channel = :channel)
  and deliveries.at >= :since
  and (deliveries.outbox_id, deliveries.attempt) < (:outbox_id, :attempt)
order by deliveries.outbox_id desc, deliveries.attempt desc
limit :last
