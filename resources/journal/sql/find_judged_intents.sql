select
  intent_id,
  min(passed) as passed
from verdicts
group by intent_id
order by intent_id
