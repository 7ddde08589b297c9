select
  account,
  kind,
  count(*) as incidents
from incidents
group by account, kind
order by account, kind
