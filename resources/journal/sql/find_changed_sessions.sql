select
  intents.book as book,
  intents.lane as lane,
  min(intents.session) as first_session
from events
join intents on intents.intent_id = events.intent_id
where events.seq > :after
group by intents.book, intents.lane
