"""Evaluations of checks as Dagster stored them: what the executor asks as well, and what was judged before.

A blocking check holds only the run that contains it; a later run of executions alone would go ahead.
"""

from collections.abc import Sequence

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from trading.gates import Gate

JUDGED = "judged"
"""Metadata of an evaluation: the digest of what was judged and of what judged it."""
JUDGED_IN = "judged in run"

RECORDS_LOOKED_AT = 50
"""More runs than this never wait for one session."""


def evaluated_gates(
    instance: dg.DagsterInstance, *, asset: dg.AssetKey, names: Sequence[str], partition: str, run_id: str
) -> tuple[Gate, ...]:
    """Return the latest evaluation of each check for one session as a gate; one that never ran is closed.

    `run_id` is the run that asks.
    """
    keys = [dg.AssetCheckKey(asset, name) for name in names]
    return tuple(_gate(key, _latest(instance, key, partition, run_id)) for key in keys)


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


def _latest(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, partition: str, run_id: str
) -> AssetCheckExecutionRecord | None:
    """Return the latest record of a check, but for what other runs have planned and not yet come to.

    A run is planned whole when it is launched: a second one in the queue would close the gates of the first.
    """
    records = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=RECORDS_LOOKED_AT, partition_filter=PartitionKeyFilter(key=partition)
    )
    for record in records:
        is_planned = record.status is AssetCheckExecutionRecordStatus.PLANNED
        if record.run_id == run_id or not is_planned or _has_ended(instance, record.run_id):
            return record
    return None


def _has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _gate(key: dg.AssetCheckKey, record: AssetCheckExecutionRecord | None) -> Gate:
    if record is None:
        detail = "never evaluated for this session; launch the execute job, which evaluates it first"
    elif record.status is AssetCheckExecutionRecordStatus.SUCCEEDED:
        return Gate(f"check {key.name}", passed=True, detail="passed when last evaluated")
    elif record.status is AssetCheckExecutionRecordStatus.PLANNED:
        detail = f"run {record.run_id[:8]} ended before it; launch the execute job, which evaluates it first"
    else:
        detail = f"last evaluation failed; see the checks of {key.asset_key.to_user_string()}"
    return Gate(f"check {key.name}", passed=False, detail=detail)
