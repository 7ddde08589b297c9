"""The journal as a machine, on each of its databases; on SQLite at length in `make prove`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from proof.store_machine import StoreMachine


def test_the_journal_keeps_its_promises_whatever_is_asked_of_it(database, new_database):
    with database.open() as journal:
        StoreMachine.decide(journal)

    class Walk(StoreMachine):
        fresh = staticmethod(lambda: new_database(copy_of=database).open())

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
