select
  seq,
  at,
  kind,
  book,
  lane,
  session,
  intent_id,
  actor,
  reason,
  body,
  prev_hash,
  hash
from events
where intent_id = :intent_id
  and intent_id <> ''
or at >= :first
  and at <= :past
  and intent_id = ''
  and kind not in ('message_queued', 'messages_leased', 'message_tried', 'signal_window')
order by seq
