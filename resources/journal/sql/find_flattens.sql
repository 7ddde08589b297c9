select
  command_id,
  book,
  lane,
  account,
  session,
  plan,
  previewed_by,
  previewed_at,
  ordered_by,
  reason,
  ordered_at
from flatten_commands
where book = :book
  and lane = :lane
  and session = :session
order by previewed_at, command_id
