select
  intent_id,
  place,
  stage,
  verdict,
  policy,
  detail,
  actor,
  approvers,
  expires_at,
  at
from approval_stages
order by intent_id, place
