-- Only what is before the session's settlement is its own, and only what is behind the one before.
select
  max(case when session < :session then seq end) as after_seq,
  max(case when session = :session then seq end) as until_seq
from events
where kind = 'settled'
  and book = :book
  and lane = :lane
  and session <= :session
