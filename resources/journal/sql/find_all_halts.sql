select
  account,
  symbol,
  is_on,
  actor,
  reason,
  changed_at
from halts
order by account, symbol
