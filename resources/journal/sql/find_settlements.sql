select
  book,
  session,
  settled_at,
  carried_by
from book_sessions
where lane = :lane
  and settled_at is not null
order by settled_at
