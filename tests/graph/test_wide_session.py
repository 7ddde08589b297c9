"""The wide book on its dirty data: a session that may not be decided, who carries it, and the next."""

from __future__ import annotations

import pytest

from console.launcher import Launcher
from tests.graph.desk import WIDE_SESSIONS, failure_of
from trading.decisions import Outcome
from trading.errors import BadInput
from trading.lifecycle import IntentState

HELD, LAST = WIDE_SESSIONS


@pytest.fixture
def wide(imported_wide, desk_on):
    return desk_on(imported_wide.folder, book="us_wide")


def test_a_session_after_one_without_quotes_is_refused_then_carried_by_a_person_and_the_next_follows(wide):
    stage, told = failure_of(wide.run("session", HELD))

    assert stage == "candidates"
    assert "quotes of 2010-08-18, the last session before 2010-08-19, are unfit: no row at all" in told
    record = wide.journal.session_record(**wide.where(HELD))
    assert record.refused.startswith("candidates: us_wide: quotes of 2010-08-18")
    assert record.decided_at is None
    assert wide.sent() == []

    stage, told = failure_of(wide.run("decide", LAST))
    assert stage == "opening_book"
    assert f"the session before, {HELD}, is not settled" in told

    launcher = Launcher(wide.settings, lambda _: None)
    refused = launcher.run_job("us_wide", "decide", LAST)
    assert refused.stage == "opening_book"
    assert refused.message.startswith(f"the session before, {HELD}, is not settled")
    launched = launcher.launch_execute("us_wide", LAST)
    assert (launched.how, launched.success) == ("process", False)
    assert launched.message == (
        f"decision_gates: us_wide/decisions {LAST}: not materialized; "
        f"run `trading run-once --book us_wide --session {LAST}`"
    )
    with pytest.raises(BadInput, match="needs a named person and a reason"):
        launcher.settle_carried("us_wide", HELD, actor="", reason="")
    carried, cancelled = launcher.settle_carried("us_wide", HELD, actor="anna", reason="no quotes of 08-18")
    launcher.profiled.journal.close()
    launcher.instance.dispose()

    assert (carried.success, carried.message, cancelled) == (True, "", ())
    record = wide.journal.session_record(**wide.where(HELD))
    assert record.settled_at is not None
    assert "anna" in record.carried_by
    assert record.closing_sha == record.opening_sha
    assert record.refused == ""

    result = wide.run("decide", LAST)
    assert failure_of(result) == ("", "")
    assert wide.journal.session_record(**wide.where(LAST)).opening_sha == record.closing_sha


def test_a_decided_session_of_the_wide_book_waits_for_a_person_and_sends_nothing_before(wide):
    for what in ("decide", "execute"):
        assert failure_of(wide.run(what, LAST)) == ("", "")

    decided = wide.rows("decisions", LAST)
    (pending,) = wide.journal.intents(**wide.where(LAST))
    assert [row.outcome for row in decided] == [Outcome.PENDING_APPROVAL]
    assert [row.reason for row in decided] == ["above_auto_approval"]
    assert pending.state is IntentState.PENDING_APPROVAL
    assert wide.sent() == []
    assert [row.state for row in wide.rows("executions", LAST)] == ["pending_approval"]
    assert wide.rows("quarantined_quotes", LAST), "the last session has rows that nobody may decide on"

    wide.journal.approve(
        pending.intent_id,
        version=pending.version,
        payload_hash=pending.payload_hash,
        nonce="n1",
        actor="anna",
        reason="looked at it",
        now=wide.profiled.calendars["us_wide"].opens_at(LAST),
    )
    assert failure_of(wide.run("execute", LAST)) == ("", "")
    assert failure_of(wide.run("execute", LAST)) == ("", "")

    assert [(symbol, quantity) for _, symbol, quantity in wide.sent()] == [
        (pending.intent.symbol, pending.quantity)
    ]


def test_what_nobody_approved_expires_at_the_settlement(wide):
    for what in ("decide", "settle"):
        assert failure_of(wide.run(what, LAST)) == ("", "")

    (expired,) = wide.journal.intents(**wide.where(LAST))
    assert expired.state is IntentState.EXPIRED
    assert wide.sent() == []
    assert wide.journal.session_record(**wide.where(LAST)).settled_at is not None
