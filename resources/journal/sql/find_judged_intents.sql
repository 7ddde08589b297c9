-- The reasons are those that ask a person instead of blocking: trading.guards.SOFT.
select
  intent_id,
  min(
    case
      when passed = 1 then 1
      when reason in (
        'fat_finger_soft',
        'volume_share_exceeded',
        'repeated_execution_disabled',
        'degrade_manual_approval_required'
      ) then 1
      else 0
    end
  ) as passed
from verdicts
group by intent_id
order by intent_id
