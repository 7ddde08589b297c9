select
  guard,
  passed,
  reason,
  observed,
  limit_value,
  largest_quantity,
  limits_sha
from verdicts
where intent_id = :intent_id
order by place
