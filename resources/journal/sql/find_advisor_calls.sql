select
  call_id,
  at,
  session,
  book,
  lane,
  run_id,
  purpose,
  strategies,
  intents,
  provider,
  endpoint,
  model,
  tier,
  prompt_name,
  prompt_version,
  prompt_sha,
  schema_version,
  prompt_tokens,
  completion_tokens,
  is_counted,
  cost_micros,
  latency_ms,
  attempts,
  ok,
  error_type,
  breaker,
  was_cached
from advisor_calls
where (:book = '' or book = :book)
  and (:session = '' or session = :session)
  and at >= :since
order by seq
