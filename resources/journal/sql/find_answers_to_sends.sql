-- A cross join, so that SQLite begins with the intents of the sessions and not with every send there was.
select
  intents.session as session,
  sent.at as sent_at,
  (
    select min(answered.at)
    from events as answered
    where answered.intent_id = sent.intent_id
      and answered.seq > sent.seq
      and answered.kind in ('acknowledged', 'refused_by_broker', 'outcome_unknown')
  ) as answered_at
from intents
cross join events as sent
where intents.book = :book
  and intents.lane = :lane
  and intents.session >= :first
  and intents.session <= :last
  and sent.intent_id = intents.intent_id
  and sent.kind in ('prepared', 'prepared_again')
order by sent.seq
