select
  intent_id,
  place,
  guard,
  passed,
  reason,
  observed,
  limit_value,
  largest_quantity,
  limits_sha
from verdicts
order by intent_id, place
