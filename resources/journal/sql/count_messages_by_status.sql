select
  channel,
  severity,
  status,
  count(*) as messages
from outbox
group by channel, severity, status
order by channel, severity, status
