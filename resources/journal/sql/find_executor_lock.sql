select
  pg_stat_activity.application_name,
  pg_locks.pid = pg_backend_pid() as is_ours
from pg_locks
join pg_stat_activity
  on pg_stat_activity.pid = pg_locks.pid
join pg_database
  on pg_database.oid = pg_locks.database
  and pg_database.datname = current_database()
where pg_locks.locktype = 'advisory'
  and pg_locks.granted
  and pg_locks.objsubid = 1
  and (cast(pg_locks.classid as bigint) << 32 | cast(pg_locks.objid as bigint)) = :key
