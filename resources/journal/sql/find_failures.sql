select
  events.at
from events
join intents on intents.intent_id = events.intent_id
where events.kind in ('refused_by_broker', 'outcome_unknown')
  and events.seq > :after
  and intents.account = :account
  and intents.lane = :lane
order by events.seq desc
limit :most
