select
  min(session) as first_opened,
  max(session) as last_opened
from book_sessions
where book = :book
  and lane = :lane
  and opening is not null
