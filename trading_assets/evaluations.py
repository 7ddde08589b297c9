"""Evaluations of checks as Dagster stored them: what the executor asks as well, and what was judged before.

A blocking check holds only the run that contains it; a later run of executions alone would go ahead.
"""

from collections.abc import Sequence

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from trading.gates import Gate

JUDGED = "judged"
"""Metadata of an evaluation: the digest of what was judged and of what judged it."""
JUDGED_IN = "judged in run"


def evaluated_gates(
    instance: dg.DagsterInstance, *, asset: dg.AssetKey, names: Sequence[str], partition: str
) -> tuple[Gate, ...]:
    """Return the latest evaluation of each check for one session as a gate; one that never ran is closed."""
    keys = [dg.AssetCheckKey(asset, name) for name in names]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        keys, partition_filter=PartitionKeyFilter(key=partition)
    )
    return tuple(_gate(key, records.get(key)) for key in keys)


def run_that_judged(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, *, partition: str, judged: str
) -> str:
    """Return the run that judged exactly what `judged` names and let it pass, empty where none is known.

    Only the latest evaluation that passed is looked at; its metadata tells what it was of, and where judged.
    """
    records = instance.event_log_storage.get_asset_check_execution_history(
        check,
        limit=1,
        status={AssetCheckExecutionRecordStatus.SUCCEEDED},
        partition_filter=PartitionKeyFilter(key=partition),
    )
    for record in records:
        event = record.event.dagster_event if record.event else None
        told = event.asset_check_evaluation_data.metadata if event else {}
        if JUDGED in told and told[JUDGED].value == judged:
            return str(told[JUDGED_IN].value)
    return ""


def _gate(key: dg.AssetCheckKey, record: object) -> Gate:
    status = getattr(record, "status", None)
    if status is AssetCheckExecutionRecordStatus.SUCCEEDED:
        return Gate(f"check {key.name}", passed=True, detail="passed when last evaluated")
    if status is None:
        detail = "never evaluated for this session; launch the execute job, which evaluates it first"
    else:
        detail = f"last evaluation {status.value.lower()}; see the checks of {key.asset_key.to_user_string()}"
    return Gate(f"check {key.name}", passed=False, detail=detail)
