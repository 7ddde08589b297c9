select
  book,
  lane,
  state,
  count(*) as intents
from intents
group by book, lane, state
order by book, lane, state
