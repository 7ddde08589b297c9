"""The real executor against the paper broker over HTTP, whatever that forgets, loses, delays or invents.

Each case is a day: decided before the open, sent, and recovered by fresh objects until nothing changes any
more. What the fake broker can show alone is test_executions.py and test_reconciliation.py; that each fault
really happens on the wire is tests/adapters/test_paper_broker_http.py.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest

from resources.audit_log import AuditFile
from resources.evidence import gather
from resources.journal.lock import ExecutorFileLock
from resources.journal.store import SqlJournal
from resources.paper_broker.broker import PaperBroker
from resources.paper_broker.client import HttpPaperBroker
from resources.paper_broker.server import BrokerServer
from tests.adapters.broker_rules import (
    CALENDAR,
    CLOSE,
    DEPOSIT,
    EARLY,
    LATER,
    MODEL,
    OPEN,
    SESSION,
    WINDOW_S,
    Market,
)
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.brokers import SETTLE_TIME_S_MAX, DedupScope
from trading.errors import IllegalTransition
from trading.executions import Desk, ask_cancel, conclude_parked, execute_session, settle_orders
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.invariants import EXECUTOR_BEGAN, INV1, RECONCILED, violations
from trading.journal import CancelKind
from trading.lifecycle import IntentState, Stage
from trading.orders import OrderStatus
from trading.positions import opened_book
from trading.reconciliation import Expected
from trading.testing import example_decision, example_intent

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
OPENING = opened_book(currency="USD", deposit_micros=DEPOSIT)
EXPECTED = Expected(book=BOOK, session=SESSION, at_open=OPENING)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
QUANTITY = 100
LATE_S = SETTLE_TIME_S_MAX


@pytest.fixture(scope="module")
def decided(tmp_path_factory) -> Path:
    """Make a journal with one approved intent once; each case works on its own copy."""
    path = tmp_path_factory.mktemp("decided") / "journal.db"
    with SqlJournal(f"sqlite:///{path}") as journal:
        journal.opening_book(**OF, previous=None, opened=OPENING, now=EARLY)
        intent = example_intent("AAPL", quantity=QUANTITY, session=SESSION)
        decision = example_decision(intent, not_after=CLOSE, account=ACCOUNT)
        journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="d", now=EARLY)
    return path


@pytest.fixture(scope="module")
def server():
    """Serve whichever broker a case puts behind it."""
    with BrokerServer(None) as serving:
        threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield serving
        serving.shutdown()


@pytest.fixture(scope="module")
def client_of(server):
    """Give the client for what a broker declares; it keeps no connection and nothing else between calls."""
    with ExitStack() as opened:
        yield cache(
            lambda capabilities, timeout_s: opened.enter_context(
                HttpPaperBroker(server.url, capabilities=capabilities, timeout_s=timeout_s)
            )
        )


class Day:
    """Run one executor after the other on one desk: each with objects of its own, as after a crash."""

    def __init__(self, folder, decided, server, client_of):
        self.folder, self.server, self.client_of = folder, server, client_of
        self.journal_path = folder / "journal.db"
        shutil.copy(decided, self.journal_path)

    def behave(self, behaviour):
        """Let the broker go on as another one: same ledger, other manners."""
        self.server.broker = PaperBroker(
            self.folder / "broker.db",
            account=ACCOUNT,
            deposit_micros=DEPOSIT,
            market=Market(AAPL=10**6),
            fill_model=MODEL,
            calendar=CALENDAR,
            behaviour=behaviour,
        )

    def journal(self):
        return SqlJournal(f"sqlite:///{self.journal_path}")

    def run(self, now, *, timeout_s=10.0, send_by=CLOSE):
        """Execute before the close, settle after it; whatever comes of it is in the journal."""
        with self.journal() as journal:
            desk = Desk(
                journal=journal,
                broker=self.client_of(self.server.broker.capabilities, timeout_s),
                lock=ExecutorFileLock(self.folder, account=ACCOUNT),
                audit=AuditFile(journal, self.folder / "audit.jsonl"),
                clock=lambda: now,
                account=ACCOUNT,
                lane=LANE,
                holder="test",
            )
            of = {"book": BOOK, "session": SESSION, "since": SESSION}
            if now >= CLOSE:
                outcomes = settle_orders(desk, **of, expected=EXPECTED, actor="test")
            else:
                outcomes = execute_session(
                    desk, **of, book_at_open=OPENING, review=lambda *_: PASSED, send_by=send_by
                )
            desk.audit.project()
            return outcomes

    def runs(self, times, *, timeout_s=10.0):
        """Run at each time, with a time-out of its own for the first, which sends."""
        first, *later = times
        self.run(first, timeout_s=timeout_s)
        for now in later:
            self.run(now)

    def ask_cancel(self, kind, now):
        with self.journal() as journal:
            intent_id = journal.intents(**OF)[0].intent_id
            ask_cancel(journal, intent_id, kind=kind, actor="ann", reason="changed my mind", now=now)

    def left(self, as_of):
        """Return what the day left, once nothing changes any more, all invariants looked at."""
        # What is still absent so long after is told once more, which a person's word needs.
        self.run(as_of)
        before = self._evidence(as_of)
        self.run(as_of)
        evidence = self._evidence(as_of)
        assert _lasting(evidence) == _lasting(before)
        return Left(evidence)

    def _evidence(self, as_of):
        with self.journal() as journal:
            return gather(
                journal,
                audit_path=self.folder / "audit.jsonl",
                dumps=[self.server.broker.dump()],
                is_healed=True,
                as_of=as_of,
            )


def _lasting(evidence):
    """Return what one more run must not change: it begins a term and reconciles, and no more."""
    lasting = [event for event in evidence.events if event.kind not in {EXECUTOR_BEGAN, RECONCILED}]
    tables = {table: rows for table, rows in evidence.tables.items() if table != "executors"}
    kinds = tuple(event.kind for event in lasting)
    return replace(evidence, events=kinds, tables=tables, terms=(), audit_lines=None)


class End(StrEnum):
    """Say how a day ended for its intent."""

    SENT = "executed, with the answer to its send"
    ADOPTED = "executed, found under its id"
    RESENT = "executed, with its second send"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    PARKED = "parked"
    OPEN = "still open"


class Left:
    """Hold what a day left, in the words of the tables."""

    def __init__(self, evidence):
        self.violations = violations(evidence)
        self.row = evidence.intents[0]
        self.orders = evidence.orders
        self.dump = evidence.dumps[0]
        self.steps = {event.kind for event in evidence.events if event.intent_id}
        self.incidents = evidence.incidents
        self.halts = {halt.symbol or "account" for halt in evidence.halts}
        self.was_absent = "absent_at_broker" in self.steps

    @property
    def end(self):
        match self.row.state:
            case IntentState.EXECUTED if "prepared_again" in self.steps:
                return End.RESENT
            case IntentState.EXECUTED:
                return End.ADOPTED if "found" in self.steps else End.SENT
            case IntentState.UNKNOWN if self.row.stage is Stage.PARKED:
                return End.PARKED
            case state if state.is_open:
                return End.OPEN
            case state:
                return End(state.value)

    @property
    def kinds(self):
        return {incident.kind for incident in self.incidents}

    def is_told_of(self):
        return any(incident.intent_id == self.row.intent_id for incident in self.incidents)


@pytest.fixture
def day(tmp_path, decided, server, client_of):
    return Day(tmp_path, decided, server, client_of)


# -------------------------------------------------------------------------------- what is sent


MEMORIES = {
    "good": Behaviour(),
    "window": Behaviour(scope=DedupScope.WINDOW, window_s=WINDOW_S),
    "session": Behaviour(scope=DedupScope.SESSION),
    "open_only": Behaviour(scope=DedupScope.OPEN_ONLY),
    "never": Behaviour(scope=DedupScope.NONE),
    "liar": Behaviour(scope=DedupScope.NONE, claims=DedupScope.ALL_TIME),
}
"""How long a broker remembers an id; the liar says that it never forgets, and forgets at once."""

EXTREMES = ("good", "never")
"""The memories that a send is lived on where none is asked for.

How long an id is remembered says what becomes of an order that is absent, and nothing else
(`trading.protocol.after_absence`): a day on which none ever is says so itself, by `Left.was_absent`.
"""

S, A, R, F, X, P, D = End.SENT, End.ADOPTED, End.RESENT, End.FAILED, End.EXPIRED, End.PARKED, End.OPEN

# By memory, in the order of MEMORIES: good, window, session, open only, never, liar.
RECOVERED_SOON = {
    None: (S, S, S, S, S, S),
    SendFault.SLOW: (A, A, A, A, A, A),
    SendFault.LATE: (R, A, A, A, A, D),
    SendFault.RESET_BEFORE: (R, R, R, P, P, R),
    SendFault.RESET_AFTER: (A, A, A, A, A, A),
    SendFault.RATE_LIMITED: (R, R, R, P, P, R),
    SendFault.FAILED_BEFORE: (R, R, R, P, P, R),
    SendFault.FAILED_AFTER: (A, A, A, A, A, A),
    SendFault.HALF_REPLY: (A, A, A, A, A, A),
    SendFault.REFUSED: (F, F, F, F, F, F),
    SendFault.OTHER_QUANTITY: (P, P, P, P, P, P),
    SendFault.DUPLICATE_ANSWER: (S, S, S, S, S, S),
}
"""What becomes of a send, where the next run is a minute later."""

RECOVERED_IN_THE_EVENING = {
    **RECOVERED_SOON,
    SendFault.LATE: (A, A, A, A, A, A),
    SendFault.RESET_BEFORE: (X, P, P, P, P, X),
    SendFault.RATE_LIMITED: (X, P, P, P, P, X),
    SendFault.FAILED_BEFORE: (X, P, P, P, P, X),
}
"""Where it is after the close: it is too late to send again, and only a good memory ends what is absent."""

NOT_ACCEPTED = (SendFault.RESET_BEFORE, SendFault.RATE_LIMITED, SendFault.FAILED_BEFORE)
ABSENT_AT_FIRST = (SendFault.LATE, *NOT_ACCEPTED)
NEVER_ACCEPTED = dict.fromkeys(NOT_ACCEPTED, (X, P, P, P, P, X))
"""Where every send under the id meets with the fault."""

DAY = (EARLY, EARLY + timedelta(minutes=1), OPEN + timedelta(seconds=LATE_S + 60), LATER)
LONG_AFTER = LATER + timedelta(hours=1)


def cases(table):
    return [
        pytest.param(memory, fault, end, id=f"{memory}-{fault}")
        for fault, ends in table.items()
        for memory, end in zip(MEMORIES, ends, strict=True)
        if memory in EXTREMES or fault in ABSENT_AT_FIRST
    ]


def send_badly(day, memory, *script, times):
    """Live a day on which sends meet with faults; a client gives up before a slow broker answers."""
    is_slow = SendFault.SLOW in script
    day.behave(replace(MEMORIES[memory], script=script, late_s=LATE_S, slow_s=SLOW_S))
    day.runs(times, timeout_s=IMPATIENT_S if is_slow else 10.0)
    return day.left(LONG_AFTER)


SLOW_S, IMPATIENT_S = 0.8, 0.4


def holds_what_it_promises(left):
    """Hold a day to the promise: one order an id, nothing lost, whatever ended otherwise told to people."""
    ids = [order.client_order_id for order in left.dump.orders]

    assert left.violations == ()
    assert len(ids) == len(set(ids))
    assert left.end not in {End.PARKED, End.OPEN} or left.is_told_of()


@pytest.mark.parametrize(("memory", "fault", "end"), cases(RECOVERED_SOON))
def test_whatever_becomes_of_a_send_recovery_ends_it_as_the_table_says(day, memory, fault, end):
    left = send_badly(day, memory, fault, times=DAY)

    assert left.end is end
    assert left.was_absent is (fault in ABSENT_AT_FIRST)
    if end is not End.OPEN:
        holds_what_it_promises(left)
        assert len(left.dump.arrivals) == (2 if end is End.RESENT else 1)
        return
    # Only a broker that lies about its memory takes two orders of one id: it is named, and nothing goes on.
    assert [violation.invariant for violation in left.violations] == [INV1]
    assert {"two_orders_of_one_id", "position_mismatch"} <= left.kinds
    assert left.halts == {"account", "AAPL"}
    assert len(left.orders) == 1
    assert left.row.filled_quantity <= QUANTITY


@pytest.mark.parametrize(("memory", "fault", "end"), cases(RECOVERED_IN_THE_EVENING))
def test_what_is_recovered_after_the_close_is_never_sent_again(day, memory, fault, end):
    left = send_badly(day, memory, fault, times=(EARLY, LATER))

    assert left.end is end
    assert left.was_absent is (fault in NOT_ACCEPTED)
    holds_what_it_promises(left)
    assert len(left.dump.arrivals) == 1


@pytest.mark.parametrize(("memory", "fault", "end"), cases(NEVER_ACCEPTED))
def test_sends_that_never_get_through_end_or_are_parked(day, memory, fault, end):
    left = send_badly(day, memory, *[fault] * 9, times=DAY)

    assert left.end is end
    holds_what_it_promises(left)
    assert left.dump.orders == ()


def test_another_order_than_was_sent_halts_the_account(day):
    left = send_badly(day, "good", SendFault.OTHER_QUANTITY, times=DAY)

    assert left.halts == {"account", "AAPL"}
    assert {"order_mismatch", "parked", "position_mismatch", "cash_mismatch"} == left.kinds
    assert left.row.filled_quantity == 0


def test_every_fault_of_a_send_is_in_the_tables():
    assert set(RECOVERED_SOON) == set(RECOVERED_IN_THE_EVENING) == {None, *SendFault}


def test_an_order_that_arrives_after_a_person_said_that_there_is_none_is_a_zombie_and_cancelled(day):
    day.behave(replace(MEMORIES["never"], script=(SendFault.LATE,), late_s=LATE_S))
    day.runs(DAY[:2])
    with day.journal() as journal:
        row = journal.intents(**OF)[0]
        assert row.stage is Stage.PARKED
        with pytest.raises(IllegalTransition, match="it may have arrived since"):
            conclude_parked(journal, row.intent_id, actor="ann", reason="not in their list", now=DAY[1])
        word = {"reason": "they said so", "is_on_word": True}
        conclude_parked(journal, row.intent_id, actor="ann", **word, now=DAY[1])
    before_the_open = EARLY + timedelta(seconds=LATE_S)
    day.run(before_the_open)
    left = day.left(LONG_AFTER)

    assert left.end is End.FAILED
    assert [order.status for order in left.dump.orders] == [OrderStatus.CANCELLED]
    assert "zombie" in left.kinds
    assert left.halts == {"account"}
    holds_what_it_promises(left)


def test_a_person_cannot_say_that_there_is_none_before_the_latest_order_has_arrived(day):
    day.behave(replace(MEMORIES["never"], script=(SendFault.LATE,), late_s=LATE_S))
    for since_s in (0, 30, LATE_S - 1):
        now = EARLY + timedelta(seconds=since_s)
        day.run(now, send_by=EARLY + timedelta(seconds=6))
    with day.journal() as journal:
        row = journal.intents(**OF)[0]
        assert row.stage is Stage.PARKED
        with pytest.raises(IllegalTransition, match="it may have arrived since"):
            conclude_parked(journal, row.intent_id, actor="ann", reason="not in their list", now=now)
    day.run(EARLY + timedelta(seconds=LATE_S))
    left = day.left(LONG_AFTER)

    assert left.end is End.ADOPTED
    holds_what_it_promises(left)


# -------------------------------------------------------------------------------- what is told


REPORTED = {
    (): (QUANTITY, set(), set()),
    (ReportFault.LATE_FILLS,): (QUANTITY, set(), set()),
    (ReportFault.REORDERED_FILLS,): (QUANTITY, set(), set()),
    (ReportFault.REPEATED_FILLS,): (QUANTITY, set(), set()),
    (ReportFault.FILLS_WITHOUT_ID,): (QUANTITY, set(), set()),
    (ReportFault.BUST,): (QUANTITY, {"bust"}, {"AAPL"}),
    (ReportFault.PART_THEN_CANCELLED,): (QUANTITY // 2, set(), set()),
    (ReportFault.PART_THEN_REJECTED,): (QUANTITY // 2, set(), set()),
    (ReportFault.QUERY_LOST,): (QUANTITY, set(), set()),
    (ReportFault.LIST_CUT,): (QUANTITY, set(), set()),
    (ReportFault.QUERY_LIMITED,): (QUANTITY, set(), set()),
    (ReportFault.REORDERED_FILLS, ReportFault.FILLS_WITHOUT_ID): (QUANTITY, set(), set()),
    (ReportFault.REORDERED_FILLS, ReportFault.BUST): (QUANTITY, {"bust"}, {"AAPL"}),
    (ReportFault.REPEATED_FILLS, ReportFault.BUST): (QUANTITY, {"bust"}, {"AAPL"}),
    (ReportFault.PART_THEN_CANCELLED, ReportFault.BUST): (QUANTITY // 2, {"bust"}, {"AAPL"}),
    (ReportFault.PART_THEN_REJECTED, ReportFault.BUST): (QUANTITY // 2, {"bust"}, {"AAPL"}),
}
"""What is booked of an order that the broker tells of badly, what people are told, and what is halted."""

CHANCES = {ReportFault.QUERY_LOST: 4_000, ReportFault.LIST_CUT: 3_000, ReportFault.QUERY_LIMITED: 4_000}
"""What each question may meet with happens to some; everything else to the order, so always."""


def told_badly(memory, faults, *script):
    return replace(
        MEMORIES[memory],
        script=script,
        reports={fault: CHANCES.get(fault, 10_000) for fault in faults},
        executions=3,
        late_s=LATE_S,
    )


@pytest.mark.parametrize("faults", REPORTED, ids="+".join)
def test_however_an_order_is_told_of_it_is_booked_as_it_was_made(day, faults):
    day.behave(told_badly("never", faults))
    day.runs((EARLY, OPEN, *DAY[2:]))
    left = day.left(LONG_AFTER)

    assert left.end is End.SENT
    assert (left.row.filled_quantity, left.kinds, left.halts) == REPORTED[faults]
    assert left.row.complete is (left.row.filled_quantity == QUANTITY)
    assert not left.was_absent
    holds_what_it_promises(left)


@pytest.mark.parametrize("faults", REPORTED, ids="+".join)
def test_an_order_that_is_adopted_is_booked_as_it_was_made_too(day, faults):
    day.behave(told_badly("never", faults, SendFault.RESET_AFTER))
    # A question that is lost puts a run off: there is another one.
    day.runs((EARLY, LATER, LATER, LATER))
    left = day.left(LONG_AFTER)

    assert left.end is End.ADOPTED
    assert (left.row.filled_quantity, left.kinds, left.halts) == REPORTED[faults]
    holds_what_it_promises(left)


def test_executions_that_are_told_twice_without_a_name_are_not_booked_at_all(day):
    day.behave(told_badly("good", (ReportFault.REPEATED_FILLS, ReportFault.FILLS_WITHOUT_ID)))
    day.runs(DAY)
    left = day.left(LONG_AFTER)

    assert left.end is End.OPEN
    assert left.row.filled_quantity == 0
    assert left.kinds == {"fill_refused", "position_mismatch", "cash_mismatch"}
    assert left.halts == {"account", "AAPL"}
    holds_what_it_promises(left)


def test_a_bust_that_names_what_nobody_was_told_of_halts_the_account(day):
    day.behave(told_badly("good", (ReportFault.BUST, ReportFault.FILLS_WITHOUT_ID)))
    day.runs(DAY)
    left = day.left(LONG_AFTER)

    assert "fill_refused" in left.kinds
    assert "account" in left.halts
    holds_what_it_promises(left)


def test_executions_that_are_told_late_hold_nobody_up_and_halt_nothing(day):
    day.behave(told_badly("good", (ReportFault.LATE_FILLS,)))
    day.runs(DAY[:2])
    outcomes = day.run(OPEN)
    with day.journal() as journal:
        row = journal.intents(**OF)[0]
        assert (row.stage, row.filled_quantity) == (Stage.WORKING, 0)
        assert (journal.halts(), journal.incidents()) == ([], [])

    assert outcomes.halted == ""
    assert outcomes.still_open == (row.intent_id,)
    assert outcomes.findings == ()


@pytest.mark.parametrize(("back_at", "end"), [(DAY[1], End.SENT), (LATER, End.EXPIRED)])
def test_a_broker_that_answers_no_question_is_sent_nothing_until_it_does(day, back_at, end):
    day.behave(Behaviour(reports={ReportFault.QUERY_LOST: 10_000}))
    outcomes = day.run(EARLY)
    assert outcomes.halted.startswith("broker_unavailable: ")
    assert day.server.broker.dump().arrivals == ()
    day.behave(Behaviour())
    day.runs([now for now in DAY if now >= back_at])
    left = day.left(LONG_AFTER)

    assert left.end is end
    holds_what_it_promises(left)


# -------------------------------------------------------------------------------- what is cancelled


CANCELLED = {
    (CancelKind.CANCEL, ()): (End.CANCELLED, 0, 1),
    (CancelKind.CANCEL, (ReportFault.CANCEL_LOST,)): (End.SENT, QUANTITY, 1),
    (CancelKind.CANCEL, (ReportFault.CANCEL_THEN_FILLED,)): (End.SENT, QUANTITY, 1),
    (CancelKind.CANCEL, (ReportFault.CANCEL_THEN_FILLED, ReportFault.PART_THEN_CANCELLED)): (End.SENT, 50, 1),
    (CancelKind.CANCEL, (ReportFault.QUERY_LOST,)): (End.CANCELLED, 0, 1),
    (CancelKind.CANCEL, (ReportFault.LIST_CUT,)): (End.CANCELLED, 0, 1),
    (CancelKind.REPLACE, ()): (End.SENT, QUANTITY, 2),
    (CancelKind.REPLACE, (ReportFault.CANCEL_LOST,)): (End.SENT, QUANTITY, 1),
    (CancelKind.REPLACE, (ReportFault.CANCEL_THEN_FILLED,)): (End.SENT, QUANTITY, 1),
    (CancelKind.REPLACE, (ReportFault.PART_THEN_CANCELLED,)): (End.SENT, 50, 2),
    (CancelKind.REPLACE, (ReportFault.PART_THEN_REJECTED,)): (End.SENT, 50, 2),
    (CancelKind.REPLACE, (ReportFault.QUERY_LOST,)): (End.SENT, QUANTITY, 2),
    (CancelKind.REPLACE, (ReportFault.LIST_CUT,)): (End.SENT, QUANTITY, 2),
}
"""How an intent ends whose order was asked to be cancelled, what was filled, and of how many generations."""


@pytest.mark.parametrize(("kind", "faults"), CANCELLED, ids=str)
def test_whatever_becomes_of_a_cancel_the_intent_ends_as_its_order_did(day, kind, faults):
    # Where a second order must not be, the broker is one that would take it.
    day.behave(told_badly("never", faults))
    day.run(EARLY)
    day.ask_cancel(kind, DAY[1])
    day.runs((DAY[1], DAY[1] + timedelta(minutes=1), *DAY[2:]))
    left = day.left(LONG_AFTER)

    assert (left.end, left.row.filled_quantity, len(left.orders)) == CANCELLED[kind, faults]
    assert left.halts == set()
    assert not left.was_absent
    holds_what_it_promises(left)


def test_every_fault_of_a_report_is_in_the_tables():
    told = {fault for faults in REPORTED for fault in faults}
    cancelled = {fault for _, faults in CANCELLED for fault in faults}

    assert told | cancelled == set(ReportFault)
