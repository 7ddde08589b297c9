select
  seq,
  at,
  kind,
  book,
  lane,
  session,
  intent_id,
  actor,
  reason,
  body,
  prev_hash,
  hash
from events
where seq in (
    select seq
    from (select seq from events where kind = 'run_control' order by seq desc limit :last) as run_controls
    union all
    select seq
    from (select seq from events where kind = 'mode_set' order by seq desc limit :last) as modes_set
    union all
    select seq
    from (select seq from events where kind = 'halted' order by seq desc limit :last) as halteds
    union all
    select seq
    from (select seq from events where kind = 'halt_lifted' order by seq desc limit :last) as halt_lifteds
    union all
    select seq
    from (select seq from events where kind = 'incident' order by seq desc limit :last) as incidents
    union all
    select seq
    from (select seq from events where kind = 'incident_acknowledged' order by seq desc limit :last) as taken_on
    union all
    select seq
    from (select seq from events where kind = 'parked' order by seq desc limit :last) as parkeds
    union all
    select seq
    from (select seq from events where kind = 'bust' order by seq desc limit :last) as busts
    union all
    select seq
    from (select seq from events where kind = 'stage_refused' order by seq desc limit :last) as stage_refuseds
    union all
    select seq
    from (select seq from events where kind = 'conflict' order by seq desc limit :last) as conflicts
)
order by seq desc
limit :last
