select
  execution_id,
  takes_back,
  intent_id
from busts
order by at, execution_id
