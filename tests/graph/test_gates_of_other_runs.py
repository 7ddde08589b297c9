"""What another run of the same session has planned closes no gate; what one left unjudged does."""

from __future__ import annotations

import dagster as dg
import pytest

from tests.graph.desk import FIRST, Desk, failure_of


@pytest.fixture
def decided(desk: Desk) -> Desk:
    """Give a desk on which the first session is decided and its checks have passed."""
    run = desk.run("decide", FIRST)
    assert run.success, failure_of(run)
    return desk


def launched_again(desk: Desk) -> dg.DagsterRun:
    """Launch the whole session once more, to wait in the queue: its checks are planned from now on."""
    return desk.instance.create_run_for_job(
        desk.definitions.resolve_job_def("us_five__session"), tags={"dagster/partition": str(FIRST)}
    )


def test_a_run_that_waits_in_the_queue_does_not_hold_the_one_before_it(decided):
    waiting = launched_again(decided)
    run = decided.materialize("executions", session=FIRST)

    assert not decided.instance.get_run_by_id(waiting.run_id).is_finished
    assert run.success, failure_of(run)
    assert len(decided.sent()) == 1


def test_a_run_that_ended_before_its_checks_leaves_the_gates_closed(decided):
    decided.instance.report_run_failed(launched_again(decided))
    run = decided.materialize("executions", session=FIRST)
    _, told = failure_of(run)

    assert not run.success
    assert "ended before it; launch the execute job" in told
    assert decided.sent() == []
