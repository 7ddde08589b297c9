select
  book,
  lane,
  session,
  opening,
  opening_sha,
  decided_at,
  decisions_sha,
  settled_at,
  carried_by,
  closing,
  closing_sha,
  refused_stage,
  refused_reason
from book_sessions
order by session, book, lane
