select
  execution_id,
  takes_back,
  intent_id,
  at
from busts
order by at, execution_id
