select
  session,
  state,
  changed_at
from intents
where book = :book
  and lane = :lane
  and session >= :first
  and state in ('executed', 'failed', 'unknown')
order by session
