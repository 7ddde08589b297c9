"""The journal on both engines: each call's promise, what the schema holds by itself, and the reader."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from resources.evidence import gather
from resources.journal import schema, traces
from resources.journal.database import migrate
from resources.journal.reader import JournalReader
from resources.journal.rehearsal import RehearsedJournal
from resources.journal.store import SqlJournal
from resources.journal.traces import trace_of_events
from resources.ledger_paths import ledger_of
from resources.paper_broker.ledger import Ledger
from trading.approvals import ApprovalMode, ChainStage, Role, StageRecord, StageVerdict
from trading.audit import line_of, verify
from trading.decisions import Outcome
from trading.errors import (
    ApprovalRefused,
    BadInput,
    BadSetting,
    DuplicateIntent,
    GateClosed,
    IllegalTransition,
    JournalUnavailable,
    OutOfOrder,
    Refused,
    StaleVersion,
    UnknownId,
)
from trading.guards import GUARDS, MISSING_PRICE, NO_LIMIT, PASS, QUOTE_STALE, Why
from trading.invariants import violations
from trading.journal import CancelKind, CooldownRules, RunControlAction
from trading.lifecycle import Event, IntentState, Stage, Step, fold
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Position, opened_book, with_fills
from trading.testing import example_decision, example_intent, reconciled_term
from trading.values import IntentId, Side, Slot, Symbol, canonical_json
from trading.verdicts import Verdict

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
SESSION, BEFORE, AFTER = date(2013, 2, 28), date(2013, 2, 27), date(2013, 3, 1)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
OPENED = opened_book(currency="USD", deposit_micros=10**12)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
AN_EVENT = (
    "insert into events values"
    " (1, '2013-02-28T14:30:00.000000Z', 'k', '', '', '', '', 'ann', '', '{}', 'p', 'h')"
)
HOLDER_DEAD = {"settle_time_s": 0, "is_death_proven": True}
TERM_EVENTS = 2
"""Each journal of these tests begins with an executor's term, begun and reconciled."""


@pytest.fixture
def path(sqlite_template, tmp_path) -> Path:
    """Make an empty journal in a file, for what is about files."""
    return Path(shutil.copy(sqlite_template, tmp_path / "journal.db"))


@pytest.fixture
def journal(database) -> Iterator[SqlJournal]:
    with database.open() as opened:
        yield opened


def decided(journal, *intents, outcome=Outcome.APPROVED, verdicts=(), not_after=CLOSE):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    decisions = [example_decision(intent, outcome=outcome, not_after=not_after) for intent in intents]
    return journal.register(**OF, decisions=decisions, verdicts=verdicts, decisions_sha="sha-1", now=NOW)


def prepared(journal, row, *, review=lambda *_: PASSED, is_live=False, now=NOW):
    claimed = journal.claim(row.intent_id, version=row.version, term=1, holder="test", now=now)
    return journal.prepare(
        row.intent_id,
        epoch=claimed.epoch,
        term=1,
        book_at_open=OPENED,
        review=review,
        send_by=CLOSE,
        is_live=is_live,
        now=now,
    )


def broker_order(order, *, filled=0, status=OrderStatus.WORKING, **changes) -> BrokerOrder:
    asked = order.request
    found = BrokerOrder(
        broker_order_id="b-1",
        client_order_id=asked.client_order_id,
        symbol=asked.symbol,
        side=asked.side,
        quantity=asked.quantity,
        filled_quantity=filled,
        status=status,
    )
    return replace(found, **changes)


def working(journal, row):
    step = prepared(journal, row)
    return journal.acknowledge(
        row.intent_id, epoch=step.intent.epoch, order=broker_order(step.order), now=NOW
    ), step.order


def fill_of(row, order, *, quantity, execution_id="x-1", price_micros=100_000_000) -> Fill:
    return Fill(
        execution_id=execution_id,
        client_order_id=order.client_order_id,
        intent_id=row.intent_id,
        symbol=order.request.symbol,
        side=order.request.side,
        quantity=quantity,
        price_micros=price_micros,
        commission_micros=1,
        session=SESSION,
        filled_at=NOW,
    )


def everything(journal) -> list[str]:
    """Return all the journal holds, as text: equal before and after means that nothing was changed."""
    with journal._engine.connect() as conn:
        return [
            repr(row) for table in schema.metadata.sorted_tables for row in conn.execute(sa.select(table))
        ]


# -------------------------------------------------------------------------------- sessions of a book


def test_a_book_opens_once_and_then_carries_on_from_the_session_before(journal):
    first = journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    closing = opened_book(currency="USD", deposit_micros=5)
    decided(journal)
    journal.settle(**OF, closing=closing, carried_by="", now=CLOSE)
    other = opened_book(currency="USD", deposit_micros=9)
    following = journal.opening_book(
        book=BOOK, lane=LANE, session=AFTER, previous=SESSION, opened=other, now=CLOSE
    )

    assert first == OPENED
    assert journal.opening_book(**OF, previous=None, opened=other, now=CLOSE) == OPENED
    assert following == closing


@pytest.mark.parametrize(
    ("session", "previous", "says"),
    [
        (AFTER, SESSION, "is not settled"),
        (date(2013, 3, 4), AFTER, "was never opened"),
        (BEFORE, date(2013, 2, 26), "after it; to begin earlier"),
        (AFTER, None, "has no session before"),
    ],
)
def test_a_session_out_of_order_is_refused_with_its_reason(journal, session, previous, says):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    before = everything(journal)

    with pytest.raises(OutOfOrder, match=says):
        journal.opening_book(book=BOOK, lane=LANE, session=session, previous=previous, opened=OPENED, now=NOW)

    assert everything(journal) == before


def test_books_and_lanes_do_not_see_each_other(journal):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    other = opened_book(currency="USD", deposit_micros=3)

    assert (
        journal.opening_book(
            book="us_wide", lane=LANE, session=AFTER, previous=SESSION, opened=other, now=NOW
        )
        == other
    )
    assert (
        journal.opening_book(
            book=BOOK, lane="replay:x", session=AFTER, previous=SESSION, opened=other, now=NOW
        )
        == other
    )


def test_a_settled_session_never_changes(journal):
    decided(journal)
    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)
    before = everything(journal)
    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE + timedelta(days=1))

    assert everything(journal) == before
    with pytest.raises(Refused, match="a settled session never changes"):
        journal.settle(**OF, closing=opened_book(currency="USD", deposit_micros=1), carried_by="", now=CLOSE)
    assert everything(journal) == before
    record = journal.session_record(**OF)
    assert record is not None
    assert (record.closing, record.closing_sha, record.settled_at) == (OPENED, OPENED.sha(), CLOSE)


def test_a_session_with_open_intents_or_without_a_decision_is_not_settled(journal):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    with pytest.raises(OutOfOrder, match="never decided"):
        journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)
    (row,) = decided(journal, example_intent())
    with pytest.raises(OutOfOrder, match=r"1 still open \(AAPL approved\)"):
        journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)
    journal.cancel(row.intent_id, version=row.version, actor="ann", reason="test", now=NOW)
    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)

    record = journal.session_record(**OF)
    assert record is not None
    assert record.settled_at == CLOSE


def test_a_book_made_before_the_last_fill_was_booked_is_not_settled_on(journal):
    (row,) = decided(journal, example_intent())
    executing, order = working(journal, row)
    seen = journal.fills(**OF)
    journal.record_fill(fill_of(row, order, quantity=10), now=NOW)
    ended = broker_order(order, filled=10, status=OrderStatus.FILLED)
    journal.close_working(row.intent_id, epoch=executing.epoch, order=ended, now=NOW)
    told = {"carried_by": "", "now": CLOSE}
    before = everything(journal)

    with pytest.raises(OutOfOrder, match="its fills changed while its book was made"):
        journal.settle(**OF, **told, closing=with_fills(OPENED, seen), fills=seen)
    assert everything(journal) == before
    fills = journal.fills(**OF)
    journal.settle(**OF, **told, closing=with_fills(OPENED, fills), fills=fills)
    record = journal.session_record(**OF)
    assert record is not None
    assert record.closing.quantity_of(Symbol("AAPL")) == 10


def test_a_person_carries_a_book_over_a_session_that_was_never_decided(journal):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    journal.settle(**OF, closing=OPENED, carried_by="ann", now=CLOSE)

    with pytest.raises(OutOfOrder, match="carried by ann"):
        decided(journal, example_intent())
    assert (
        journal.opening_book(book=BOOK, lane=LANE, session=AFTER, previous=SESSION, opened=OPENED, now=CLOSE)
        == OPENED
    )


def test_a_refusal_is_shown_until_its_stage_passes(journal):
    journal.record_refusal(**OF, stage="quotes", reason="stale", now=NOW)
    shown = journal.session_record(**OF)
    journal.clear_refusal(**OF, stage="decisions", now=NOW)
    still = journal.session_record(**OF)
    journal.clear_refusal(**OF, stage="quotes", now=NOW)

    assert shown is not None
    assert (shown.refused, shown.opening_sha) == ("quotes: stale", "")
    assert still == shown
    assert journal.session_record(**OF).refused == ""
    assert journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW) == OPENED


def test_the_same_refusal_again_adds_no_event(journal):
    for _ in range(3):
        journal.record_refusal(**OF, stage="quotes", reason="stale", now=NOW)

    assert [event.kind for event in journal.events(after=TERM_EVENTS, limit=9)] == ["stage_refused"]


# -------------------------------------------------------------------------------- deciding


def test_decisions_are_registered_once_with_their_verdicts(journal):
    buy, sell = example_intent("MSFT"), example_intent("IBM", side=Side.SELL)
    said = [
        Verdict(intent.intent_key, intent.symbol, SESSION, guard, guard == "one", "ok", 5, 2**62, 0, "l")
        for guard in ("one", "two")
        for intent in (buy, sell)
    ]
    rows = decided(journal, buy, sell, verdicts=said)
    before = everything(journal)
    again = decided(journal, buy, sell, verdicts=said)

    assert [row.intent for row in rows] == [buy, sell]
    assert again == rows
    assert everything(journal) == before
    assert [row.intent for row in journal.intents(**OF)] == [sell, buy]
    assert journal.verdicts(rows[0].intent_id) == [said[0], said[2]]
    assert journal.intent(rows[0].intent_id) == rows[0]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.BLOCKED, IntentState.REJECTED),
        (Outcome.VETOED, IntentState.REJECTED),
        (Outcome.PENDING_APPROVAL, IntentState.PENDING_APPROVAL),
        (Outcome.APPROVED, IntentState.APPROVED),
    ],
)
def test_each_outcome_begins_in_its_state(journal, outcome, state):
    (row,) = decided(journal, example_intent(), outcome=outcome)

    assert (row.state, row.version, row.epoch) == (state, 1, 0)


def test_another_payload_under_a_known_id_is_kept_as_a_conflict_and_refused(journal):
    (first,) = decided(journal, example_intent(quantity=10))
    for _ in range(2):
        with pytest.raises(DuplicateIntent, match="another decision on AAPL"):
            decided(journal, example_intent(quantity=11))

    kinds = [event.kind for event in journal.events(after=0, limit=99)]
    assert journal.intents(**OF) == [first]
    assert kinds.count("conflict") == 1


def test_another_batch_for_a_decided_session_is_refused(journal):
    decided(journal, example_intent("AAPL"))
    with pytest.raises(DuplicateIntent, match="another decision on IBM"):
        decided(journal, example_intent("AAPL"), example_intent("IBM"))
    with pytest.raises(DuplicateIntent, match="0 decisions, 1 are stored"):
        decided(journal)

    assert len(journal.intents(**OF)) == 1


def test_a_decision_of_another_session_or_twice_in_a_batch_registers_nothing(journal):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    before = everything(journal)
    with pytest.raises(BadInput, match="registered under us_five simulated 2013-02-28"):
        decided(journal, example_intent(session=AFTER))
    with pytest.raises(DuplicateIntent, match="two decisions"):
        decided(journal, example_intent(), example_intent())
    unknown = Verdict(example_intent("IBM").intent_key, Symbol("IBM"), SESSION, "g", True, "ok", 0, 0, 0, "l")
    with pytest.raises(BadInput, match="no decision on this intent"):
        decided(journal, example_intent(), verdicts=[unknown])

    assert everything(journal) == before


def test_a_session_is_opened_before_it_is_decided(journal):
    with pytest.raises(OutOfOrder, match="before its book was opened"):
        journal.register(**OF, decisions=[], verdicts=[], decisions_sha="d", now=NOW)


# -------------------------------------------------------------------------------- people


def answer(row, **changes):
    said = {
        "version": row.version,
        "payload_hash": row.payload_hash,
        "nonce": "n-1",
        "actor": "ann",
        "reason": "looks right",
        "now": NOW,
    }
    return {**said, **changes}


def test_a_person_approves_what_they_saw(journal):
    (row,) = decided(journal, example_intent(), outcome=Outcome.PENDING_APPROVAL)
    approved = journal.approve(row.intent_id, **answer(row))

    assert (approved.state, approved.actor, approved.version) == (IntentState.APPROVED, "ann", 2)
    assert journal.events_of(row.intent_id)[-1].body["payload_hash"] == row.payload_hash


def test_a_person_rejects_what_they_saw(journal):
    (row,) = decided(journal, example_intent(), outcome=Outcome.PENDING_APPROVAL)

    assert journal.reject(row.intent_id, **answer(row)).state is IntentState.REJECTED


@pytest.mark.parametrize(
    ("changes", "error", "says", "code"),
    [
        ({"payload_hash": "0" * 64}, ApprovalRefused, "look again", "payload_changed"),
        ({"version": 2}, StaleVersion, "expected version 2, found 1", "stale_version"),
        ({"actor": ""}, ApprovalRefused, "names its actor", "no_actor"),
        ({"nonce": ""}, ApprovalRefused, "names its actor and a nonce", "no_actor"),
        ({"now": CLOSE}, ApprovalRefused, "expired at", "expired"),
        ({"role": Role.VIEWER}, ApprovalRefused, "ann is a viewer and may only look", "wrong_role"),
    ],
)
def test_an_approval_of_something_else_or_too_late_changes_nothing_and_is_kept(
    journal, changes, error, says, code
):
    (row,) = decided(journal, example_intent(), outcome=Outcome.PENDING_APPROVAL)
    *_, last = journal.events(after=0, limit=99)
    with pytest.raises(error, match=says):
        journal.approve(row.intent_id, **answer(row, **changes))

    assert journal.intent(row.intent_id) == row
    [refused] = journal.events(after=last.seq, limit=9)
    assert (refused.kind, refused.reason, refused.intent_id) == ("answer_refused", code, row.intent_id)
    assert (refused.actor, refused.body["answer"]) == (changes.get("actor", "ann"), "approved")


def test_a_rejection_says_why(journal):
    (row,) = decided(journal, example_intent(), outcome=Outcome.PENDING_APPROVAL)
    with pytest.raises(ApprovalRefused, match="a rejection says why"):
        journal.reject(row.intent_id, **answer(row, reason=" "))

    assert journal.reject(row.intent_id, **answer(row)).state is IntentState.REJECTED


def chained_decision(*, approvers=1, risk_until=CLOSE, symbol="AAPL"):
    decision = example_decision(example_intent(symbol), outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
    chain = tuple(
        StageRecord(stage, verdict, "limits:abc", "told", "", needed, until, NOW)
        for stage, verdict, needed, until in (
            (ChainStage.RISK, StageVerdict.PASSED, 0, risk_until),
            (ChainStage.COMPLIANCE, StageVerdict.PASSED, 0, CLOSE),
            (ChainStage.PERSON, StageVerdict.WAITING, approvers, CLOSE),
        )
    )
    return replace(decision, chain=chain)


def chained(journal, **options):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    decision = chained_decision(**options)
    return journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="d", now=NOW)[0]


def test_above_the_limit_two_distinct_persons_approve(journal):
    row = chained(journal, approvers=2)
    endorsed = journal.approve(row.intent_id, **answer(row))
    with pytest.raises(StaleVersion, match="expected version 1, found 2"):
        journal.approve(row.intent_id, **answer(row, actor="bob", nonce="n-2"))
    for actor in ("ann", " ANN "):
        with pytest.raises(ApprovalRefused, match="another one"):
            journal.approve(row.intent_id, **answer(endorsed, actor=actor, nonce="n-3"))
    with pytest.raises(ApprovalRefused, match="n-1 was used before"):
        journal.approve(row.intent_id, **answer(endorsed, actor="bob"))
    approved = journal.approve(row.intent_id, **answer(endorsed, actor="bob", nonce="n-4"))

    assert (endorsed.state, endorsed.version) == (IntentState.PENDING_APPROVAL, 2)
    assert (approved.state, approved.version) == (IntentState.APPROVED, 3)
    told = [(record.stage, record.verdict, record.actor) for record in journal.chain(row.intent_id)]
    assert told == [
        (ChainStage.RISK, StageVerdict.PASSED, ""),
        (ChainStage.COMPLIANCE, StageVerdict.PASSED, ""),
        (ChainStage.PERSON, StageVerdict.WAITING, ""),
        (ChainStage.PERSON, StageVerdict.ENDORSED, "ann"),
        (ChainStage.PERSON, StageVerdict.PASSED, "bob"),
    ]
    assert violations(gather(journal)) == ()


def test_one_person_rejects_also_what_takes_two_to_approve(journal):
    row = chained(journal, approvers=2)

    assert journal.reject(row.intent_id, **answer(row)).state is IntentState.REJECTED
    assert journal.chain(row.intent_id)[-1].verdict is StageVerdict.FAILED


def test_an_approval_counts_only_while_every_stage_before_it_does(journal):
    row = chained(journal, risk_until=NOW + timedelta(minutes=5))
    late = NOW + timedelta(minutes=5)
    with pytest.raises(ApprovalRefused, match="risk counted until"):
        journal.approve(row.intent_id, **answer(row, now=late))

    assert journal.reject(row.intent_id, **answer(row, now=late)).state is IntentState.REJECTED


# -------------------------------------------------------------------------------- modes, cooldowns


def test_a_degrade_is_a_mode_of_its_own_beneath_every_stop(journal):
    halted = journal.set_run_control(RunControlAction.HALT, actor="ann", reason="fire", now=NOW)
    degraded = journal.set_run_control(RunControlAction.DEGRADE, actor="bob", reason="model down", now=CLOSE)
    resumed = journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="over", now=CLOSE)
    restored = journal.set_run_control(RunControlAction.RESTORE, actor="eve", reason="model up", now=CLOSE)
    with pytest.raises(GateClosed, match="not_degraded"):
        journal.set_run_control(RunControlAction.RESTORE, actor="eve", reason="again", now=CLOSE)

    # Who halted, and so the word that ends it, is as it was.
    assert (degraded.actor, degraded.reason, degraded.changed_at) == ("ann", "fire", halted.changed_at)
    assert (degraded.is_degraded, degraded.degraded_by) == (True, "bob")
    assert (resumed.is_degraded, resumed.kill_switch_on) == (True, False)
    assert (restored.is_degraded, restored.degraded_by) == (False, "eve")
    assert journal.run_control() == restored
    last = journal.events(after=0, limit=99)[-1]
    assert (last.kind, last.body) == ("mode_set", {"mode": "degrade", "before": "on", "after": "off"})


def test_a_mode_of_approval_is_stored_and_taken_back(journal):
    stored = journal.set_approval_mode(ApprovalMode.MANUAL, actor="ann", reason="earnings", now=NOW)
    gone = journal.set_approval_mode(None, actor="ann", reason="over", now=NOW)

    assert (stored.approval_mode, gone.approval_mode) == (ApprovalMode.MANUAL, None)
    assert journal.run_control() == gone


RULES = CooldownRules(failures_max=2, window_s=60, cooldown_s=300)


def refused(journal, symbol, now):
    row = chained_decision(symbol=symbol).intent
    (found,) = [known for known in journal.intents(**OF) if known.intent == row]
    claimed = journal.claim(found.intent_id, version=found.version, term=1, holder="test", now=now)
    step = journal.prepare(
        found.intent_id,
        epoch=claimed.epoch,
        term=1,
        book_at_open=OPENED,
        review=lambda *_: PASSED,
        send_by=CLOSE,
        is_live=False,
        now=now,
    )
    journal.refuse(found.intent_id, epoch=step.intent.epoch, reason="refused", now=now)


def test_failed_executions_bring_a_cooldown_that_ends_by_its_time(journal):
    decided(journal, *map(example_intent, ("AAPL", "IBM", "MSFT")), example_intent("XOM", side=Side.SELL))
    where = {"account": ACCOUNT, "lane": LANE}
    refused(journal, "AAPL", NOW)
    assert journal.cool_down(**where, rules=RULES, now=NOW) is None
    refused(journal, "IBM", NOW)
    cooldown = journal.cool_down(**where, rules=RULES, now=NOW)
    assert cooldown is not None
    assert cooldown.until == NOW + timedelta(seconds=300)
    assert journal.cool_down(**where, rules=RULES, now=NOW + timedelta(seconds=9)) == cooldown
    with pytest.raises(GateClosed, match="cooldown_active"):
        refused(journal, "MSFT", NOW)
    # What lowers risk goes on.
    sale = next(row for row in journal.intents(**OF) if row.intent.side is Side.SELL)
    journal.claim(sale.intent_id, version=sale.version, term=1, holder="test", now=NOW)
    refused(journal, "MSFT", cooldown.until)

    assert journal.cool_down(**where, rules=RULES, now=cooldown.until) is None
    assert journal.cooldowns() == [cooldown]
    assert violations(gather(journal)) == ()


def test_failures_long_ago_do_not_count(journal):
    decided(journal, *map(example_intent, ("AAPL", "IBM")))
    refused(journal, "AAPL", NOW)
    refused(journal, "IBM", NOW + timedelta(seconds=61))

    now = NOW + timedelta(seconds=61)
    assert journal.cool_down(account=ACCOUNT, lane=LANE, rules=RULES, now=now) is None


def test_a_named_person_ends_a_cooldown_and_what_failed_before_counts_no_more(journal):
    decided(journal, *map(example_intent, ("AAPL", "IBM", "MSFT")))
    where = {"account": ACCOUNT, "lane": LANE}
    with pytest.raises(UnknownId, match="there is none"):
        journal.end_cooldown(**where, actor="ann", reason="tested", now=NOW)
    refused(journal, "AAPL", NOW)
    refused(journal, "IBM", NOW)
    journal.cool_down(**where, rules=RULES, now=NOW)
    with pytest.raises(GateClosed, match="cooldown_active: an account cools down"):
        journal.record_retry(**OF, actor="ann", reason="now", now=NOW)
    ended = journal.end_cooldown(**where, actor="ann", reason="the broker is back", now=NOW)
    journal.record_retry(**OF, actor="ann", reason="now", now=NOW)
    refused(journal, "MSFT", NOW)

    assert (ended.actor, ended.is_active(NOW)) == ("ann", False)
    assert journal.cool_down(**where, rules=RULES, now=NOW) is None
    assert "retried" in {event.kind for event in journal.events(after=0, limit=999)}
    assert violations(gather(journal)) == ()


# -------------------------------------------------------------------------------- flatten


FLATTEN = {"book": BOOK, "lane": LANE, "account": ACCOUNT, "session": SESSION, "actor": "ann"} | {
    "plan": '{"lines":[["AAPL",100,0,100,1]]}'
}


def flatten_decision(symbol="AAPL", *, side=Side.SELL, slot=Slot.FLATTEN, quantity=10, strategy="council"):
    intent = replace(example_intent(symbol, side=side, slot=slot, quantity=quantity), strategy=strategy)
    return example_decision(intent, not_after=CLOSE)


def ordered(journal, *decisions, command_id="f-1", actor="bob"):
    return journal.order_flatten(
        command_id=command_id, decisions=decisions, verdicts=[], actor=actor, reason="get out", now=NOW
    )


def test_a_flatten_is_previewed_and_then_ordered_once_while_halted(journal):
    decided(journal, example_intent("MSFT"))
    with pytest.raises(GateClosed, match="not_halted"):
        journal.preview_flatten(command_id="f-1", **FLATTEN, now=NOW)
    journal.set_run_control(RunControlAction.HALT, actor="ann", reason="fire", now=NOW)
    with pytest.raises(UnknownId, match="nobody previewed it"):
        ordered(journal, flatten_decision())
    shown = journal.preview_flatten(command_id="f-1", **FLATTEN, now=NOW)
    assert journal.preview_flatten(command_id="f-1", **FLATTEN, now=CLOSE) == shown
    (row,) = ordered(journal, flatten_decision())
    with pytest.raises(ApprovalRefused, match="ordered by bob already"):
        ordered(journal, flatten_decision("IBM"))

    assert (row.state, row.actor, row.intent.slot) == (IntentState.APPROVED, "bob", Slot.FLATTEN)
    (command,) = journal.flatten_commands(book=BOOK, lane=LANE, session=SESSION)
    assert (command.previewed_by, command.ordered_by, command.reason) == ("ann", "bob", "get out")
    assert prepared(journal, row).order is not None
    # The session's own decisions are as they were.
    assert decided(journal, example_intent("MSFT"))[0].intent.symbol == "MSFT"


@pytest.mark.parametrize(
    "decision",
    [flatten_decision(side=Side.BUY), flatten_decision(slot=Slot.REBALANCE), None],
)
def test_a_flatten_orders_sales_of_its_own_slot_and_nothing_else(journal, decision):
    decided(journal)
    journal.set_run_control(RunControlAction.HALT, actor="ann", reason="fire", now=NOW)
    journal.preview_flatten(command_id="f-1", **FLATTEN, now=NOW)
    before = everything(journal)
    with pytest.raises(BadInput, match="flatten f-1"):
        ordered(journal, *([decision] if decision else []))

    assert everything(journal) == before


@pytest.mark.parametrize(
    "decisions",
    [
        [flatten_decision("IBM")],
        [flatten_decision(quantity=101)],
        [flatten_decision(quantity=60), flatten_decision(quantity=60, strategy="again")],
    ],
    ids=["another symbol", "more of it", "twice"],
)
def test_a_flatten_sells_no_more_than_its_preview_showed(journal, decisions):
    decided(journal)
    journal.set_run_control(RunControlAction.HALT, actor="ann", reason="fire", now=NOW)
    journal.preview_flatten(command_id="f-1", **FLATTEN, now=NOW)
    before = everything(journal)
    with pytest.raises(BadInput, match="its preview showed"):
        ordered(journal, *decisions)

    assert everything(journal) == before


def test_what_was_previewed_is_what_is_ordered_whoever_writes_past_the_store(journal, database):
    decided(journal)
    journal.set_run_control(RunControlAction.HALT, actor="ann", reason="fire", now=NOW)
    journal.preview_flatten(command_id="f-1", **FLATTEN, now=NOW)
    with pytest.raises((sqlite3.IntegrityError, psycopg2.IntegrityError), match="as it was previewed"):
        database.do("update flatten_commands set plan = 'all'")


def test_a_nonce_serves_once(journal):
    first, second = decided(
        journal, example_intent("AAPL"), example_intent("IBM"), outcome=Outcome.PENDING_APPROVAL
    )
    journal.approve(first.intent_id, **answer(first))
    with pytest.raises(ApprovalRefused, match="n-1 was used before"):
        journal.approve(second.intent_id, **answer(second))
    with pytest.raises(ApprovalRefused, match="used before"):
        journal.approve(first.intent_id, **answer(first))

    assert journal.intent(second.intent_id).state is IntentState.PENDING_APPROVAL


def test_an_intent_expires_when_its_time_has_passed_and_not_before(journal):
    (row,) = decided(journal, example_intent())
    with pytest.raises(IllegalTransition, match="not expired"):
        journal.expire(row.intent_id, version=1, actor="sweeper", now=CLOSE - timedelta(seconds=1))

    assert journal.expire(row.intent_id, version=1, actor="sweeper", now=CLOSE).state is IntentState.EXPIRED


def test_of_an_intent_that_ended_nobody_says_that_it_may_still_be_sent(journal):
    (row,) = decided(journal, example_intent())
    ended = journal.cancel(row.intent_id, version=1, actor="ann", reason="no more", now=NOW)

    with pytest.raises(IllegalTransition, match="cancelled") as refused:
        journal.expire(row.intent_id, version=ended.version, actor="sweeper", now=NOW)
    assert "may be sent" not in str(refused.value)


def test_run_control_keeps_who_why_before_and_after(journal):
    assert journal.run_control().kill_switch_on is False
    journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason="lunch", now=NOW)
    halted = journal.set_run_control(RunControlAction.HALT, actor="bob", reason="fire", now=NOW)
    assert (halted.kill_switch_on, halted.paused) == (True, False)
    resumed = journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="calm", now=NOW)

    assert journal.run_control() == resumed
    assert (resumed.kill_switch_on, resumed.paused, resumed.actor) == (False, False, "ann")
    last = journal.events(after=0, limit=9)[-1]
    assert (last.actor, last.reason, last.body["action"]) == ("ann", "calm", "resume")
    assert last.body["before"] == {"kill_switch_on": True, "paused": False}
    assert last.body["after"] == {"kill_switch_on": False, "paused": False}


def test_a_resume_meant_for_one_halt_does_not_end_a_later_one(journal):
    seen = journal.set_run_control(RunControlAction.HALT, actor="ann", reason="drill", now=NOW)
    journal.set_run_control(RunControlAction.HALT, actor="bob", reason="fire", now=CLOSE)
    before = everything(journal)
    with pytest.raises(StaleVersion, match=r"set by bob \(fire\) meanwhile"):
        journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="over", now=CLOSE, expected=seen)

    assert everything(journal) == before
    in_force = journal.run_control()
    assert (in_force.kill_switch_on, in_force.actor) == (True, "bob")
    resumed = journal.set_run_control(
        RunControlAction.RESUME, actor="ann", reason="over", now=CLOSE, expected=in_force
    )
    assert not resumed.kill_switch_on


def test_a_halting_incident_is_the_halt_in_force_also_where_another_one_stood(journal):
    seen = journal.set_run_control(RunControlAction.HALT, actor="ann", reason="drill", now=NOW)
    journal.record_incident(
        kind="order_mismatch", account=ACCOUNT, intent_id="", detail="quantity", is_halting=True, now=NOW
    )

    in_force = journal.run_control()
    assert (in_force.kill_switch_on, in_force.actor, in_force.reason) == (
        True,
        "executor",
        "order_mismatch: quantity",
    )
    with pytest.raises(StaleVersion):
        journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="over", now=NOW, expected=seen)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ann", " "), ("", "")])
def test_nobody_halts_or_releases_without_a_name_and_a_reason(journal, actor, reason):
    before = everything(journal)
    with pytest.raises(BadInput, match="both are needed"):
        journal.set_run_control(RunControlAction.HALT, actor=actor, reason=reason, now=NOW)
    with pytest.raises(BadInput, match="both are needed"):
        journal.release_quote(row_id="r", actor=actor, reason=reason, now=NOW)

    assert everything(journal) == before


def test_a_released_row_is_kept_with_who_vouches_for_it(journal):
    assert journal.release_quote(row_id="r-2", actor="ann", reason="checked", now=NOW)
    assert journal.release_quote(row_id="r-1", actor="bob", reason="checked", now=NOW)
    assert not journal.release_quote(row_id="r-2", actor="eve", reason="again", now=NOW)

    assert [(row.row_id, row.actor) for row in journal.quote_releases()] == [("r-2", "ann"), ("r-1", "bob")]


# -------------------------------------------------------------------------------- executing


def test_a_claim_raises_the_epoch_and_only_one_succeeds(journal):
    (row,) = decided(journal, example_intent())
    claimed = journal.claim(row.intent_id, version=1, term=1, holder="one", now=NOW)
    with pytest.raises(IllegalTransition, match="claimed has no edge claimed"):
        journal.claim(row.intent_id, version=2, term=1, holder="two", now=NOW)

    assert (claimed.state, claimed.stage, claimed.epoch, claimed.actor) == (
        IntentState.EXECUTING,
        Stage.CLAIMED,
        1,
        "one",
    )


@pytest.mark.parametrize("action", [RunControlAction.HALT, RunControlAction.PAUSE])
def test_nothing_is_claimed_or_prepared_while_trading_is_held(journal, action):
    first, second = decided(journal, example_intent("AAPL"), example_intent("IBM"))
    claimed = journal.claim(first.intent_id, version=1, term=1, holder="x", now=NOW)
    journal.set_run_control(action, actor="ann", reason="stop", now=NOW)
    with pytest.raises(GateClosed, match="ann said 'stop'"):
        journal.claim(second.intent_id, version=1, term=1, holder="x", now=NOW)
    with pytest.raises(GateClosed, match="ann said 'stop'"):
        journal.prepare(
            first.intent_id,
            epoch=claimed.epoch,
            term=1,
            book_at_open=OPENED,
            review=lambda *_: PASSED,
            send_by=CLOSE,
            is_live=False,
            now=NOW,
        )

    assert journal.orders(**OF) == []


def test_a_flatten_goes_through_the_kill_switch_but_not_through_a_pause(journal):
    first, second = decided(
        journal, example_intent("AAPL", slot=Slot.FLATTEN), example_intent("IBM", slot=Slot.FLATTEN)
    )
    journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason="stop", now=NOW)
    with pytest.raises(GateClosed, match="trading_paused"):
        prepared(journal, second)
    journal.set_run_control(RunControlAction.HALT, actor="ann", reason="stop", now=NOW)
    assert prepared(journal, first).order is not None


def test_a_halt_takes_a_pauses_place_and_is_not_lowered_to_one(journal):
    journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason="lunch", now=NOW)
    journal.set_run_control(RunControlAction.HALT, actor="bob", reason="fire", now=NOW)
    before = everything(journal)
    with pytest.raises(GateClosed, match=r"pause: kill_switch_on: .*by bob: fire"):
        journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason="lunch", now=NOW)
    assert everything(journal) == before
    resumed = journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="over", now=NOW)

    assert (resumed.kill_switch_on, resumed.paused) == (False, False)


@pytest.mark.parametrize(
    ("changed", "value"),
    [("payload_hash", "0" * 64), ("quantity", 11), ("payload", None)],
)
def test_a_row_that_is_not_what_was_approved_is_never_prepared_and_halts_trading(
    journal, database, changed, value
):
    (row,) = decided(journal, example_intent())
    stored = canonical_json({**row.intent.payload(), "rationale": "another"}) if value is None else value
    database.disarm("intents")
    database.do(f"update intents set {changed} = '{stored}'")  # noqa: S608 - a name of ours
    step = prepared(journal, row)

    assert (step.order, step.reason, step.whys) == (None, "payload_mismatch", ())
    assert step.intent.state is IntentState.REJECTED
    assert journal.orders(**OF) == []
    assert [(found.kind, found.intent_id) for found in journal.incidents()] == [
        ("payload_mismatch", row.intent_id)
    ]
    assert journal.run_control().kill_switch_on


def test_a_guard_inside_the_send_transaction_ends_the_intent_with_its_reason(journal):
    (row,) = decided(journal, example_intent())
    step = prepared(journal, row, review=lambda *_: (*PASSED, Why(MISSING_PRICE, 0, 1, 0)))

    assert (step.order, step.reason, step.intent.state) == (None, "missing_price", IntentState.REJECTED)


def test_a_guard_that_time_may_satisfy_gives_the_claim_back_in_the_send_transaction(journal):
    (row,) = decided(journal, example_intent())
    step = prepared(journal, row, review=lambda *_: (*PASSED, Why(QUOTE_STALE, 301, 300, 0)))

    assert (step.order, step.reason, step.intent.state) == (None, "quote_stale", IntentState.APPROVED)
    assert journal.intent(row.intent_id) == step.intent
    last = journal.events_of(row.intent_id)[-1]
    assert (last.kind, last.reason) == ("released", "quote_stale")
    assert last.body["whys"] == [*map(list, PASSED), [QUOTE_STALE, 301, 300, 0]]
    assert journal.orders(**OF) == []
    assert journal.intent(row.intent_id).reason == "quote_stale"


def test_a_review_that_fails_leaves_the_claim_as_it_was(journal):
    (row,) = decided(journal, example_intent())

    def broken(*_):
        raise RuntimeError("no quote")

    with pytest.raises(RuntimeError, match="no quote"):
        prepared(journal, row, review=broken)

    assert journal.intent(row.intent_id).stage is Stage.CLAIMED
    assert journal.orders(**OF) == []


@pytest.mark.parametrize("whys", [(), PASSED[:1], PASSED[:-1]], ids=["none", "one", "all but one"])
def test_what_not_every_guard_looked_at_is_not_prepared(journal, whys):
    (row,) = decided(journal, example_intent())
    with pytest.raises(BadInput, match=f"{len(whys)} of {len(PASSED)} guards looked"):
        prepared(journal, row, review=lambda *_: whys)

    assert journal.intent(row.intent_id).stage is Stage.CLAIMED
    assert journal.orders(**OF) == []


def test_what_not_every_guard_looked_at_is_not_sent_again_nor_replaced(journal):
    lost, replaced = decided(journal, example_intent("AAPL"), example_intent("IBM"))
    prepared(journal, lost)
    journal.mark_unknown(lost.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
    for _ in range(3):
        journal.record_absence(lost.intent_id, epoch=1, now=NOW)
    row, order = working(journal, replaced)
    asked = journal.ask_cancel(
        row.intent_id, epoch=1, kind=CancelKind.REPLACE, actor="ann", reason="r", now=NOW
    )
    ended = broker_order(order, status=OrderStatus.CANCELLED)
    sending = {"epoch": 1, "term": 1, "book_at_open": OPENED, "send_by": CLOSE, "now": NOW}
    before = journal.events(after=0, limit=999)
    with pytest.raises(BadInput, match="0 of"):
        journal.prepare_again(lost.intent_id, **sending, review=lambda *_: ())
    with pytest.raises(BadInput, match="1 of"):
        journal.prepare_replacement(
            asked.intent_id, **sending, ended=ended, review=lambda *_: PASSED[:1], is_live=False
        )

    assert journal.events(after=0, limit=999) == before


def test_a_review_counts_what_was_sent_within_a_minute_and_for_the_same(journal):
    rows = decided(
        journal,
        example_intent("AAPL"),
        example_intent("AAPL", slot=Slot.STOP),
        example_intent("AAPL", side=Side.SELL, slot=Slot.FLATTEN),
        example_intent("MSFT"),
    )
    by = {(row.intent.symbol, row.intent.slot, row.intent.side): row for row in rows}
    seen = []

    def prepare(row, seconds):
        prepared(
            journal,
            row,
            review=lambda _, funds: seen.append(funds) or PASSED,
            now=NOW + timedelta(seconds=seconds),
        )

    first, again, sale, other = (
        by["AAPL", Slot.REBALANCE, Side.BUY],
        by["AAPL", Slot.STOP, Side.BUY],
        by["AAPL", Slot.FLATTEN, Side.SELL],
        by["MSFT", Slot.REBALANCE, Side.BUY],
    )
    for row, seconds in ((first, 0), (other, 59), (sale, 60), (again, 61)):
        prepare(row, seconds)

    assert [funds.orders_last_minute for funds in seen] == [0, 1, 1, 2]
    assert [funds.repeated_executions for funds in seen] == [0, 0, 0, 1]


def test_a_review_sees_whether_a_person_approved_this_very_payload(journal):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    decisions = [
        example_decision(example_intent("AAPL"), not_after=CLOSE),
        example_decision(example_intent("MSFT"), outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE),
    ]
    rows = journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
    by_itself, waiting = sorted(rows, key=lambda row: row.intent.symbol)
    approved = journal.approve(waiting.intent_id, **answer(waiting))
    seen = {}

    for row in (by_itself, approved):
        prepared(
            journal,
            row,
            review=lambda of, funds: seen.update({of.intent.symbol: funds.is_approved_by_person}) or PASSED,
        )

    assert seen == {"AAPL": False, "MSFT": True}


def test_a_review_sees_the_fills_and_what_other_orders_have_reserved(journal):
    rows = decided(
        journal,
        example_intent("AAPL", quantity=10, price_micros=50_000_000),
        example_intent("IBM", quantity=4, price_micros=30_000_000),
        example_intent("MSFT"),
    )
    seen = []
    first, order = working(journal, rows[0])
    journal.record_fill(fill_of(first, order, quantity=4, price_micros=49_000_000), now=NOW)
    prepared(journal, rows[1], review=lambda *_: counted(121_000_000))
    prepared(journal, rows[2], review=lambda _, funds: seen.append(funds) or PASSED)

    (funds,) = seen
    assert funds.position_quantity(Symbol("AAPL")) == 4
    assert funds.cash_micros == 10**12 - 4 * 49_000_000 - 1
    assert dict(funds.open_buys) == {"AAPL": 6, "IBM": 4}
    assert dict(funds.open_sells) == {}
    # What is left of the first at its reference price, and what the guard counted for the second.
    assert funds.reserved_micros == 6 * 50_000_000 + 121_000_000


def test_a_review_sees_the_book_that_the_fills_made_in_their_order_without_those_taken_back(journal):
    bought, sold, taken_back, reviewed = decided(
        journal,
        example_intent("AAPL", quantity=10),
        example_intent("AAPL", quantity=10, side=Side.SELL, slot=Slot.STOP),
        example_intent("IBM", quantity=10),
        example_intent("MSFT"),
    )
    seen = []
    first, order = working(journal, bought)
    for number, (quantity, price) in enumerate([(3, 10_000_000), (7, 13_000_000)]):
        fill = fill_of(first, order, quantity=quantity, execution_id=f"buy {number}", price_micros=price)
        journal.record_fill(fill, now=NOW)
    second, order = working(journal, sold)
    journal.record_fill(
        fill_of(second, order, quantity=4, execution_id="sell", price_micros=12_000_000), now=NOW
    )
    third, order = working(journal, taken_back)
    journal.record_fill(fill_of(third, order, quantity=5, execution_id="wrong"), now=NOW)
    journal.record_bust(execution_id="bust", takes_back="wrong", intent_id=third.intent_id, now=NOW)
    prepared(journal, reviewed, review=lambda _, funds: seen.append(funds) or PASSED)

    (funds,) = seen
    # Bought for 3 × 10 + 7 × 13 = 121; of it floor(121 × 4 / 10) went with the four that were sold.
    assert funds.book.positions == (Position(Symbol("AAPL"), 6, 72_600_000),)
    assert funds.cash_micros == 10**12 - 121_000_000 + 48_000_000 - 3
    assert funds.book.realised_micros == 48_000_000 - 48_400_000
    assert funds.book == with_fills(OPENED, journal.fills(**OF))


def test_what_is_sent_is_written_down_first(journal):
    (row,) = decided(journal, example_intent())
    step = prepared(journal, row)
    order = journal.order_of(row.intent_id)

    assert order == step.order
    assert (order.status, order.attempts, order.send_by) == ("prepared", 1, CLOSE)
    assert (order.request.quantity, order.request.symbol) == (10, "AAPL")
    assert journal.order(order.client_order_id) == order


@pytest.mark.parametrize("lane", ["simulated", "paper", "replay:x"])
def test_the_schema_refuses_a_live_order_outside_the_live_lane(database, lane):
    with database.open() as journal:
        journal.opening_book(book=BOOK, lane=lane, session=SESSION, previous=None, opened=OPENED, now=NOW)
        (row,) = journal.register(
            book=BOOK,
            lane=lane,
            session=SESSION,
            decisions=[example_decision(example_intent(), lane=lane, not_after=CLOSE)],
            verdicts=[],
            decisions_sha="d",
            now=NOW,
        )
        if lane != LANE:
            reconciled_term(journal, account=ACCOUNT, lane=lane, now=NOW)
        with pytest.raises(IllegalTransition, match="ck_orders_live_lane"):
            prepared(journal, row, is_live=True)

        assert journal.order_of(row.intent_id) is None
        assert journal.intent(row.intent_id).stage is Stage.CLAIMED


@pytest.mark.parametrize("changes", [{"quantity": 11}, {"symbol": Symbol("IBM")}, {"side": Side.SELL}])
def test_an_order_that_differs_at_the_broker_is_not_taken_for_ours(journal, changes):
    (row,) = decided(journal, example_intent())
    step = prepared(journal, row)
    with pytest.raises(IllegalTransition, match="the broker's order differs"):
        journal.acknowledge(row.intent_id, epoch=1, order=broker_order(step.order, **changes), now=NOW)

    assert journal.intent(row.intent_id).stage is Stage.PREPARED


def test_a_holder_taken_over_can_record_nothing(journal):
    (row,) = decided(journal, example_intent())
    step = prepared(journal, row)
    journal.mark_unknown(row.intent_id, epoch=1, reason="found_prepared", is_takeover=True, now=NOW)
    before = everything(journal)
    with pytest.raises(IllegalTransition):
        journal.acknowledge(row.intent_id, epoch=1, order=broker_order(step.order), now=NOW)
    with pytest.raises(StaleVersion, match="taken over"):
        journal.adopt(row.intent_id, epoch=1, order=broker_order(step.order), now=NOW)
    with pytest.raises(StaleVersion, match="taken over"):
        journal.record_absence(row.intent_id, epoch=1, now=NOW)

    assert everything(journal) == before


def test_a_fill_is_booked_once_and_never_past_the_quantity(journal):
    (row,) = decided(journal, example_intent(quantity=10))
    row, order = working(journal, row)
    fill = fill_of(row, order, quantity=6)

    assert journal.record_fill(fill, now=NOW)
    before = everything(journal)
    assert not journal.record_fill(fill, now=CLOSE)
    with pytest.raises(IllegalTransition, match="booked before with other content"):
        journal.record_fill(fill._replace(quantity=5), now=NOW)
    with pytest.raises(IllegalTransition, match="6 of 10 are filled already"):
        journal.record_fill(fill_of(row, order, quantity=5, execution_id="x-2"), now=NOW)
    with pytest.raises(IllegalTransition, match="is not of the order"):
        journal.record_fill(
            fill_of(row, order, quantity=1, execution_id="x-3")._replace(symbol=Symbol("IBM")), now=NOW
        )

    assert everything(journal) == before
    assert journal.fills(**OF) == [fill]


@pytest.mark.parametrize(
    ("filled", "status", "is_cancel_asked", "ending"),
    [
        (10, OrderStatus.FILLED, False, (IntentState.EXECUTED, True)),
        (6, OrderStatus.CANCELLED, False, (IntentState.EXECUTED, False)),
        (6, OrderStatus.CANCELLED, True, (IntentState.EXECUTED, False)),
        (0, OrderStatus.CANCELLED, True, (IntentState.CANCELLED, False)),
        (0, OrderStatus.CANCELLED, False, (IntentState.EXPIRED, False)),
        (0, OrderStatus.REJECTED, False, (IntentState.FAILED, False)),
    ],
)
def test_an_intent_ends_as_its_order_did(journal, filled, status, is_cancel_asked, ending):
    (row,) = decided(journal, example_intent(quantity=10))
    row, order = working(journal, row)
    if filled:
        journal.record_fill(fill_of(row, order, quantity=filled), now=NOW)
    if is_cancel_asked:
        journal.ask_cancel(
            row.intent_id, epoch=1, kind=CancelKind.CANCEL, actor="ann", reason="test", now=NOW
        )
    ended = broker_order(order, filled=filled, status=status)
    closed = journal.close_working(row.intent_id, epoch=1, order=ended, now=CLOSE)

    assert ((closed.state, closed.complete), closed.filled_quantity) == (ending, filled)
    assert journal.intent(row.intent_id) == closed
    assert journal.order_of(row.intent_id).status == status.value


def test_an_intent_does_not_end_before_all_its_fills_are_booked(journal):
    (row,) = decided(journal, example_intent(quantity=10))
    row, order = working(journal, row)
    with pytest.raises(IllegalTransition, match="booked are 0"):
        journal.close_working(
            row.intent_id, epoch=1, order=broker_order(order, filled=10, status=OrderStatus.FILLED), now=NOW
        )
    with pytest.raises(IllegalTransition, match="it says working"):
        journal.close_working(row.intent_id, epoch=1, order=broker_order(order), now=NOW)


def test_absence_is_proven_three_times_and_never_of_an_acknowledged_order(journal):
    first, second = decided(journal, example_intent("AAPL"), example_intent("IBM"))
    prepared(journal, first)
    unknown = journal.mark_unknown(first.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
    told = {"epoch": unknown.epoch, "reason": "gone", "is_expired": False, "now": NOW} | HOLDER_DEAD
    for count in range(3):
        with pytest.raises(IllegalTransition, match=f"absent {count} times"):
            journal.conclude_absent(first.intent_id, **told)
        journal.record_absence(first.intent_id, epoch=1, now=NOW)
    assert journal.conclude_absent(first.intent_id, **told).state is IntentState.FAILED

    row, _ = working(journal, second)
    journal.mark_unknown(row.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
    for _ in range(3):
        journal.record_absence(row.intent_id, epoch=1, now=NOW)
    with pytest.raises(IllegalTransition, match="that it is gone proves nothing"):
        journal.conclude_absent(row.intent_id, **told)


def test_a_second_send_is_the_same_bytes_and_a_refusal_of_it_proves_nothing(journal):
    (row,) = decided(journal, example_intent())
    first = prepared(journal, row).order
    journal.mark_unknown(row.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
    seen = []
    again = {
        "epoch": 1,
        "term": 1,
        "book_at_open": OPENED,
        "review": lambda _, funds: seen.append(funds) or PASSED,
        "send_by": CLOSE,
        "now": NOW,
    }
    with pytest.raises(IllegalTransition, match="absent 0 times"):
        journal.prepare_again(row.intent_id, **again)
    for _ in range(3):
        journal.record_absence(row.intent_id, epoch=1, now=NOW)
    second = journal.prepare_again(row.intent_id, **again).order

    assert second is not None
    assert (second.request_sha, second.client_order_id) == (first.request_sha, first.client_order_id)
    assert (second.attempts, second.absences) == (2, 0)
    # Its own reservation does not stand in its way.
    assert (seen[0].reserved_micros, dict(seen[0].open_buys)) == (0, {})
    with pytest.raises(IllegalTransition, match="an earlier one was never proven"):
        journal.refuse(row.intent_id, epoch=1, reason="refused", now=NOW)


def counted(micros: int) -> tuple[Why, ...]:
    """Give what all guards say who let a buy pass that needs so much money."""
    return tuple(Why(PASS, micros if name == "buying_power" else 0, 10**12, NO_LIMIT) for name, _ in GUARDS)


def test_a_second_send_is_promised_the_money_that_it_needs_by_now(journal):
    first, second = decided(journal, example_intent("AAPL"), example_intent("IBM"))
    prepared(journal, first, review=lambda *_: counted(1_010_000_000))
    journal.mark_unknown(first.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
    for _ in range(3):
        journal.record_absence(first.intent_id, epoch=1, now=NOW)
    journal.prepare_again(
        first.intent_id,
        epoch=1,
        term=1,
        book_at_open=OPENED,
        review=lambda *_: counted(1_070_000_000),
        send_by=CLOSE,
        now=NOW,
    )
    seen = []
    prepared(journal, second, review=lambda _, funds: seen.append(funds) or PASSED)

    assert seen[0].reserved_micros == 1_070_000_000
    assert violations(gather(journal)) == ()


def test_a_filled_order_that_is_gone_at_the_broker_ends_as_filled_on_a_persons_word(journal):
    (row,) = decided(journal, example_intent())
    _, order = working(journal, row)
    journal.record_fill(fill_of(row, order, quantity=10), now=NOW)
    journal.mark_unknown(row.intent_id, epoch=1, reason="gone", is_takeover=False, now=NOW)
    journal.park(row.intent_id, epoch=1, reason="acknowledged_then_absent", now=NOW)
    ended = journal.conclude_absent(
        row.intent_id,
        epoch=1,
        reason="their desk tells of the fill",
        is_expired=True,
        settle_time_s=0,
        is_death_proven=False,
        actor="ann",
        is_on_word=True,
        now=CLOSE,
    )

    assert (ended.state, ended.complete) == (IntentState.EXECUTED, True)
    assert journal.order(order.client_order_id).status == OrderStatus.FILLED
    assert violations(gather(journal)) == ()


def test_parking_tells_people_and_a_halting_incident_stops_trading(journal):
    (row,) = decided(journal, example_intent())
    prepared(journal, row)
    journal.mark_unknown(row.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
    parked = journal.park(row.intent_id, epoch=1, reason="dedup_not_for_all_time", now=NOW)
    incident = {"kind": "order_mismatch", "account": ACCOUNT, "intent_id": row.intent_id, "detail": "d"}
    journal.record_incident(**incident, is_halting=True, now=NOW)
    before = everything(journal)
    journal.record_incident(**incident, is_halting=True, now=CLOSE)

    assert (parked.state, parked.stage) == (IntentState.UNKNOWN, Stage.PARKED)
    assert [row.kind for row in journal.incidents()] == ["parked", "order_mismatch"]
    assert journal.run_control().kill_switch_on
    assert everything(journal) == before


def test_racing_claims_of_one_intent_give_one_winner(database):
    with database.open() as journal:
        (row,) = decided(journal, example_intent())
    start, won, lost = threading.Barrier(8), [], []

    def claim(name):
        with database.open(busy_timeout_s=30) as mine:
            start.wait()
            try:
                won.append(mine.claim(row.intent_id, version=1, term=1, holder=name, now=NOW).actor)
            except (StaleVersion, IllegalTransition):
                lost.append(name)

    threads = [threading.Thread(target=claim, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(won), len(lost)) == (1, 7)
    with database.open() as journal:
        assert [event.actor for event in journal.events_of(row.intent_id)][1:] == won


# -------------------------------------------------------------------------------- asking


def test_open_and_stuck_intents_are_found(journal):
    rows = decided(journal, example_intent("AAPL"), example_intent("IBM"), example_intent("MSFT"))
    journal.claim(rows[1].intent_id, version=1, term=1, holder="x", now=NOW)
    journal.cancel(rows[2].intent_id, version=1, actor="ann", reason="test", now=NOW)

    assert [r.intent.symbol for r in journal.open_intents(account=ACCOUNT, lane=LANE)] == ["AAPL", "IBM"]
    assert journal.open_intents(account="other", lane=LANE) == []
    assert [r.intent.symbol for r in journal.stuck(before=NOW + timedelta(seconds=1))] == ["IBM"]
    assert journal.stuck(before=NOW) == []


def test_open_intents_of_a_lane_come_by_session_then_sells_first_then_by_symbol(journal):
    def registered(*intents, lane=LANE):
        of = {"book": intents[0].book, "lane": lane, "session": intents[0].session}
        journal.opening_book(**of, previous=None, opened=OPENED, now=NOW)
        decisions = [example_decision(intent, lane=lane, not_after=CLOSE) for intent in intents]
        journal.register(**of, decisions=decisions, verdicts=(), decisions_sha="sha-1", now=NOW)

    later = {"book": "us_wide", "session": AFTER}
    registered(example_intent("AAPL", **later), example_intent("FB", side=Side.SELL, **later))
    buys = [example_intent(symbol) for symbol in ("MSFT", "IBM", "GE", "CAT", "BA")]
    registered(*buys, example_intent("ZION", side=Side.SELL))
    registered(example_intent("GOOG"), lane="replay:x")

    found = [row.intent.symbol for row in journal.open_intents(account=ACCOUNT, lane=LANE)]
    assert found == ["ZION", "BA", "CAT", "GE", "IBM", "MSFT", "FB", "AAPL"]


def test_the_orders_of_an_account_that_were_proven_absent_are_watched_from_their_session_on(journal):
    symbols = ("AAPL", "BA", "CAT", "GE", "IBM", "MSFT")
    for row in decided(journal, *(example_intent(symbol) for symbol in symbols)):
        order = prepared(journal, row).order
        journal.mark_unknown(row.intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)
        if row.intent.symbol != "MSFT":
            told = {"settle_time_s": 0, "is_death_proven": False, "actor": "ann", "is_on_word": True}
            journal.conclude_absent(row.intent_id, epoch=1, reason="seen", is_expired=False, now=NOW, **told)
        else:
            unproven = order.client_order_id

    watched = [order.client_order_id for order in journal.watched(account=ACCOUNT, since=SESSION)]
    proven = [row.client_order_id for row in journal.orders(**OF) if row.client_order_id != unproven]
    assert watched == sorted(proven)
    assert journal.watched(account=ACCOUNT, since=AFTER) == []
    assert journal.watched(account="other", since=SESSION) == []


@pytest.mark.parametrize("ask", ["intent", "verdicts"])
def test_an_unknown_id_is_named(journal, database, ask):
    for source in (journal, database.reader()):
        with pytest.raises(UnknownId, match="int-none"):
            getattr(source, ask)(IntentId("int-none"))


def test_a_step_on_an_unknown_id_changes_nothing(journal):
    before = everything(journal)
    with pytest.raises(UnknownId, match="int-none"):
        journal.claim(IntentId("int-none"), version=1, term=1, holder="x", now=NOW)

    assert everything(journal) == before


def test_a_time_without_a_zone_is_refused(journal):
    with pytest.raises(BadInput, match="has no time zone"):
        journal.set_run_control(RunControlAction.HALT, actor="a", reason="r", now=NOW.replace(tzinfo=None))

    assert journal.events(after=TERM_EVENTS, limit=1) == []


def test_the_events_of_an_intent_fold_to_its_row_and_the_chain_verifies(journal):
    full_day(journal)
    for row in journal.intents(**OF):
        folded = fold(
            Event(
                Step(event.kind),
                IntentState(event.body["to"]),
                event.body["version"],
                event.body["epoch"],
                event.body["quantity"],
            )
            for event in journal.events_of(row.intent_id)
            if event.kind in set(Step)
        )
        assert folded is not None
        assert (folded.state, folded.stage, folded.version, folded.epoch) == (
            row.state,
            row.stage,
            row.version,
            row.epoch,
        )
        assert (folded.quantity, folded.filled_quantity) == (row.quantity, row.filled_quantity)
    events = journal.events(after=0, limit=999)

    assert verify(line_of(event) for event in events) is None
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def full_day(journal):
    """Take three intents through a day: one filled, one refused, one waiting."""
    rows = decided(journal, example_intent("AAPL"), example_intent("IBM"), example_intent("MSFT"))
    row, order = working(journal, rows[0])
    journal.record_fill(fill_of(row, order, quantity=10), now=NOW)
    ended = broker_order(order, filled=10, status=OrderStatus.FILLED)
    journal.close_working(row.intent_id, epoch=1, order=ended, now=NOW)
    prepared(journal, rows[1])
    journal.refuse(rows[1].intent_id, epoch=1, reason="refused", now=NOW)
    journal.enqueue(dedup_key="k", channel="stdout", severity="warning", subject="s", body="b", now=NOW)
    return rows


def test_the_same_calls_give_the_same_journal(new_database):
    told = []
    for database in (new_database(), new_database()):
        with database.open() as journal:
            full_day(journal)
            told.append(everything(journal))

    assert told[0] == told[1]


# -------------------------------------------------------------------------------- the outbox


def queue(journal, key, now=NOW):
    return journal.enqueue(
        dedup_key=key, channel="webhook", severity="critical", subject=key, body="{}", now=now
    )


def test_a_message_is_queued_once_a_key_and_channel(journal):
    assert queue(journal, "one")
    assert not queue(journal, "one")
    assert journal.enqueue(
        dedup_key="one", channel="stdout", severity="warning", subject="s", body="", now=NOW
    )


def test_a_leased_message_comes_back_when_its_sender_is_silent(journal):
    queue(journal, "one")
    queue(journal, "two")
    (first,) = journal.lease(now=NOW, lease_s=60, limit=1)
    (second,) = journal.lease(now=NOW, lease_s=60, limit=9)
    assert [first.subject, second.subject] == ["one", "two"]
    assert journal.lease(now=NOW + timedelta(seconds=59), lease_s=60, limit=9) == []

    again = journal.lease(now=NOW + timedelta(seconds=60), lease_s=60, limit=9)
    assert [(message.subject, message.attempts) for message in again] == [("one", 2), ("two", 2)]
    with pytest.raises(StaleVersion, match="expected attempt 1"):
        journal.mark(first.outbox_id, attempt=1, is_delivered=True, reason="sent", retry_at=None, now=NOW)


def test_every_attempt_is_kept_until_a_message_is_delivered_or_given_up(journal):
    queue(journal, "one")
    queue(journal, "two")
    first, second = journal.lease(now=NOW, lease_s=60, limit=9)
    later = NOW + timedelta(seconds=5)
    journal.mark(first.outbox_id, attempt=1, is_delivered=False, reason="http_error", retry_at=later, now=NOW)
    journal.mark(second.outbox_id, attempt=1, is_delivered=False, reason="non_2xx", retry_at=None, now=NOW)
    (again,) = journal.lease(now=later, lease_s=60, limit=9)
    journal.mark(
        again.outbox_id, attempt=2, is_delivered=True, reason="sent_after_retry", retry_at=None, now=later
    )

    assert journal.lease(now=later + timedelta(days=1), lease_s=60, limit=9) == []
    assert [(d.outbox_id, d.attempt, d.is_delivered, d.reason) for d in journal.deliveries()] == [
        (1, 1, False, "http_error"),
        (2, 1, False, "non_2xx"),
        (1, 2, True, "sent_after_retry"),
    ]
    with pytest.raises(UnknownId, match="outbox message 9"):
        journal.mark(9, attempt=1, is_delivered=True, reason="", retry_at=None, now=NOW)


def test_a_critical_for_a_channel_without_an_address_is_taken_once_and_again_when_it_has_one(journal):
    queue(journal, "critical")
    journal.enqueue(dedup_key="w", channel="webhook", severity="warning", subject="w", body="", now=NOW)

    def leased(*ready):
        taken = journal.lease(now=NOW, lease_s=60, limit=9, ready=ready)
        for message in taken:
            journal.mark(
                message.outbox_id,
                attempt=message.attempts,
                is_delivered=False,
                reason="x",
                retry_at=NOW,
                now=NOW,
            )
        return [message.subject for message in taken]

    assert leased("stdout") == ["critical", "w"]
    assert leased("stdout") == leased() == ["w"]
    assert leased("webhook") == ["critical", "w"]


def test_attempts_are_asked_by_message_and_by_what_arrived_since(journal):
    for key in ("one", "two"):
        queue(journal, key)
    for minute, (arrived, reason) in enumerate([(False, "http_error"), (True, "sent")]):
        at = NOW + timedelta(minutes=minute)
        for message in journal.lease(now=at, lease_s=9, limit=9):
            is_delivered = arrived and message.subject == "one"
            journal.mark(
                message.outbox_id,
                attempt=message.attempts,
                is_delivered=is_delivered,
                reason=reason if is_delivered else "http_error",
                retry_at=None if is_delivered else at + timedelta(minutes=1),
                now=at,
            )

    assert [(d.attempt, d.reason) for d in journal.deliveries_of(1)] == [(1, "http_error"), (2, "sent")]
    assert journal.deliveries_of(3) == []
    assert [(d.outbox_id, d.at) for d in journal.delivered_since(NOW)] == [(1, NOW + timedelta(minutes=1))]
    assert journal.delivered_since(NOW + timedelta(minutes=1)) == []


# -------------------------------------------------------------------------------- the reader


def test_the_reader_says_the_same_as_the_store(journal, database):
    rows = full_day(journal)
    journal.release_quote(row_id="r", actor="ann", reason="checked", now=NOW)
    journal.record_incident(kind="k", account=ACCOUNT, intent_id="", detail="d", is_halting=True, now=NOW)
    journal.lease(now=NOW, lease_s=9, limit=9)
    journal.mark(1, attempt=1, is_delivered=True, reason="sent", retry_at=None, now=NOW)
    reader = database.reader()

    assert reader.exists
    assert reader.intents(**OF) == journal.intents(**OF)
    assert reader.orders(**OF) == journal.orders(**OF)
    assert reader.fills(**OF) == journal.fills(**OF)
    assert reader.session_record(**OF) == journal.session_record(**OF)
    assert reader.open_intents(account=ACCOUNT, lane=LANE) == journal.open_intents(account=ACCOUNT, lane=LANE)
    assert reader.run_control() == journal.run_control()
    assert reader.events(after=3, limit=4) == journal.events(after=3, limit=4)
    assert reader.events_of(rows[0].intent_id) == journal.events_of(rows[0].intent_id)
    assert reader.incidents() == journal.incidents()
    assert reader.deliveries() == journal.deliveries()
    assert reader.quote_releases() == journal.quote_releases()
    assert reader.verdicts(rows[0].intent_id) == journal.verdicts(rows[0].intent_id)
    assert [message.status for message in reader.outbox()] == ["delivered"]
    assert reader.stuck(lane=LANE, before=CLOSE) == journal.stuck(before=CLOSE)


def test_the_reader_finds_an_intent_by_any_of_its_ids(journal, database):
    row = full_day(journal)[0]
    order = journal.order_of(row.intent_id)
    reader = database.reader()

    for wanted in (row.intent_id, row.intent_id[:12], order.client_order_id[:12], "x-1"):
        assert [found.intent_id for found in reader.intents_by_any_id(wanted, lane=LANE)] == [row.intent_id]
    assert len(reader.intents_by_any_id("int-", lane=LANE)) == 3
    assert reader.intents_by_any_id("nothing", lane=LANE) == []
    assert reader.intents_by_any_id(row.intent_id, lane="live") == []


def test_the_reader_lists_sessions_pending_and_refused(journal, database):
    decided(journal, example_intent(), outcome=Outcome.PENDING_APPROVAL)
    reader = database.reader()
    assert [row.intent.symbol for row in reader.pending(lane=LANE)] == ["AAPL"]
    (row,) = journal.intents(**OF)
    journal.cancel(row.intent_id, version=1, actor="ann", reason="test", now=NOW)
    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)
    journal.record_refusal(book=BOOK, lane=LANE, session=AFTER, stage="quotes", reason="stale", now=NOW)

    assert [record.session for record in reader.sessions(book=BOOK, lane=LANE, last=5)] == [SESSION, AFTER]
    assert [record.session for record in reader.sessions(book=BOOK, lane=LANE, last=1)] == [AFTER]
    assert reader.last_settled(book=BOOK, lane=LANE).closing == OPENED
    assert [record.refused for record in reader.refusals(lane=LANE)] == ["quotes: stale"]


def test_where_there_is_no_journal_yet_every_answer_is_nothing(new_database):
    reader = new_database(is_blank=True).reader()

    assert not reader.exists
    assert reader.intents(**OF) == []
    assert reader.last_settled(book=BOOK, lane=LANE) is None
    assert reader.run_control().changed_at is None
    assert reader.answers(["find_all_events"]) == {"find_all_events": []}


def test_looking_at_an_empty_file_or_at_none_leaves_it_so(tmp_path):
    path = tmp_path / "journal.db"
    assert not JournalReader(path).exists
    assert not path.exists()
    path.touch()

    assert not JournalReader(path).exists
    assert path.stat().st_size == 0


@pytest.mark.parametrize("url", ["mysql://ann:hunter2@here/journal", "postgresql://ann:hunter2@here:port/j"])
@pytest.mark.parametrize("using", [SqlJournal, JournalReader])
def test_a_url_that_is_no_journals_is_refused_without_its_password(url, using):
    with pytest.raises(BadSetting, match="journal_url") as refused:
        using(url)

    assert "hunter2" not in shown(refused)


@pytest.mark.parametrize("using", [SqlJournal, lambda url: JournalReader(url).run_control()])
def test_a_server_out_of_reach_is_named_without_its_password(tmp_path, using):
    for url in (
        f"postgresql://ann:hunter2@/journal?host={tmp_path}",
        f"postgresql://ann@/journal?host={tmp_path}&password=hunter2",
        "postgresql+psycopg2://ann:hunter2@127.0.0.1:1/journal",
    ):
        with pytest.raises(JournalUnavailable, match="the server does not answer") as refused:
            using(url)

        assert "hunter2" not in shown(refused)


def shown(refused) -> str:
    """Return all that a traceback would show."""
    return "".join(traceback.format_exception(refused.value))


def test_reading_and_opening_need_neither_sqlalchemy_nor_alembic(path):
    light = (
        "import sys, resources.journal.reader;"
        "assert not {'sqlalchemy', 'numpy', 'psycopg2'} & set(sys.modules)"
    )
    opened = (
        "import sys; from resources.journal.store import SqlJournal;"
        f"SqlJournal('sqlite:///{path}').close(); assert 'alembic' not in sys.modules"
    )
    driver = (
        "import sys, resources.journal.store, resources.journal.reader; assert 'psycopg2' not in sys.modules"
    )
    for program in (light, opened, driver):
        subprocess.run([sys.executable, "-c", program], check=True)


# -------------------------------------------------------------------------------- the schema by itself

FILL_AGAIN = """
insert into fills select execution_id, 99, client_order_id, intent_id, book, lane, session, symbol, side,
  quantity, price_micros, commission_micros, filled_at
from fills
"""
ORDER_AGAIN = """
insert into orders select 'c-2', intent_id, generation, account, book, lane, session, is_live, request,
  request_sha, quantity, 0, 'prepared', '', 1, 0, null, null, prepared_at, send_by, '', '', 'a', 'a', 0, ''
from orders
"""
FORKED_CHAIN = """
insert into events select 99, at, kind, book, lane, session, intent_id, actor, reason, body, prev_hash, 'h'
from events where seq = 1
"""


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update intents set state = 'approved', version = version + 1 where state = 'failed'", "terminal"),
        ("update intents set version = version where state = 'approved'", "never go back"),
        ("update intents set quantity = 1, version = version + 1 where state = 'approved'", "decided"),
        ("delete from intents", "never deleted"),
        ("update events set reason = 'x' where seq = 1", "never changes"),
        ("delete from events where seq = 1", "never deleted"),
        ("update fills set quantity = 1", "never changes"),
        ("delete from fills", "never deleted"),
        ("delete from orders", "never deleted"),
        ("update orders set request = 'x'", "what is sent"),
        ("update orders set status = 'working' where status = 'filled'", "terminal order"),
        ("update book_sessions set decisions_sha = 'x'", "not decided again"),
        (FILL_AGAIN, "execution_id"),
        (ORDER_AGAIN, "generation"),
        (FORKED_CHAIN, "prev_hash"),
    ],
)
def test_the_schema_keeps_the_promises_without_the_store(journal, database, statement, says):
    full_day(journal)
    before = everything(journal)
    with pytest.raises((sqlite3.IntegrityError, psycopg2.IntegrityError), match=says):
        database.do(statement)

    assert everything(journal) == before


def test_text_sorts_by_its_bytes_whatever_the_database_sorts_by(postgres_server, postgres_template):
    url = postgres_server.create("sorted", template=postgres_template)
    with closing(psycopg2.connect(url)) as raw, raw.cursor() as cursor:
        cursor.execute(
            "select collation_name, count(*) from information_schema.columns"
            " where table_schema = 'public' and data_type = 'text' group by collation_name"
        )
        found = cursor.fetchall()
    postgres_server.drop("sorted")

    texts = [c for t in schema.metadata.sorted_tables for c in t.columns if isinstance(c.type, sa.Text)]
    assert found == [("C", len(texts))]


def test_no_table_is_emptied_past_the_triggers_of_its_rows(postgres_server, postgres_template):
    url = postgres_server.create("emptied", template=postgres_template)
    with SqlJournal(url) as journal:
        full_day(journal)
        before = everything(journal)
        for table in schema.metadata.sorted_tables:
            with (
                closing(psycopg2.connect(url)) as raw,
                raw.cursor() as cursor,
                pytest.raises(psycopg2.IntegrityError, match="never emptied"),
            ):
                cursor.execute(f"truncate {table.name} cascade")

        assert everything(journal) == before
    postgres_server.drop("emptied")


def test_the_migrated_schema_is_the_one_that_the_store_was_written_for(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.engine().connect() as conn:
        differences = compare_metadata(MigrationContext.configure(conn), schema.metadata)
        stored = sa.inspect(conn)
        for table in schema.metadata.sorted_tables:
            checks = {check["name"] for check in stored.get_check_constraints(table.name)}
            wanted = {str(c.name) for c in table.constraints if isinstance(c, sa.CheckConstraint)}
            assert checks == wanted

    assert differences == []


# -------------------------------------------------------------------------------- unusable journals


def test_a_commit_to_a_file_waits_for_the_disk(path):
    with SqlJournal(f"sqlite:///{path}") as journal, journal._engine.connect() as conn:
        assert conn.exec_driver_sql("pragma synchronous").scalar() == 2
        assert conn.exec_driver_sql("pragma journal_mode").scalar() == "wal"


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one" * 40])
def test_a_damaged_file_is_refused_by_name_and_left_as_it_was(tmp_path, content):
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(JournalUnavailable, match=r"journal\.db: .*keep it, and restore"):
        SqlJournal(f"sqlite:///{path}")
    with pytest.raises(JournalUnavailable, match=r"journal\.db: .*keep it, and restore"):
        JournalReader(path).run_control()

    assert path.read_bytes() == content


def test_a_page_damaged_later_is_found_when_it_is_read(path):
    with SqlJournal(f"sqlite:///{path}") as journal:
        full_day(journal)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(JournalUnavailable, match="malformed"):
        JournalReader(path).intents(**OF)
    with pytest.raises(JournalUnavailable, match="malformed"), SqlJournal(f"sqlite:///{path}") as journal:
        journal.intents(**OF)


def test_another_programs_database_is_not_made_a_journal(new_database):
    database = new_database(is_blank=True)
    database.do("create table pets (name text)")
    for use in (database.open, lambda: database.reader().run_control()):
        with pytest.raises(JournalUnavailable, match=r"holds tables \(pets\) but no journal"):
            use()

    with database.engine().connect() as conn:
        assert sa.inspect(conn).get_table_names() == ["pets"]


@pytest.mark.parametrize("is_migrated", [False, True], ids=["plain", "with a revision of its own"])
def test_another_programs_file_keeps_every_byte(tmp_path, is_migrated):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table pets (name text)")
        if is_migrated:
            connection.execute("create table alembic_version (version_num text)")
            connection.execute("insert into alembic_version values ('abc123')")
    before = path.read_bytes()

    for use in (lambda: SqlJournal(f"sqlite:///{path}"), lambda: JournalReader(path).run_control()):
        with pytest.raises(JournalUnavailable, match=r"holds tables \(.*pets\) but no journal"):
            use()

    assert path.read_bytes() == before
    assert list(tmp_path.glob("theirs.db*")) == [path]


def ordered_on_paper(ledger: Path) -> None:
    """Let a paper broker have taken an order."""
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(
            "insert into orders values"
            " (1, 'b-1', 'c-1', '{}', '2013-02-28', 'AAPL', 'buy', 1, 0, 'working', '', '2013-02-28')"
        )


@pytest.mark.parametrize("left", ["audit.jsonl", "audit.checkpoints.jsonl"])
@pytest.mark.parametrize("is_begun", [False, True], ids=["nothing", "a journal without events"])
def test_a_database_in_the_place_of_a_journal_whose_log_is_left_is_not_begun_anew(
    new_database, tmp_path, is_begun, left
):
    database, log = new_database(is_blank=True), tmp_path / "audit.jsonl"
    if is_begun:
        database.open(log=log).close()
    (tmp_path / left).write_text("what it told\n", encoding="utf-8")
    uses = {
        "store": lambda: database.open(log=log),
        "rehearsal": lambda: RehearsedJournal(database.url, log=log),
        "reader": lambda: database.reader(log=log).run_control(),
        "whether it exists": lambda: database.reader(log=log).exists,
    }
    for use in uses.values():
        with pytest.raises(JournalUnavailable, match="is missing or empty, but its audit log tells"):
            use()

    if not is_begun:
        assert not database.reader().exists, "nothing was made in its place"


@pytest.mark.parametrize("is_begun", [False, True], ids=["nothing", "a journal without events"])
def test_a_database_in_the_place_of_a_journal_whose_paper_broker_has_orders_is_not_begun_anew(
    new_database, tmp_path, is_begun
):
    database, log, ledger = new_database(is_blank=True), tmp_path / "audit.jsonl", tmp_path / "paper" / "A.db"
    if is_begun:
        database.open(log=log).close()
    Ledger(ledger_of(tmp_path, "NEW"))
    Ledger(ledger)
    ordered_on_paper(ledger)
    before = sorted(ledger.parent.iterdir())
    uses = {
        "store": lambda: database.open(log=log),
        "rehearsal": lambda: RehearsedJournal(database.url, log=log),
        "reader": lambda: database.reader(log=log).run_control(),
        "whether it exists": lambda: database.reader(log=log).exists,
    }
    for use in uses.values():
        with pytest.raises(
            JournalUnavailable,
            match=f"is missing or empty, but the paper broker's ledger {ledger} has orders",
        ):
            use()

    assert sorted(ledger.parent.iterdir()) == before, "a look leaves no files"
    if not is_begun:
        assert not database.reader().exists, "nothing was made in its place"


@pytest.mark.parametrize("way", ["reader", "transactions"])
def test_a_first_run_that_began_since_the_look_is_not_refused_by_its_own_orders(
    new_database, tmp_path, monkeypatch, way
):
    database, log, ledger = new_database(is_blank=True), tmp_path / "audit.jsonl", tmp_path / "paper" / "A.db"
    database.open(log=log).close()

    def traced_once_another_began(log):
        database.do(AN_EVENT)
        Ledger(ledger)
        ordered_on_paper(ledger)
        return trace_of_events(log)

    monkeypatch.setattr(f"resources.journal.{way}.trace_of_events", traced_once_another_began)

    assert database.reader(log=log).exists
    with database.open(log=log) as journal:
        assert journal.events(after=0, limit=9)


def test_a_journal_with_events_opens_beside_its_log_and_a_new_one_beside_an_empty_log(new_database, tmp_path):
    log = tmp_path / "audit.jsonl"
    log.touch()
    new_database(is_blank=True).open(log=log).close()
    database = new_database()
    log.write_text("what it told\n", encoding="utf-8")
    with database.open(log=log) as journal:
        assert journal.events(after=0, limit=9)
    assert database.reader(log=log).exists


def test_a_ledger_tells_by_its_orders_alone_also_those_that_are_only_in_its_wal(tmp_path):
    log, ledger = tmp_path / "audit.jsonl", tmp_path / "paper" / "A.db"
    assert trace_of_events(log) == ""
    ledger.parent.mkdir()
    ledger.touch()
    assert trace_of_events(log) == "", "nothing is in it yet"
    Ledger(ledger)
    assert trace_of_events(log) == "", "no order is in it yet"
    with closing(sqlite3.connect(ledger)) as held:
        held.execute("select * from orders").fetchall()
        ordered_on_paper(ledger)

        assert ledger.with_name("A.db-wal").stat().st_size
        assert trace_of_events(log) == f"the paper broker's ledger {ledger} has orders"


def test_a_ledger_that_cannot_be_read_may_have_orders(tmp_path):
    ledger = tmp_path / "paper" / "A.db"
    ledger.parent.mkdir()
    ledger.write_bytes(b"no ledger " * 1000)

    told = trace_of_events(tmp_path / "audit.jsonl")

    assert told.startswith(f"the paper broker's ledger {ledger} cannot be read (file is not a database")


def test_a_ledger_that_is_only_being_made_has_no_orders(tmp_path):
    ledger = tmp_path / "paper" / "A.db"
    ledger.parent.mkdir()
    with closing(sqlite3.connect(ledger)) as making:
        making.execute("pragma journal_mode = wal")

        assert ledger.stat().st_size
        assert trace_of_events(tmp_path / "audit.jsonl") == ""


def test_orders_of_who_begins_to_write_a_ledger_during_a_look_are_seen(tmp_path, monkeypatch):
    ledger, has_orders = tmp_path / "paper" / "A.db", traces._has_orders
    Ledger(ledger)

    with closing(sqlite3.connect(ledger)) as held:

        def looked_at(path, *, is_at_rest):
            found = has_orders(path, is_at_rest=is_at_rest)
            if is_at_rest:
                held.execute("select * from orders").fetchall()
                ordered_on_paper(path)
            return found

        monkeypatch.setattr(traces, "_has_orders", looked_at)

        assert trace_of_events(tmp_path / "audit.jsonl") == f"the paper broker's ledger {ledger} has orders"


def test_a_ledger_behind_a_link_that_leads_nowhere_may_have_orders(tmp_path):
    ledger = tmp_path / "paper" / "A.db"
    ledger.parent.mkdir()
    ledger.symlink_to(tmp_path / "no disk" / "A.db")

    told = trace_of_events(tmp_path / "audit.jsonl")

    assert told == f"the paper broker's ledger {ledger} cannot be read (No such file or directory)"


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.checkpoints.jsonl", "paper"])
def test_a_log_or_folder_that_leads_nowhere_may_tell_of_events(new_database, tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "no disk" / name)
    database = new_database(is_blank=True)

    for use in (
        lambda: SqlJournal(database.url, log=tmp_path / "audit.jsonl"),
        lambda: JournalReader(database.url, log=tmp_path / "audit.jsonl").run_control(),
    ):
        with pytest.raises(JournalUnavailable, match=f"{name} leads nowhere: orders may be open"):
            use()


def test_a_journal_of_a_newer_version_is_refused(database):
    database.do("update alembic_version set version_num = '9999'")
    for use in (database.open, lambda: database.reader().run_control()):
        with pytest.raises(JournalUnavailable, match="schema 9999"):
            use()


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
def test_a_journal_of_an_older_version_is_brought_up_to_date_with_all_it_holds(new_database, revision):
    database = new_database(is_blank=True)
    with database.engine().begin() as conn:
        migrate(conn, to=revision)
    database.do(AN_EVENT)
    with pytest.raises(JournalUnavailable, match=f"schema {revision}, this version reads"):
        database.reader().run_control()
    with database.open() as journal:
        assert [(event.seq, event.actor) for event in journal.events(after=0, limit=9)] == [(1, "ann")]
    assert database.reader().exists

    with pytest.raises((sqlite3.IntegrityError, psycopg2.IntegrityError), match="an event never changes"):
        database.do("update events set actor = 'bob'")


def test_journals_that_tests_make_after_a_first_one_are_what_the_migrations_make(tmp_path):
    migrated, *made = (tmp_path / f"{name}.db" for name in ("migrated", "first", "second"))
    engine = sa.create_engine(f"sqlite:///{migrated}")
    with engine.begin() as conn:
        migrate(conn)
    engine.dispose()
    for path in made:
        SqlJournal(f"sqlite:///{path}").close()

    def dumped(path):
        with closing(sqlite3.connect(path)) as raw:
            return list(raw.iterdump())

    assert dumped(migrated) == dumped(made[0]) == dumped(made[1])


def test_a_journal_whose_writer_does_not_end_is_reported_after_the_time_out(database):
    begun, ended = threading.Event(), threading.Event()

    def write_at_length():
        with database.open() as other, other._writing():
            begun.set()
            ended.wait()

    writer = threading.Thread(target=write_at_length)
    with database.open(busy_timeout_s=0.1) as journal:
        writer.start()
        begun.wait()
        with pytest.raises(JournalUnavailable, match="another process writes it"):
            queue(journal, "one")
        # Readers do not wait for a writer.
        assert journal.run_control().kill_switch_on is False
        assert database.reader().run_control().kill_switch_on is False

        ended.set()
        writer.join()
        assert queue(journal, "one")


def test_a_locked_journal_is_reported_after_the_time_out(path):
    with (
        SqlJournal(f"sqlite:///{path}", busy_timeout_s=0.05) as journal,
        closing(sqlite3.connect(path)) as other,
    ):
        other.execute("begin immediate")
        with pytest.raises(JournalUnavailable, match="another process writes it"):
            queue(journal, "one")
        # Readers do not wait for a writer.
        assert journal.run_control().kill_switch_on is False
        assert JournalReader(path).run_control().kill_switch_on is False

        other.rollback()
        assert queue(journal, "one")


def test_a_full_disk_changes_nothing(path):
    with SqlJournal(f"sqlite:///{path}") as journal:
        fill_the_disk(journal)


def fill_the_disk(journal):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    with journal._engine.connect() as conn:
        pages = conn.exec_driver_sql("pragma page_count").scalar()

    @sa.event.listens_for(journal._engine, "begin")
    def _bounded(conn):
        conn.exec_driver_sql(f"pragma max_page_count = {pages}")

    before = everything(journal)
    with pytest.raises(JournalUnavailable, match="make room on the disk"):
        decided(journal, *(example_intent(f"S{n}") for n in range(200)))

    assert everything(journal) == before


def test_a_file_that_may_not_grow_changes_nothing(path):
    program = (
        "import resource, sys\n"
        "from datetime import datetime, UTC\n"
        "from resources.journal.store import SqlJournal\n"
        "from trading.errors import JournalUnavailable\n"
        f"journal = SqlJournal('sqlite:///{path}')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try:\n"
        "    for n in range(200):\n"
        "        journal.enqueue(dedup_key=str(n), channel='c', severity='warning', subject='x' * 2000,"
        " body='', now=datetime(2013, 1, 1, tzinfo=UTC))\n"
        "except JournalUnavailable as error:\n"
        "    assert 'may be stored or not; mend the disk, or make room on the disk' in str(error), error\n"
        "    sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr

    with SqlJournal(f"sqlite:///{path}") as journal:
        events = journal.events(after=0, limit=999)
        assert len(events) - TERM_EVENTS == len(JournalReader(path).outbox())
        assert verify(line_of(event) for event in events) is None
        assert queue(journal, "afterwards")


def test_a_journal_needs_a_file_and_a_folder_that_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable, match="needs a file"):
        SqlJournal("sqlite:///:memory:")
    with pytest.raises(JournalUnavailable, match="folder cannot be made"):
        SqlJournal(f"sqlite:///{tmp_path / 'file' / 'journal.db'}")
    with pytest.raises(JournalUnavailable, match="cannot open it"):
        SqlJournal(f"sqlite:///{tmp_path}")


def test_a_read_only_journal_is_refused_for_writing(path):
    with SqlJournal(f"sqlite:///{path}") as journal:
        full_day(journal)
    with (
        pytest.raises(JournalUnavailable, match="cannot open it for this"),
        SqlJournal(f"sqlite:///file:{path}?mode=ro&uri=true") as journal,
    ):
        queue(journal, "one")


def test_openers_racing_for_nothing_all_get_a_journal(new_database):
    database = new_database(is_blank=True)
    start, seen, failed = threading.Barrier(3), [], []

    def opening():
        start.wait()
        try:
            with database.open(busy_timeout_s=30) as journal:
                seen.append(journal.run_control().kill_switch_on)
        except JournalUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=opening) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (seen, failed) == ([False] * 3, [])
