"""What is said where a session cannot be carried, and what was cancelled for it all the same."""

from __future__ import annotations

from console.desk import open_desk
from console.launcher import Launcher, RunResult
from tests.console.states import SESSION, a_pending_intent
from tests.console.test_command_line import empty_journal, journal, state
from trading.lifecycle import IntentState

__all__ = ["empty_journal", "journal", "state"]


class Unsettled(Launcher):
    """Run nothing: an order may be out, so that no session is settled."""

    def run_job(self, book, what, session, *, tags=None):
        return RunResult(session, "run-1", success=False, stage=f"{book}__positions", message="1 still open")


def test_what_was_cancelled_before_a_session_could_not_be_carried_is_named(journal):
    row = a_pending_intent(journal)
    launcher = Unsettled(open_desk().settings)

    run = launcher.settle_carried("us_five", SESSION, actor="anna", reason="no more of it")
    launcher.profiled.journal.close()

    assert journal.intent(row.intent_id).state is IntentState.CANCELLED
    assert run.message == (
        f"1 still open; what was never sent is cancelled all the same: AAPL {row.intent_id}"
    )
