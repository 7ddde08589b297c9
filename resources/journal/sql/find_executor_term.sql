select
  account,
  lane,
  term,
  holder,
  began_at,
  reconciled_at
from executors
where account = :account
  and lane = :lane
