select
  book,
  lane,
  min(session) as first_session
from events
where seq > :after
  and session <> ''
group by book, lane
