"""What a session that is carried cancels, and what is said of it: also where it cannot be carried."""

from __future__ import annotations

import pytest

from console import launcher as launching
from console.desk import open_desk
from console.launcher import Launcher, RunResult
from console.verbs import deciding
from tests.console.states import CLOSE, NOW, SESSION, a_blocked_intent, a_pending_intent, decided
from tests.console.test_command_line import empty_journal, journal, speak, state
from trading.decisions import Outcome
from trading.lifecycle import IntentState
from trading.testing import example_decision, example_intent

__all__ = ["empty_journal", "journal", "speak", "state"]

CARRY = ("settle", str(SESSION), "--book", "us_five", "--carry", "--reason", "no more of it")


class Unsettled(Launcher):
    """Run nothing: an order may be out, so that no session is settled."""

    def run_job(self, book, what, session, *, tags=None):
        return RunResult(session, "run-1", success=False, stage="positions", message="1 still open")


def test_what_was_cancelled_before_a_session_could_not_be_carried_is_named(journal):
    row = a_pending_intent(journal)
    launcher = Unsettled(open_desk().settings)

    run, cancelled = launcher.settle_carried("us_five", SESSION, actor="anna", reason="no more of it")
    launcher.profiled.journal.close()

    assert [one.intent_id for one in cancelled] == [row.intent_id]
    assert journal.intent(row.intent_id).state is IntentState.CANCELLED
    assert run.message == (
        f"1 still open; what was never sent is cancelled all the same: AAPL {row.intent_id}"
    )


def test_a_session_that_cannot_be_carried_is_named_once(speak, journal, monkeypatch):
    a_blocked_intent(journal)
    launcher = Unsettled(open_desk().settings)
    monkeypatch.setattr(launching, "open_launcher", lambda: launcher)

    spoken = speak(*CARRY, "--yes", "--json")
    launcher.profiled.journal.close()

    assert spoken.code == 4
    assert spoken.json["error"]["message"] == f"us_five {SESSION} positions: 1 still open"


class Settled(Launcher):
    """Run nothing, and say that it went well."""

    def run_job(self, book, what, session, *, tags=None):
        return RunResult(session, "run-1", success=True, stage="", message="")


@pytest.mark.parametrize("is_json", [False, True])
def test_what_was_answered_while_a_person_was_asked_is_not_told_as_cancelled(
    speak, journal, monkeypatch, is_json
):
    apple, ibm = decided(
        journal,
        *(
            example_decision(example_intent(symbol), outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
            for symbol in ("AAPL", "IBM")
        ),
    )
    asked = []

    def answered_meanwhile(question, *, yes):
        asked.append(question)
        journal.reject(
            ibm.intent_id,
            version=ibm.version,
            payload_hash=ibm.payload_hash,
            nonce="n-1",
            actor="ben",
            reason="not that one",
            now=NOW,
        )

    monkeypatch.setattr(deciding, "confirm", answered_meanwhile)
    launcher = Settled(open_desk().settings)
    monkeypatch.setattr(launching, "open_launcher", lambda: launcher)

    spoken = speak(*CARRY, *(["--json"] if is_json else []))
    launcher.profiled.journal.close()

    assert spoken.code == 0
    assert "IBM" in asked[0]
    told = f"BUY {apple.quantity:,} AAPL (pending approval)"
    if is_json:
        assert spoken.json["cancelled"] == [
            {
                "intent_id": apple.intent_id,
                "symbol": "AAPL",
                "side": "BUY",
                "quantity": apple.quantity,
                "state": "pending_approval",
            }
        ]
    else:
        assert spoken.out.splitlines()[0].endswith(f", having cancelled {told}")
    assert journal.intent(ibm.intent_id).state is IntentState.REJECTED
