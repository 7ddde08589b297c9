select
  session,
  count(*) as intents,
  sum(case when state = 'rejected' and quantity = 0 then 1 else 0 end) as blocked,
  sum(case when filled_quantity > 0 then 1 else 0 end) as filled
from intents
where book = :book
  and lane = :lane
  and session >= :first
  and session <= :last
group by session
order by session
