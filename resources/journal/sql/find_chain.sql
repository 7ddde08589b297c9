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
where intent_id = :intent_id
order by place
