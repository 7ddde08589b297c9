select
  book,
  purpose,
  run_id,
  sum(case when ok = 1 then 1 else 0 end) as answered,
  sum(case when ok = 0 and attempts > 0 then 1 else 0 end) as failed,
  sum(case when ok = 0 and attempts = 0 then 1 else 0 end) as held_back,
  sum(prompt_tokens) as prompt_tokens,
  sum(completion_tokens) as completion_tokens,
  sum(cost_micros) as cost_micros,
  sum(case when intents = '' then 0 else length(intents) - length(replace(intents, ' ', '')) + 1 end) as intents,
  max(seq) as newest
from advisor_calls
where lane = :lane
  and seq > :after
group by book, purpose, run_id
order by book, purpose, run_id
