-- Reads every order: asked only where a ledger is gone.
select
  account,
  lane,
  max(session) as session
from orders
where actual_adapter in ('', 'embedded_paper')
  and (actual_adapter <> '' or broker_order_id <> '')
group by account, lane
order by account, lane
