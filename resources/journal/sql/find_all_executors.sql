select
  account,
  lane,
  term,
  holder,
  began_at,
  reconciled_at
from executors
order by account, lane
