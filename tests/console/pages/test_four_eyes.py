"""Above the four-eyes limit two persons approve, each at a browser of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from console.web.identities import Role
from resources.journal.store import SqlJournal
from tests.console.states import BEFORE, CLOSE, NOW, OF, OPENED
from tests.console.web.serving import Answer, Console, console_on
from trading.approvals import ChainStage, StageRecord, StageVerdict
from trading.decisions import Outcome
from trading.lifecycle import IntentState
from trading.testing import example_decision, example_intent


def approve(console: Console, intent_id: str, who: Mapping[str, str]) -> Answer:
    """Answer to an intent as its page shows it now."""
    row = console.desk.journal.intent(intent_id)
    fields = {
        "csrf_token": console.csrf_of(who),
        "payload_hash": row.payload_hash,
        "version": row.version,
        "reason": "read the news",
    }
    form = {**who, "Content-Type": "application/x-www-form-urlencoded"}
    path = f"/approvals/{intent_id}/approve"
    return console.ask("POST", path, body=urlencode(fields).encode(), headers=form)


def test_the_first_approval_waits_for_another_person_and_the_second_one_executes(tmp_path):
    wished = example_decision(example_intent("AAPL"), outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
    waits = StageRecord(ChainStage.PERSON, StageVerdict.WAITING, "limits:abc", "four eyes", "", 2, CLOSE, NOW)
    with console_on(tmp_path) as console:
        with SqlJournal(console.desk.settings.journal_url) as journal:
            journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
            decisions = [replace(wished, chain=(waits,))]
            journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
        anna, ben = (console.signed_in(Role.TRADER, name) for name in ("anna", "ben"))
        shown = console.ask("GET", f"/approvals/{wished.intent_id}", headers=anna).body.decode()
        first = approve(console, wished.intent_id, anna)
        again = approve(console, wished.intent_id, anna)
        started_by_one = list(console.started)
        second = approve(console, wished.intent_id, ben)

        assert "waiting for 2 persons" in shown
        assert "somebody else has to approve as well" in first.body.decode()
        assert [reply.status for reply in (first, again, second)] == [200, 409, 200]
        assert (started_by_one, console.started) == ([], [("execute", "us_five")])
        assert console.desk.journal.intent(wished.intent_id).state is IntentState.APPROVED
