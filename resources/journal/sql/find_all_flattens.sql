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
order by previewed_at, command_id
