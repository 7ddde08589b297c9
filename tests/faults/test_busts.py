"""Executions that a broker takes back while an order is open: open again is what they were, and promised.

One that is taken back of an order that has ended is test_reconciliation.py.
"""

from __future__ import annotations

import pytest

from resources.evidence import gather
from resources.journal.store import SqlJournal
from tests.faults.test_reconciliation import (
    ACCOUNT,
    BOOK,
    CLOSE,
    NOW,
    OF,
    PASSED,
    PRICE,
    SESSION,
    SINCE,
    desk,
    halts,
    id_of,
    row_of,
)
from trading.brokers import Holdings
from trading.executions import Outcomes, ask_cancel, execute_session, reconcile_account
from trading.guards import INSUFFICIENT_BUYING_POWER, QUOTE_STALE, SHORTS_NOT_ALLOWED, Why
from trading.invariants import violations
from trading.journal import CancelKind
from trading.lifecycle import IntentState
from trading.orders import OrderStatus
from trading.positions import Book, Position, opened_book
from trading.reconciliation import Expected
from trading.testing import FakeBroker, example_decision, example_intent
from trading.values import Side, Slot, Symbol

AAPL = Symbol("AAPL")
CASH = opened_book(currency="USD", deposit_micros=16 * PRICE)
SHARES = Book(
    currency="USD",
    cash_micros=0,
    deposits_micros=10 * PRICE,
    positions=(Position(AAPL, 10, 10 * PRICE),),
)
STALE = (Why(QUOTE_STALE, 301, 300, 0),)


class TakesBack(FakeBroker):
    """Take executions back, and have what they had changed of the account no more."""

    taken: tuple[str, ...] = ()

    def fills(self, client_order_id, *, now):
        told = super().fills(client_order_id, now=now)
        return told + [
            fill._replace(execution_id=f"bust-{fill.execution_id}", takes_back=fill.execution_id)
            for fill in told
            if fill.execution_id in self.taken
        ]

    def holdings(self, *, now):
        found = super().holdings(now=now)
        quantities, cash = dict(found.quantities), found.cash_micros
        for fill, order in self._executions:
            if fill.execution_id in self.taken:
                sign = 1 if order.side is Side.BUY else -1
                quantities[order.symbol] = quantities.get(order.symbol, 0) - sign * order.quantity
                cash += sign * order.quantity * fill.price_micros
        return Holdings(
            quantities={name: held for name, held in quantities.items() if held}, cash_micros=cash
        )


class Session:
    """Hold one session at a broker that takes executions back."""

    def __init__(self, journal: SqlJournal, book: Book) -> None:
        self.journal, self.book = journal, book
        held = {position.symbol: position.quantity for position in book.positions}
        self.broker = TakesBack(opened=Holdings(quantities=held, cash_micros=book.cash_micros))

    def begin(self, *intents) -> None:
        """Open the book and decide."""
        self.journal.opening_book(**OF, previous=None, opened=self.book, now=NOW)
        decisions = [example_decision(intent, not_after=CLOSE) for intent in intents]
        self.journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)

    def execute(self, review=lambda *_: PASSED) -> Outcomes:
        return execute_session(
            desk(self.journal, self.broker),
            book=BOOK,
            session=SESSION,
            since=SINCE,
            book_at_open=self.book,
            review=review,
            send_by=CLOSE,
        )

    def reconcile(self) -> list[str]:
        expected = Expected(book=BOOK, session=SESSION, at_open=self.book)
        found = reconcile_account(desk(self.journal, self.broker), since=SINCE, expected=expected)
        return [finding.kind.value for finding in found.findings]

    def fill(self, quantity: int) -> str:
        """Fill a part of the first order, and book it."""
        fill = self.broker.fill(id_of(self.broker), quantity, PRICE, now=NOW)
        assert self.reconcile() == []
        return fill.execution_id

    def take_back(self, execution_id: str, status: OrderStatus = OrderStatus.WORKING) -> list[str]:
        """Take the one execution of the first order back; returns what a look then finds."""
        self.broker.taken = (execution_id,)
        self.broker.alter(id_of(self.broker), filled_quantity=0, status=status)
        return self.reconcile()

    def promised(self) -> list[tuple[int, int]]:
        """Return what each order is promised: shares, and dollars; ascending."""
        rows = gather(self.journal).reservations
        return sorted((row.quantity_left, row.micros_left // 10**6) for row in rows)

    def lift(self) -> None:
        for halt in self.journal.halts():
            self.journal.lift_halt(
                account=halt.account, symbol=halt.symbol, actor="ann", reason="seen", now=NOW
            )


@pytest.fixture
def session(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        yield lambda book: Session(journal, book)


def is_affordable(row, view):
    """Guard as the one of buying power does, by what T2 sees."""
    if row.intent.side is Side.SELL:
        return PASSED
    free, needed = view.book.cash_micros - view.reserved_micros, row.quantity * PRICE
    return PASSED if needed <= free else (Why(INSUFFICIENT_BUYING_POWER, needed, free, 0),)


def is_held(row, view):
    """Guard as the one of short sales does, by what T2 sees."""
    free = view.position_quantity(row.intent.symbol) - view.open_sell_quantity(row.intent.symbol)
    return PASSED if row.quantity <= free else (Why(SHORTS_NOT_ALLOWED, row.quantity, free, 0),)


def apart_from(symbol):
    """Have all others pass for now."""
    return lambda row, _: STALE if row.intent.symbol == symbol else PASSED


@pytest.mark.parametrize("is_taken_back", [False, True])
def test_money_that_a_working_buy_needs_again_is_promised_to_no_other(session, is_taken_back):
    at = session(CASH)
    at.begin(example_intent("AAPL", quantity=10), example_intent("MSFT", quantity=8))
    at.execute(apart_from("MSFT"))
    taken = at.fill(4)
    before = at.promised()
    found = at.take_back(taken) if is_taken_back else []
    after = at.promised()
    at.execute(is_affordable)

    assert (before, after) == ([(6, 600)], [(10, 1_000)] if is_taken_back else [(6, 600)])
    assert found == (["bust"] if is_taken_back else [])
    assert [request.symbol for request in at.broker.submitted] == ["AAPL"]
    assert row_of(at.journal, "MSFT").state is IntentState.REJECTED
    assert violations(gather(at.journal)) == ()


@pytest.mark.parametrize("is_taken_back", [False, True])
def test_shares_that_a_working_sale_may_sell_again_are_sold_by_no_other(session, is_taken_back):
    at = session(SHARES)
    at.begin(
        example_intent("AAPL", side=Side.SELL, quantity=10),
        example_intent("AAPL", side=Side.SELL, quantity=4, slot=Slot.STOP),
    )
    at.execute(lambda row, view: STALE if row.intent.slot is Slot.STOP else is_held(row, view))
    taken = at.fill(4)
    if is_taken_back:
        assert at.take_back(taken) == ["bust"]
        at.lift()
    at.execute(is_held)

    assert [request.quantity for request in at.broker.submitted] == [10]
    assert at.promised() == [(10 if is_taken_back else 6, 0)]
    assert violations(gather(at.journal)) == ()


def test_what_fills_after_one_was_taken_back_leaves_of_the_promise_what_is_open(session):
    at = session(CASH)
    at.begin(example_intent("AAPL", quantity=10))
    at.execute()
    at.take_back(at.fill(4))
    at.broker.fill(id_of(at.broker), 3, PRICE, now=NOW)
    at.broker.alter(id_of(at.broker), filled_quantity=3)
    found = at.reconcile()
    promised = at.promised()
    at.broker.end(id_of(at.broker), OrderStatus.CANCELLED)
    ended = at.reconcile()

    assert (found, promised, ended, at.promised()) == ([], [(7, 700)], [], [(0, 0)])
    assert [fill.quantity for fill in at.journal.fills(**OF)] == [3]
    assert row_of(at.journal).state is IntentState.EXECUTED
    assert violations(gather(at.journal)) == ()


def asked_to_replace(at: Session) -> None:
    ask_cancel(
        at.journal,
        row_of(at.journal).intent_id,
        kind=CancelKind.REPLACE,
        actor="ann",
        reason="stale",
        now=NOW,
    )
    at.broker.end(id_of(at.broker), OrderStatus.CANCELLED)


def test_an_order_of_which_something_was_taken_back_is_not_replaced_by_too_small_a_one(session):
    at = session(CASH)
    at.begin(example_intent("AAPL", quantity=10))
    at.execute()
    at.take_back(at.fill(4))
    at.lift()
    asked_to_replace(at)
    outcomes = at.execute()
    row = row_of(at.journal)

    assert [request.quantity for request in at.broker.submitted] == [10]
    assert (outcomes.rejected, outcomes.halted) == (((row.intent_id, "execution_taken_back"),), "")
    assert (row.state, row.complete) == (IntentState.EXECUTED, False)
    assert at.journal.fills(**OF) == []
    assert violations(gather(at.journal)) == ()


def test_what_is_taken_back_of_an_order_that_was_replaced_is_booked_at_once(session):
    at = session(CASH)
    at.begin(example_intent("AAPL", quantity=10))
    at.execute()
    taken = at.fill(4)
    asked_to_replace(at)
    at.execute()
    found = at.take_back(taken, OrderStatus.CANCELLED)

    assert [request.quantity for request in at.broker.submitted] == [10, 6]
    assert (found, halts(at.journal)) == (["bust"], [(ACCOUNT, "AAPL")])
    assert at.journal.fills(**OF) == []
    assert at.promised() == [(0, 0), (6, 600)], "its shares are nobody's order any more"
    assert violations(gather(at.journal)) == ()
