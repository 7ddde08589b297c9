select
  seq,
  kind,
  digest,
  run_id,
  candidate_id,
  strategy,
  book,
  content,
  actor,
  filed_at,
  prev_hash,
  hash
from evidence
order by seq
