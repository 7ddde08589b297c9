"""The executor under faults: dead at every call, timed out, repeated, raced, refused, misled.

Whatever happens, a broker has at most one order an intent, and no intent is lost.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.journal.lock import ExecutorFileLock
from resources.journal.store import SqlJournal
from trading.brokers import DedupScope, Holdings
from trading.errors import BadSetting, JournalError
from trading.executions import Desk, ExecutorBusy, execute_session, settle_orders
from trading.guards import (
    CLOCK_SKEWED,
    COOLDOWN_ACTIVE,
    EXECUTION_DISABLED,
    GUARDS,
    INSUFFICIENT_BUYING_POWER,
    MISSING_PRICE,
    NO_LIMIT,
    NOT_RECONCILED,
    OPPOSITE_SIDE_CONFLICT,
    ORDER_RATE_EXCEEDED,
    PASS,
    QUOTE_STALE,
    REASONS,
    SESSION_CLOSED,
    Why,
)
from trading.journal import RunControlAction
from trading.lifecycle import IntentState, Stage
from trading.orders import OrderStatus
from trading.positions import Book, Position
from trading.reconciliation import Expected
from trading.testing import (
    REMEMBERS,
    FakeBroker,
    NoAuditLog,
    OpenLock,
    SendOutcome,
    example_decision,
    example_intent,
)
from trading.values import Side, Symbol

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
SESSION = date(2013, 2, 28)
SINCE = date(2013, 2, 26)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
PRICE = 100_000_000
OPENING = Book(
    currency="USD",
    cash_micros=10**12,
    deposits_micros=10**12 + 5 * PRICE,
    positions=(Position(Symbol("IBM"), 5, 5 * PRICE),),
)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
FORGETS = replace(REMEMBERS, dedup_scope=DedupScope.NONE)
CANNOT_SAY = replace(REMEMBERS, is_query_authoritative=False)
INTENTS = (example_intent("AAPL", quantity=10), example_intent("IBM", side=Side.SELL, quantity=5))


OPENED = Holdings(quantities={Symbol("IBM"): 5}, cash_micros=10**12)


def a_broker(**options) -> FakeBroker:
    return FakeBroker(opened=OPENED, **options)


class Killed(BaseException):
    """End a run as a kill would: nothing catches it, nothing is tidied up."""


class Life:
    """Count the moments of a run, and end it at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.moments = 0
        self.last = last

    def tick(self) -> None:
        self.moments += 1
        if self.moments == self.last:
            raise Killed


class Mortal:
    """Pass calls on to a port, with a moment after each: before the next, nothing has changed."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def called(*args: Any, **options: Any) -> Any:
            try:
                return found(*args, **options)
            finally:
                self._life.tick()

        return called


def make_journal(path: Path, intents=INTENTS, account=ACCOUNT) -> None:
    decisions = [example_decision(intent, not_after=CLOSE, account=account) for intent in intents]
    with SqlJournal(f"sqlite:///{path}") as journal:
        journal.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)


@pytest.fixture(scope="module")
def decided(tmp_path_factory) -> Path:
    """Make a journal with two approved intents once; each run works on its own copy."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    make_journal(path)
    return path


@pytest.fixture
def path(decided, tmp_path) -> Path:
    return Path(shutil.copy(decided, tmp_path / "journal.db"))


@pytest.fixture
def journal(path):
    with SqlJournal(f"sqlite:///{path}") as opened:
        yield opened


def desk_of(journal, broker, *, now, lock=None, account=ACCOUNT, clock=None) -> Desk:
    return Desk(
        journal=journal,
        broker=broker,
        lock=lock or OpenLock(),
        audit=NoAuditLog(),
        clock=clock or (lambda: now),
        account=account,
        lane=LANE,
        holder="test",
    )


def execute(
    journal,
    broker,
    *,
    review=lambda *_: PASSED,
    now=NOW,
    send_by=CLOSE,
    lock=None,
    account=ACCOUNT,
    clock=None,
):
    return execute_session(
        desk_of(journal, broker, now=now, lock=lock, account=account, clock=clock),
        book=BOOK,
        session=SESSION,
        since=SINCE,
        book_at_open=OPENING,
        review=review,
        send_by=send_by,
    )


def settle(journal, broker, *, now=CLOSE):
    return settle_orders(
        desk_of(journal, broker, now=now),
        book=BOOK,
        session=SESSION,
        since=SINCE,
        expected=Expected(book=BOOK, session=SESSION, at_open=OPENING),
        actor="test",
    )


def ends(journal) -> list[tuple[str, str, str, int]]:
    return [
        (row.intent.symbol, row.state.value, row.stage.value, row.filled_quantity)
        for row in journal.intents(**OF)
    ]


def one_order_each(broker: FakeBroker) -> None:
    ids = [request.client_order_id for request in broker.accepted]
    assert len(ids) == len(set(ids)), "an intent has two orders at the broker"


def bytes_are_equal_under_an_id(broker: FakeBroker) -> None:
    seen = {}
    for request in broker.submitted:
        assert seen.setdefault(request.client_order_id, request) == request


# -------------------------------------------------------------------------------- a run without faults


def test_approved_intents_are_sent_once_sells_first_and_end_with_their_fills(journal):
    broker = a_broker(fills_at_micros=PRICE)
    report = execute(journal, broker)

    assert [request.symbol for request in broker.submitted] == ["IBM", "AAPL"]
    assert ends(journal) == [("IBM", "executed", "", 5), ("AAPL", "executed", "", 10)]
    assert (len(report.sent), len(report.closed), report.new_fills, report.halted) == (2, 2, 2, "")
    assert [fill.symbol for fill in journal.fills(**OF)] == ["IBM", "AAPL"]


def test_a_second_run_sends_nothing_and_changes_nothing(journal):
    broker = a_broker(fills_at_micros=PRICE)
    execute(journal, broker)
    intents, events = journal.intents(**OF), journal.events(after=0, limit=999)
    again = execute(journal, broker)

    assert len(broker.submitted) == 2
    assert journal.intents(**OF) == intents
    added = journal.events(after=len(events), limit=999)
    assert [event.kind for event in added] == ["executor_began", "reconciled"]
    assert again.sent == again.closed == ()


def test_what_is_not_approved_is_not_sent(tmp_path):
    path = tmp_path / "journal.db"
    make_journal(path, account="OTHER")
    broker = a_broker()
    with SqlJournal(f"sqlite:///{path}") as journal:
        execute(journal, broker)
        for row in journal.intents(**OF):
            journal.cancel(row.intent_id, version=row.version, actor="ann", reason="test", now=NOW)
        execute(journal, broker, account="OTHER")

    assert broker.submitted == []


def test_a_guard_on_fresh_data_stops_an_intent_for_good(journal):
    broker = a_broker(fills_at_micros=PRICE)

    def no_price_for_apple(row, funds):
        return (Why(MISSING_PRICE, 0, 1, 0),) if row.intent.symbol == "AAPL" else PASSED

    report = execute(journal, broker, review=no_price_for_apple)

    assert [reason for _, reason in report.rejected] == ["missing_price"]
    assert [request.symbol for request in broker.submitted] == ["IBM"]
    assert ends(journal)[1] == ("AAPL", "rejected", "", 0)


OLD_QUOTE = Why(QUOTE_STALE, 301, 300, 0)
TEMPORARY = {
    "execution is off": Why(EXECUTION_DISABLED, 0, 1, 0),
    "the quote is too old": OLD_QUOTE,
    "the session is not open yet": Why(SESSION_CLOSED, 0, 1, 0),
    "trading cools down": Why(COOLDOWN_ACTIVE, 1, 0, 0),
    "the broker was not asked yet": Why(NOT_RECONCILED, 0, 1, 0),
    "the clock is wrong": Why(CLOCK_SKEWED, 3, 2, 0),
    "enough was sent in the last minute": Why(ORDER_RATE_EXCEEDED, 300, 300, 0),
    "an order of our own stands on the other side": Why(OPPOSITE_SIDE_CONFLICT, 5, 0, 0),
}
FOR_GOOD = {
    "a quote of another session": Why(QUOTE_STALE, 1, 0, 0),
    "a quote from the future": Why(QUOTE_STALE, -1, 300, 0),
    **{
        REASONS[code]: Why(code, 1, 0, 0)
        for code in REASONS
        if code not in {PASS, QUOTE_STALE, *(why.code for why in TEMPORARY.values())}
    },
}


@pytest.mark.parametrize("why", TEMPORARY.values(), ids=TEMPORARY)
def test_what_time_may_cure_holds_an_intent_and_it_is_sent_once_cured(journal, why):
    broker = a_broker(fills_at_micros=PRICE)
    report = execute(journal, broker, review=lambda *_: (*PASSED, why))

    assert [reason for _, reason in report.held] == [REASONS[why.code]] * 2
    assert report.rejected == ()
    assert broker.submitted == []
    assert [row.state for row in journal.intents(**OF)] == [IntentState.APPROVED] * 2
    assert len(execute(journal, broker).sent) == 2
    one_order_each(broker)


@pytest.mark.parametrize("why", FOR_GOOD.values(), ids=FOR_GOOD)
def test_what_time_does_not_cure_ends_an_intent(journal, why):
    report = execute(journal, a_broker(), review=lambda *_: (*PASSED, why))

    assert [reason for _, reason in report.rejected] == [REASONS[why.code]] * 2
    assert [row.state for row in journal.intents(**OF)] == [IntentState.REJECTED] * 2


def test_the_reason_reported_first_says_whether_an_intent_waits(journal):
    unaffordable = Why(INSUFFICIENT_BUYING_POWER, 2, 1, 0)
    waits = execute(journal, a_broker(), review=lambda *_: (unaffordable, OLD_QUOTE))
    ends_now = execute(journal, a_broker(), review=lambda *_: (Why(MISSING_PRICE, 0, 1, 0), OLD_QUOTE))

    assert [reason for _, reason in waits.held] == ["quote_stale"] * 2
    assert [reason for _, reason in ends_now.rejected] == ["missing_price"] * 2


def test_what_was_held_expires_with_its_session(journal):
    execute(journal, a_broker(), review=lambda *_: (OLD_QUOTE,))

    assert len(settle(journal, a_broker(), now=CLOSE).expired) == 2


def test_a_review_of_a_buy_sees_the_sale_that_filled_before_it(journal):
    seen = {}

    def look(row, funds):
        seen[row.intent.symbol] = funds
        return PASSED

    execute(journal, a_broker(fills_at_micros=PRICE), review=look)

    assert seen["IBM"].position_quantity(Symbol("IBM")) == 5
    assert seen["AAPL"].position_quantity(Symbol("IBM")) == 0
    assert seen["AAPL"].cash_micros == OPENING.cash_micros + 5 * PRICE
    assert seen["AAPL"].reserved_micros == 0


@pytest.mark.parametrize("action", [RunControlAction.HALT, RunControlAction.PAUSE])
def test_a_halt_holds_everything_and_a_resume_lets_it_go(journal, action):
    broker = a_broker(fills_at_micros=PRICE)
    journal.set_run_control(action, actor="ann", reason="stop", now=NOW)
    held = execute(journal, broker)
    assert len(held.held) == 2
    assert broker.submitted == []
    journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="go", now=NOW)

    assert len(execute(journal, broker).sent) == 2


def test_a_halt_between_claim_and_send_gives_the_claim_back(journal):
    broker = a_broker()

    class HaltsAtClaim(Mortal):
        def __getattr__(self, name):
            found = getattr(self._port, name)
            if name != "claim":
                return found

            def claim(*args, **options):
                claimed = found(*args, **options)
                self._port.set_run_control(RunControlAction.HALT, actor="ann", reason="stop", now=NOW)
                return claimed

            return claim

    report = execute(HaltsAtClaim(journal, Life()), broker)

    assert broker.submitted == []
    assert len(report.held) == 2
    assert [row.state for row in journal.intents(**OF)] == [IntentState.APPROVED] * 2


@pytest.mark.parametrize("late", ["send_by", "not_after"])
def test_nothing_goes_out_too_late(journal, late):
    broker = a_broker()
    report = (
        execute(journal, broker, send_by=NOW) if late == "send_by" else execute(journal, broker, now=CLOSE)
    )

    assert broker.submitted == []
    assert (len(report.held), len(report.expired)) == ((2, 0) if late == "send_by" else (0, 2))


def test_what_comes_too_late_within_a_run_is_held_and_a_later_run_sends_it(journal):
    broker = a_broker(fills_at_micros=PRICE)
    send_by = NOW + timedelta(seconds=60)
    slow = SlowBroker(broker, takes=timedelta(seconds=61))
    first = execute(journal, slow, send_by=send_by, clock=slow.clock)

    assert [request.symbol for request in broker.submitted] == ["IBM"]
    assert [reason.split(":")[0] for _, reason in first.held] == ["send_by_near"]
    assert ends(journal)[1] == ("AAPL", "approved", "", 0)
    later = NOW + timedelta(seconds=120)
    assert len(execute(journal, broker, now=later, send_by=later + timedelta(seconds=60)).sent) == 1
    one_order_each(broker)


class SlowBroker(Mortal):
    """Let each send take its time on a clock of its own."""

    def __init__(self, port: Any, takes: timedelta) -> None:
        super().__init__(port, Life())
        self.at = NOW
        self.takes = takes

    def clock(self) -> datetime:
        return self.at

    def submit(self, request, *, now):
        answer = self._port.submit(request, now=now)
        self.at += self.takes
        return answer


@pytest.mark.parametrize("left_s", [0, 1, 4])
def test_nothing_is_prepared_when_only_seconds_remain(journal, left_s):
    broker = a_broker()
    report = execute(journal, broker, send_by=NOW + timedelta(seconds=left_s))

    assert len(report.held) == 2
    assert journal.orders(**OF) == []


def test_what_was_prepared_in_time_is_not_sent_late_and_is_found_unsent_by_the_next_run(journal):
    broker = a_broker(fills_at_micros=PRICE)
    send_by = NOW + timedelta(seconds=60)
    slow = SlowJournal(journal, takes=timedelta(seconds=61))
    late = execute(slow, broker, send_by=send_by, clock=slow.clock)

    assert broker.submitted == []
    assert len(late.unknown) == 1
    assert [row.reason for row in journal.intents(**OF)] == ["late_before_send", "within_policy"]
    assert len(late.held) == 1
    later = NOW + timedelta(seconds=120)
    again = execute(journal, broker, now=later, send_by=later + timedelta(seconds=60))

    assert (len(again.resent), len(again.sent)) == (1, 2)
    one_order_each(broker)


class SlowJournal(SlowBroker):
    """Let each preparation take its time, as behind another writer's lock."""

    def prepare(self, intent_id, **options):
        prepared = self._port.prepare(intent_id, **options)
        self.at += self.takes
        return prepared


def test_an_unproven_send_is_not_ended_because_a_run_has_no_time_left(journal):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT] * 2, fills_at_micros=PRICE)
    execute(journal, broker)
    short = execute(journal, broker, send_by=NOW)

    assert (len(short.held), short.expired) == (2, ())
    assert [row.state for row in journal.intents(**OF)] == [IntentState.UNKNOWN] * 2
    assert len(execute(journal, broker).resent) == 2


def test_a_definitive_refusal_ends_the_intent(journal):
    broker = a_broker(outcomes=[SendOutcome.REFUSE], fills_at_micros=PRICE)
    report = execute(journal, broker)

    assert [reason for _, reason in report.failed] == ["refused: by the script"]
    assert ends(journal) == [("IBM", "failed", "", 0), ("AAPL", "executed", "", 10)]


# -------------------------------------------------------------------------------- unproven outcomes


def test_a_send_that_timed_out_after_arriving_is_found_and_adopted(journal):
    broker = a_broker(outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT], fills_at_micros=PRICE)
    first = execute(journal, broker)
    assert ends(journal)[0] == ("IBM", "unknown", "", 0)
    assert [order.status for order in journal.orders(**OF) if order.request.symbol == "IBM"] == ["unknown"]
    second = execute(journal, broker)

    assert (len(first.unknown), len(second.adopted)) == (1, 1)
    assert ends(journal) == [("IBM", "executed", "", 5), ("AAPL", "executed", "", 10)]
    assert len(broker.submitted) == 2


def test_a_send_that_never_arrived_is_sent_again_under_the_same_id(journal):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT], fills_at_micros=PRICE)
    execute(journal, broker)
    report = execute(journal, broker)

    assert (len(report.resent), len(report.sent)) == (1, 1)
    assert [request.symbol for request in broker.submitted] == ["IBM", "AAPL", "IBM"]
    assert ends(journal) == [("IBM", "executed", "", 5), ("AAPL", "executed", "", 10)]
    bytes_are_equal_under_an_id(broker)


@pytest.mark.parametrize("capabilities", [FORGETS, CANNOT_SAY])
def test_an_absence_that_proves_nothing_is_parked_and_told(journal, capabilities):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT], capabilities=capabilities, fills_at_micros=PRICE)
    execute(journal, broker)
    for _ in range(3):
        report = execute(journal, broker)
        assert len(report.parked) == 1

    assert [request.symbol for request in broker.submitted] == ["IBM", "AAPL"]
    assert ends(journal)[0] == ("IBM", "unknown", "parked", 0)
    assert [incident.kind for incident in journal.incidents()] == ["parked"]


def test_a_parked_order_that_turns_up_is_adopted(journal):
    broker = a_broker(
        outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT], capabilities=FORGETS, fills_at_micros=PRICE
    )
    execute(journal, broker)
    (client_order_id,) = [r.client_order_id for r in broker.submitted if r.symbol == "IBM"]
    broker.hidden.add(client_order_id)
    assert len(execute(journal, broker).parked) == 1
    broker.hidden.clear()

    assert len(execute(journal, broker).adopted) == 1
    assert ends(journal)[0] == ("IBM", "executed", "", 5)


def test_a_refusal_after_an_unproven_send_proves_nothing(journal):
    broker = a_broker(
        outcomes=[SendOutcome.TIME_OUT, SendOutcome.ACCEPT, SendOutcome.REFUSE], fills_at_micros=PRICE
    )
    execute(journal, broker)
    report = execute(journal, broker)

    assert report.failed == ()
    assert ends(journal)[0] == ("IBM", "unknown", "", 0)


def test_an_absent_order_that_a_guard_would_now_stop_fails_with_that_reason(journal):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT] * 2)
    execute(journal, broker)
    held = execute(journal, broker, review=lambda *_: (OLD_QUOTE,))
    assert [reason for _, reason in held.held] == ["quote_stale"] * 2
    assert [row.state for row in journal.intents(**OF)] == [IntentState.UNKNOWN] * 2
    report = execute(journal, broker, review=lambda *_: (Why(MISSING_PRICE, 0, 1, 0),))

    assert [reason for _, reason in report.failed] == ["missing_price", "missing_price"]
    assert [row.state for row in journal.intents(**OF)] == [IntentState.FAILED] * 2
    assert len(broker.submitted) == 2


@pytest.mark.parametrize(
    "memory",
    [{"dedup_scope": DedupScope.SESSION}, {"dedup_scope": DedupScope.WINDOW, "dedup_window_s": 60}],
    ids=["session", "window"],
)
def test_where_a_broker_forgets_in_time_a_person_ends_what_a_guard_would_now_stop(journal, memory):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT] * 2, capabilities=replace(REMEMBERS, **memory))
    execute(journal, broker)
    report = execute(journal, broker, review=lambda *_: (Why(MISSING_PRICE, 0, 1, 0),))

    assert (report.failed, len(report.still_open)) == ((), 2)
    assert [row.state for row in journal.intents(**OF)] == [IntentState.UNKNOWN] * 2
    assert len(settle(journal, broker).parked) == 2
    assert len(broker.submitted) == 2


def test_an_absent_order_is_not_concluded_before_the_brokers_settle_time(journal):
    slow = replace(REMEMBERS, settle_time_s=60)
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT] * 2, capabilities=slow)
    execute(journal, broker)
    early = settle(journal, broker, now=CLOSE)
    later = settle(journal, broker, now=CLOSE + timedelta(seconds=60))

    assert (len(early.still_open), len(early.expired)) == (2, 0)
    assert len(later.expired) == 2
    assert [row.state for row in journal.intents(**OF)] == [IntentState.EXPIRED] * 2


@pytest.mark.parametrize("when", ["at once", "after a time-out"])
def test_an_order_that_is_not_what_was_sent_halts_the_account(journal, when):
    broker = a_broker(outcomes=[SendOutcome.ACCEPT_OTHER_QUANTITY])
    if when == "after a time-out":
        broker = a_broker(outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT, SendOutcome.REFUSE])
        execute(journal, broker)
        (known,) = broker.accepted
        broker.alter(known.client_order_id, quantity=99)
    execute(journal, broker)

    assert [(halt.account, halt.symbol) for halt in journal.halts()] == [(ACCOUNT, "")]
    assert "order_mismatch" in [incident.kind for incident in journal.incidents()]
    assert ends(journal)[0][:2] == ("IBM", "unknown")


def test_a_broker_that_cannot_be_asked_stops_the_run_and_leaves_what_is_unknown(journal):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT] * 2)
    execute(journal, broker)
    broker.is_down = True
    report = execute(journal, broker)

    assert report.halted.startswith("broker_unavailable")
    assert [row.state for row in journal.intents(**OF)] == [IntentState.UNKNOWN] * 2
    assert len(broker.submitted) == 2


def test_an_order_that_vanishes_after_it_was_acknowledged_is_parked_never_sent_again(journal):
    broker = a_broker()
    execute(journal, broker)
    broker.hidden.update(request.client_order_id for request in broker.submitted)
    for _ in range(2):
        report = execute(journal, broker)
        assert len(report.parked) == 2

    assert len(broker.submitted) == 2
    assert [row.stage for row in journal.intents(**OF)] == [Stage.PARKED] * 2


def test_more_filled_than_was_sent_is_an_incident_and_not_booked(journal):
    broker = a_broker()
    execute(journal, broker)
    (sold, _) = broker.submitted
    broker.fill(sold.client_order_id, 6, PRICE, now=NOW)
    report = execute(journal, broker)

    assert "fill_refused" in [incident.kind for incident in journal.incidents()]
    assert [(halt.account, halt.symbol) for halt in journal.halts()] == [(ACCOUNT, ""), (ACCOUNT, "IBM")]
    assert journal.fills(**OF) == []
    assert len(report.still_open) == 2


# -------------------------------------------------------------------------------- after the close


def test_a_part_filled_order_ends_executed_but_not_complete(journal):
    broker = a_broker()
    execute(journal, broker)
    sold, bought = broker.submitted
    broker.fill(sold.client_order_id, 3, PRICE, now=NOW)
    open_report = settle(journal, broker)
    broker.end(sold.client_order_id, OrderStatus.CANCELLED, "session_over")
    broker.end(bought.client_order_id, OrderStatus.CANCELLED, "session_over")
    settle(journal, broker)

    assert len(open_report.still_open) == 2
    assert ends(journal) == [("IBM", "executed", "", 3), ("AAPL", "expired", "", 0)]
    assert [row.complete for row in journal.intents(**OF)] == [False, False]
    journal.settle(**OF, closing=OPENING, carried_by="", now=CLOSE)


def test_what_was_never_sent_expires_at_its_time_and_not_before(journal):
    early = settle(journal, a_broker(), now=CLOSE - timedelta(seconds=1))
    late = settle(journal, a_broker(), now=CLOSE)

    assert (len(early.still_open), len(early.expired)) == (2, 0)
    assert len(late.expired) == 2


def test_settling_never_sends_even_what_is_proven_absent(journal):
    broker = a_broker(outcomes=[SendOutcome.TIME_OUT] * 2)
    execute(journal, broker)
    early = settle(journal, broker, now=NOW)
    settle(journal, broker)

    assert len(early.still_open) == 2
    assert len(broker.submitted) == 2
    assert [row.state for row in journal.intents(**OF)] == [IntentState.EXPIRED] * 2


# -------------------------------------------------------------------------------- dead at every call

SCENARIOS = {
    "two orders": (INTENTS, []),
    "a time-out after arriving": (INTENTS[:1], [SendOutcome.ACCEPT_THEN_TIME_OUT]),
    "a time-out on the way": (INTENTS[:1], [SendOutcome.TIME_OUT]),
}


def mortal_day(path, broker, life) -> None:
    with SqlJournal(f"sqlite:///{path}") as journal:
        execute(Mortal(journal, life), Mortal(broker, life))
        execute(Mortal(journal, life), Mortal(broker, life))
        settle(Mortal(journal, life), Mortal(broker, life))


def moments_of(decided, tmp_path, outcomes, capabilities) -> int:
    life = Life()
    broker = a_broker(outcomes=outcomes, capabilities=capabilities, fills_at_micros=PRICE)
    mortal_day(shutil.copy(decided, tmp_path / "uncut.db"), broker, life)
    return life.moments


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_dead_at_any_moment_a_day_ends_as_if_nothing_had_happened(tmp_path, scenario):
    intents, outcomes = SCENARIOS[scenario]
    decided = tmp_path / "decided.db"
    make_journal(decided, intents)
    moments = moments_of(decided, tmp_path, outcomes, REMEMBERS)
    with SqlJournal(f"sqlite:///{tmp_path / 'uncut.db'}") as journal:
        wanted, wanted_fills = ends(journal), set(journal.fills(**OF))

    for last in range(1, moments + 1):
        path = shutil.copy(decided, tmp_path / f"{last}.db")
        broker = a_broker(outcomes=outcomes, fills_at_micros=PRICE)
        with pytest.raises(Killed):
            mortal_day(path, broker, Life(last))
        mortal_day(path, broker, Life())

        one_order_each(broker)
        bytes_are_equal_under_an_id(broker)
        with SqlJournal(f"sqlite:///{path}") as journal:
            assert ends(journal) == wanted, last
            assert set(journal.fills(**OF)) == wanted_fills, last


def test_dead_at_any_moment_nothing_is_sent_twice_to_a_broker_that_forgets(tmp_path):
    decided = tmp_path / "decided.db"
    make_journal(decided, INTENTS[:1])
    moments = moments_of(decided, tmp_path, [], FORGETS)
    parked = 0
    for last in range(1, moments + 1):
        path = shutil.copy(decided, tmp_path / f"{last}.db")
        broker = a_broker(capabilities=FORGETS, fills_at_micros=PRICE)
        with pytest.raises(Killed):
            mortal_day(path, broker, Life(last))
        mortal_day(path, broker, Life())

        one_order_each(broker)
        with SqlJournal(f"sqlite:///{path}") as journal:
            for row in journal.intents(**OF):
                assert not row.state.is_open or row.stage is Stage.PARKED
                parked += row.stage is Stage.PARKED
            told = [incident.intent_id for incident in journal.incidents()]
            assert told == [row.intent_id for row in journal.intents(**OF) if row.stage is Stage.PARKED]

    assert parked > 0, "no death fell between preparing and sending: the test covers nothing"


# -------------------------------------------------------------------------------- races


@pytest.mark.parametrize("capabilities", [REMEMBERS, FORGETS], ids=["remembers", "forgets"])
def test_executors_that_ignore_the_lock_still_send_one_order_each(path, capabilities):
    broker = a_broker(capabilities=capabilities, fills_at_micros=PRICE)
    start = threading.Barrier(6)

    def run():
        with SqlJournal(f"sqlite:///{path}", busy_timeout_s=30) as journal:
            start.wait()
            try:
                execute(journal, broker)
            except JournalError:
                # Another one took the intent over: this one may not write any more, and does not.
                return

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    one_order_each(broker)
    with SqlJournal(f"sqlite:///{path}") as journal:
        execute(journal, broker)
        settle(journal, broker)
        one_order_each(broker)
        assert all(not row.state.is_open or row.stage is Stage.PARKED for row in journal.intents(**OF))


def test_only_one_executes_for_an_account_and_the_other_is_told_who(journal, tmp_path):
    folder = tmp_path / "locks"
    broker = a_broker(fills_at_micros=PRICE)
    with (
        ExecutorFileLock(folder, account=ACCOUNT),
        pytest.raises(ExecutorBusy, match=rf"account {ACCOUNT}: process \d+ on .* executes for it"),
    ):
        execute(journal, broker, lock=ExecutorFileLock(folder, account=ACCOUNT))
    assert broker.submitted == []
    with ExecutorFileLock(folder, account="OTHER"):
        execute(journal, broker, lock=ExecutorFileLock(folder, account=ACCOUNT))

    assert len(broker.submitted) == 2


def test_a_dead_process_holds_no_lock(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from resources.journal.lock import ExecutorFileLock\n"
        f"with ExecutorFileLock(Path({str(tmp_path)!r}), account='A'):\n"
        "    print('held', flush=True); sys.stdin.read(); os._exit(1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(ExecutorBusy, match=f"process {process.pid} "),
            ExecutorFileLock(tmp_path, account="A"),
        ):
            pass
        process.kill()

    with ExecutorFileLock(tmp_path, account="A") as held:
        assert held.account == "A"


@pytest.mark.parametrize("account", ["", "a/b", "../x"])
def test_an_account_that_is_no_file_name_is_refused(tmp_path, account):
    with pytest.raises(BadSetting, match="without slashes"):
        ExecutorFileLock(tmp_path, account=account)
