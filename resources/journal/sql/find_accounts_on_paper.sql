-- An order that was prepared for a paper broker may be there, though nobody heard its answer; of one from before
-- adapters were noted it is known where the broker named it.
-- From one account and lane to the next by the index, so that a million orders cost no more than a hundred.
with recursive accounts (account) as (
  select min(account)
  from orders
  union all
  select (select min(orders.account) from orders where orders.account > accounts.account)
  from accounts
  where accounts.account is not null
),
lanes (account, lane) as (
  select
    accounts.account,
    (select min(orders.lane) from orders where orders.account = accounts.account)
  from accounts
  where accounts.account is not null
  union all
  select
    lanes.account,
    (
      select min(orders.lane)
      from orders
      where orders.account = lanes.account
        and orders.lane > lanes.lane
    )
  from lanes
  where lanes.lane is not null
)
select
  account,
  lane
from lanes
-- A value in the index's order, and not `exists`: PostgreSQL would read every order for that.
where (
    select 1
    from orders
    where orders.account = lanes.account
      and orders.lane = lanes.lane
      and orders.actual_adapter in ('', 'embedded_paper')
      and (orders.actual_adapter <> '' or orders.broker_order_id <> '')
    order by orders.actual_adapter
    limit 1
  ) is not null
order by account, lane
