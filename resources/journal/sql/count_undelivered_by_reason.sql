select
  outbox.channel as channel,
  outbox.status as status,
  coalesce(deliveries.reason, '') as reason,
  count(*) as messages
from outbox
left join deliveries
  on deliveries.outbox_id = outbox.outbox_id
  and deliveries.attempt = (
    select max(tries.attempt)
    from deliveries as tries
    where tries.outbox_id = outbox.outbox_id
  )
where outbox.status in ('waiting', 'dead')
group by outbox.channel, outbox.status, deliveries.reason
order by outbox.channel, outbox.status, deliveries.reason
