select
  session,
  decided_at,
  settled_at
from book_sessions
where book = :book
  and lane = :lane
  and session >= :first
  and opening_sha <> ''
order by session
