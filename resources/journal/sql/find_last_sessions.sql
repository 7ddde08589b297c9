select
  book,
  lane,
  session,
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
where book = :book
  and lane = :lane
  and session < :before
order by session desc
limit :last
