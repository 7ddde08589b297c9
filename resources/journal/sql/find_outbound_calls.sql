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
where at >= :first
  and at < :past
order by seq
