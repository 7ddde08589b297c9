select
  at,
  provider,
  endpoint,
  account,
  kind,
  status,
  word,
  latency_ms,
  waited_ms,
  attempt,
  breaker,
  was_cached
from outbound_calls
order by seq desc
limit :last
