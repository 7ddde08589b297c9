"""What tests of the graph run on keeps and tells the same as Dagster's own storage in memory."""

from __future__ import annotations

import threading

import dagster as dg
import pytest
from dagster._core.storage import event_log

from tests.graph import dagster_in_memory

OWN = dagster_in_memory.EventsInMemory.__mro__[1]
"""Dagster's class, which ours stands in for."""


@dg.asset
def first() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 1}, tags={"kind": "small"})


@dg.asset(deps=[first], check_specs=[dg.AssetCheckSpec("whole", asset="second")])
def second(context):
    context.log.info("said by the stage")
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


def lived(storage, monkeypatch):
    """Run two assets twice on a new instance with a storage of events; return it and the runs."""
    monkeypatch.setattr(event_log, "InMemoryEventLogStorage", storage)
    instance = dg.DagsterInstance.ephemeral()
    runs = [dg.materialize([first, second], instance=instance).run_id for _ in range(2)]
    assert type(instance._event_storage) is storage
    return instance, runs


@pytest.fixture
def both(monkeypatch):
    instances = [lived(storage, monkeypatch) for storage in (dagster_in_memory.EventsInMemory, OWN)]
    yield instances
    for instance, _ in instances:
        instance.dispose()


def told(record):
    entry = record.event_log_entry
    return record.storage_id, entry.dagster_event_type, entry.step_key, entry.user_message.split(" run ")[0]


def test_a_run_s_log_has_the_same_events_in_the_same_order_under_the_same_numbers(both):
    ours, own = (
        [[told(record) for record in instance.get_records_for_run(run).records] for run in runs]
        for instance, runs in both
    )

    assert [[row[:3] for row in rows] for rows in ours] == [[row[:3] for row in rows] for rows in own]
    assert any(message == "said by the stage" for _, _, _, message in ours[0])
    numbers = [number for rows in ours for number, *_ in rows]
    assert numbers == sorted(set(numbers))


def test_events_asked_for_by_kind_are_the_same_also_those_that_were_kept_back(both):
    def of_kind(instance, kind):
        found = instance.event_log_storage.get_event_records(dg.EventRecordsFilter(event_type=kind))
        return [told(record)[:3] for record in found]

    for kind in (*dagster_in_memory.OF_STEPS, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        ours, own = (of_kind(instance, kind) for instance, _ in both)
        assert ours == own, kind
    assert of_kind(both[0][0], dg.DagsterEventType.STEP_SUCCESS)


def test_the_last_number_counts_what_was_kept_back(both):
    ours, own = (instance.event_log_storage.get_maximum_record_id() for instance, _ in both)

    assert ours == own > 0


def test_what_dagster_knows_of_an_asset_is_the_same(both):
    def known(instance):
        record = instance.get_asset_records([dg.AssetKey("second")])[0]
        tags = instance.get_latest_materialization_event(dg.AssetKey("first"))
        checks = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("second"), "whole"), limit=9
        )
        return (
            record.storage_id,
            record.asset_entry.last_materialization_storage_id,
            tags.asset_materialization.tags["kind"],
            [(check.id, check.status) for check in checks],
        )

    ours, own = (known(instance) for instance, _ in both)
    assert ours == own


def test_statistics_of_steps_are_the_same(both):
    def steps(instance, run):
        return [
            (step.step_key, step.status, len(step.materialization_events))
            for step in instance.get_run_step_stats(run)
        ]

    ours, own = ([sorted(steps(instance, run), key=str) for run in runs] for instance, runs in both)
    assert ours == own


def test_a_log_can_be_read_by_another_thread(both):
    instance, runs = both[0]
    found = []

    def read():
        found.extend(instance.all_logs(runs[0]))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()

    assert len(found) == len(instance.all_logs(runs[0])) > 0


@pytest.mark.parametrize("selected", [(), ("first",)])
def test_a_job_made_ready_once_is_stored_as_one_that_is_made_anew(selected):
    whole = dg.Definitions(assets=[first, second], jobs=[dg.define_asset_job("both_assets")])
    job = whole.resolve_job_def("both_assets")
    asked = {
        "resource_defs": {},
        "input_values": {},
        "op_selection": [],
        "asset_selection": [dg.AssetKey(name) for name in selected],
    }

    once, again = (job.as_ephemeral_job(**asked) for _ in range(2))
    anew = dagster_in_memory.made_ready(job, **asked)

    assert once is again is not anew
    assert once.get_job_snapshot_id() == anew.get_job_snapshot_id()
    assert once.asset_layer.selected_asset_keys == anew.asset_layer.selected_asset_keys


def test_a_job_for_other_assets_or_with_resources_of_its_own_is_another_one():
    whole = dg.Definitions(assets=[first, second], jobs=[dg.define_asset_job("both_assets")])
    job = whole.resolve_job_def("both_assets")
    own = {"clock": dg.ResourceDefinition.hardcoded_resource(1)}

    made = [
        job.as_ephemeral_job(resource_defs=own, input_values={}),
        job.as_ephemeral_job(resource_defs=own, input_values={}),
        job.as_ephemeral_job(resource_defs={}, input_values={}),
        job.as_ephemeral_job(resource_defs={}, input_values={}, asset_selection=[dg.AssetKey("first")]),
    ]

    assert len({id(each) for each in made}) == len(made)
    assert ["clock" in each.resource_defs for each in made] == [True, True, False, False]
