"""Approvals at the command line: two persons above the limit, and what a shadow of `auto` tells."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from tests.console.states import CLOSE, NOW, OPENED, PASSED, SESSION, decided
from tests.console.test_command_line import (  # noqa: F401 - fixtures
    empty_journal,
    journal,
    lake,
    speak,
    state,
)
from trading.approvals import ChainStage, StageRecord, StageVerdict
from trading.decisions import Outcome
from trading.journal import CooldownRules
from trading.lifecycle import IntentState
from trading.testing import example_decision, example_intent, reconciled_term


def waiting(symbol, *, approvers=1, shadow=None):
    decision = example_decision(example_intent(symbol), outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
    told = [(ChainStage.PERSON, StageVerdict.WAITING, "manual_approval", approvers)]
    if shadow is not None:
        told.insert(0, (ChainStage.SHADOW, shadow, "within_policy", 0))
    chain = tuple(
        StageRecord(stage, verdict, "shadow_auto", detail, "", needed, CLOSE, NOW)
        for stage, verdict, detail, needed in told
    )
    return replace(decision, chain=chain)


def answer(say, what, symbol, *, by):
    said = ("--reason", "looked", "--as", by, "--yes", "--json")
    return say("approvals", what, f"{symbol}@{SESSION}", *said)


def test_the_first_of_two_leaves_it_pending_and_starts_nothing(speak, journal):  # noqa: F811 - fixtures
    (row,) = decided(journal, waiting("AAPL", approvers=2))
    first = answer(speak, "approve", "AAPL", by="ann")
    again = answer(speak, "approve", "AAPL", by="ann")

    assert (first.code, first.json["state"]) == (3, "pending_approval")
    assert "launched" not in first.json
    assert again.code == 4
    assert "above the limit another one" in again.json["error"]["message"]
    assert journal.intent(row.intent_id).state is IntentState.PENDING_APPROVAL


def test_a_named_person_ends_the_cooldown_of_an_account(speak, journal):  # noqa: F811 - fixtures
    (row,) = decided(journal, example_decision(example_intent("AAPL"), not_after=CLOSE))
    term = reconciled_term(journal, account="SIM-FIVE", lane="simulated", now=NOW)
    claimed = journal.claim(row.intent_id, version=1, term=term, holder="x", now=NOW)
    of = {"intent_id": row.intent_id, "epoch": claimed.epoch, "now": NOW}
    journal.prepare(
        **of, term=term, book_at_open=OPENED, review=lambda *_: PASSED, send_by=CLOSE, is_live=False
    )
    journal.refuse(**of, reason="refused")
    rules = CooldownRules(failures_max=1, window_s=9_000, cooldown_s=9_000)
    assert journal.cool_down(account="SIM-FIVE", lane="simulated", rules=rules, now=NOW) is not None
    said = ("--reason", "it answers again", "--yes", "--json")

    ended = speak("resume", "--account", "SIM-FIVE", *said)
    again = speak("resume", "--account", "SIM-FIVE", *said)

    assert (ended.code, ended.json["actor"]) == (0, "anna")
    assert again.code == 2
    assert [event.kind for event in journal.events(after=0, limit=99)][-1] == "cooldown_ended"


def test_an_intent_whose_time_is_not_over_does_not_expire(speak, journal):  # noqa: F811 - fixtures
    decided(journal, waiting("AAPL"))
    spoken = speak("approvals", "expire", f"AAPL@{SESSION}", "--json")

    assert (spoken.code, "so not expired" in spoken.json["error"]["message"]) == (4, True)


def test_a_shadow_tells_what_auto_would_have_done_and_how_both_came_out(
    speak,  # noqa: F811 - fixtures
    journal,  # noqa: F811
    lake,  # noqa: F811
):
    rows = (
        waiting("AAPL", shadow=StageVerdict.PASSED),
        waiting("IBM", shadow=StageVerdict.FAILED),
    )
    decided(journal, *rows)
    closes = pa.table({"symbol": ["AAPL", "IBM"], "close_micros": [103_000_000, 90_000_000]})
    lake.write(("us_five", "market_quotes"), str(SESSION), closes)
    for symbol in ("AAPL", "IBM"):
        assert answer(speak, "reject", symbol, by="ann").code == 0
    report = speak("approvals", "shadow", "--book", "us_five", "--json")

    assert report.code == 0, report.err
    told = [(row["would_approve"], row["agrees"]) for row in report.json["rows"]]
    assert told == [(True, False), (False, True)]
    assert (report.json["answered"], report.json["agreed"]) == (2, 1)
    # Ten shares from 100 to 103 that a person turned down; of the other one auto would have asked.
    results = [(row["auto_result"], row["result"]) for row in report.json["rows"]]
    assert results == [("30", "0"), ("0", "0")]
