select
  account,
  symbol,
  actor,
  reason,
  changed_at
from halts
where is_on = 1
order by account, symbol
