-- A cross join, so that SQLite begins with the few events and not with all intents.
select
  intents.book as book,
  intents.lane as lane,
  min(intents.session) as first_session
from events
cross join intents
where events.seq > :after
  and intents.intent_id = events.intent_id
group by intents.book, intents.lane
