select
  sent.book,
  sent.session,
  sent.at as sent_at,
  (
    select min(answered.at)
    from events as answered
    where answered.intent_id = sent.intent_id
      and answered.seq > sent.seq
      and answered.kind in ('acknowledged', 'refused_by_broker', 'outcome_unknown')
  ) as answered_at
from events as sent
where sent.kind in ('prepared', 'prepared_again')
  and sent.lane = :lane
  and sent.session >= :first
order by sent.seq
