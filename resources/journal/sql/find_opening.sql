select opening
from book_sessions
where book = :book
  and lane = :lane
  and session = :session
  and opening is not null
