select
  incident_id,
  kind,
  account,
  intent_id,
  detail,
  at
from incidents
order by incident_id
