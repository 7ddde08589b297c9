"""The journal as a machine: whatever is asked in whatever order, its promises hold after each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from resources.journal.store import SqlJournal
from trading.audit import line_of, verify
from trading.decisions import Outcome
from trading.errors import JournalError, Refused
from trading.guards import NO_LIMIT, PASS, QUOTE_STALE, Why
from trading.journal import RunControlAction
from trading.lifecycle import Event, IntentState, Step, fold
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import opened_book
from trading.testing import example_decision, example_intent
from trading.values import IntentId

if TYPE_CHECKING:
    from tests.adapters.conftest import JournalDatabase

SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": "us_five", "lane": "simulated", "session": SESSION}
OPENED = opened_book(currency="USD", deposit_micros=10**12)
INTENTS = {
    example_intent("AAPL", quantity=5): Outcome.APPROVED,
    example_intent("IBM", quantity=5): Outcome.PENDING_APPROVAL,
}

symbols = st.sampled_from(["AAPL", "AAPL", "AAPL", "IBM"])
# Mostly what the row says, sometimes one too few or too many: stale askers are part of life.
offsets = st.sampled_from([0] * 8 + [-1, 1])


class JournalMachine(RuleBasedStateMachine):
    """Ask a real journal for anything, right or wrong."""

    a_copy: Callable[[], JournalDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.journal = type(self).a_copy().open()
        self.rows = {row.intent.symbol: row for row in self.journal.intents(**OF)}
        self.nonces = 0

    def teardown(self) -> None:
        self.journal.close()

    @initialize(depth=st.integers(0, 4))
    def begin(self, depth) -> None:
        """Begin some way into a life, so that a short walk reaches its end."""
        intent_id = self.rows["AAPL"].intent_id
        if depth > 0:
            self.journal.claim(intent_id, version=1, term=1, holder="x", now=NOW)
        if depth > 1:
            self.send(intent_id)
        if depth > 2:
            asked = self.journal.order_of(intent_id).request
            order = self.heard(asked, OrderStatus.WORKING, 0)
            self.journal.acknowledge(intent_id, epoch=1, order=order, now=NOW)
        if depth > 3:
            self.journal.mark_unknown(intent_id, epoch=1, reason="t", is_takeover=False, now=NOW)

    def send(self, intent_id) -> None:
        self.journal.prepare(
            intent_id,
            epoch=1,
            term=1,
            book_at_open=OPENED,
            review=lambda *_: (Why(PASS, 0, 0, NO_LIMIT),),
            send_by=CLOSE,
            is_live=False,
            now=NOW,
        )

    def heard(self, asked, status, filled) -> BrokerOrder:
        return BrokerOrder(
            broker_order_id="b",
            client_order_id=asked.client_order_id,
            symbol=asked.symbol,
            side=asked.side,
            quantity=asked.quantity,
            filled_quantity=filled,
            status=status,
        )

    def ask(self, deed, symbol, **asked):
        """Ask once; a refusal must leave everything as it was."""
        before = self.journal.events(after=0, limit=9999)
        try:
            deed(self.rows[symbol].intent_id, **asked)
        except (JournalError, Refused):
            assert self.journal.events(after=0, limit=9999) == before
            assert self.journal.intent(self.rows[symbol].intent_id) == self.rows[symbol]

    @rule(symbol=symbols, offset=offsets, is_yes=st.booleans())
    def answer(self, symbol, offset, is_yes):
        row = self.rows[symbol]
        self.nonces += offset == 0
        self.ask(
            self.journal.approve if is_yes else self.journal.reject,
            symbol,
            version=row.version + offset,
            payload_hash=row.payload_hash,
            nonce=f"n-{self.nonces}",
            actor="ann",
            reason="",
            now=NOW,
        )

    @rule(symbol=symbols, offset=offsets, now=st.sampled_from([NOW, NOW, NOW, CLOSE]))
    def claim(self, symbol, offset, now):
        version = self.rows[symbol].version + offset
        self.ask(self.journal.claim, symbol, version=version, term=1, holder="x", now=now)

    @rule(symbol=symbols, offset=offsets, how=st.sampled_from(["expire too early", "expire", "cancel"]))
    @precondition(lambda self: self.nonces > 1)
    def end_unsent(self, symbol, offset, how):
        version = self.rows[symbol].version + offset
        if how == "cancel":
            self.ask(self.journal.cancel, symbol, version=version, actor="x", reason="r", now=NOW)
        else:
            now = CLOSE if how == "expire" else NOW
            self.ask(self.journal.expire, symbol, version=version, actor="x", now=now)

    @rule(symbol=symbols, offset=offsets, passes=st.sampled_from([True, True, True, False]))
    def prepare(self, symbol, offset, passes):
        why = Why(PASS, 0, 0, NO_LIMIT) if passes else Why(QUOTE_STALE, 301, 300, 0)
        asked = {
            "epoch": self.rows[symbol].epoch + offset,
            "term": 1,
            "book_at_open": OPENED,
            "review": lambda *_: (why,),
            "send_by": CLOSE,
            "now": NOW,
        }
        if self.rows[symbol].state is IntentState.UNKNOWN:
            self.ask(self.journal.prepare_again, symbol, **asked)
        else:
            self.ask(self.journal.prepare, symbol, is_live=False, **asked)

    @rule(
        symbol=symbols,
        offset=offsets,
        status=st.sampled_from(OrderStatus),
        filled=st.sampled_from([6, 6, 6, 0, 5]),
    )
    def hear_of_the_order(self, symbol, offset, status, filled):
        row = self.rows[symbol]
        known = self.journal.order_of(row.intent_id)
        if known is None:
            return
        order = self.heard(known.request, status, known.filled_quantity if filled == 6 else filled)
        if status is OrderStatus.UNKNOWN:
            order = replace(order, quantity=order.quantity + 1)
        for deed in (self.journal.acknowledge, self.journal.adopt, self.journal.close_working):
            self.ask(deed, symbol, epoch=row.epoch + offset, order=order, now=NOW)
            if self.journal.intent(row.intent_id) != row:
                return

    @rule(symbol=symbols, number=st.integers(1, 3), quantity=st.sampled_from([1, 2, 5, 6]))
    def fill(self, symbol, number, quantity):
        row = self.rows[symbol]
        known = self.journal.order_of(row.intent_id)
        if known is None:
            return
        fill = Fill(
            execution_id=f"{symbol}-{number}",
            client_order_id=known.client_order_id,
            intent_id=row.intent_id,
            symbol=known.request.symbol,
            side=known.request.side,
            quantity=quantity,
            price_micros=1_000_000,
            commission_micros=0,
            session=SESSION,
            filled_at=NOW,
        )
        self.ask(lambda _, **asked: self.journal.record_fill(fill, **asked), symbol, now=NOW)

    @rule(symbol=symbols, offset=offsets, deed=st.sampled_from(["unknown", "takeover", "refuse", "release"]))
    def lose_or_drop(self, symbol, offset, deed):
        asked = {"epoch": self.rows[symbol].epoch + offset, "reason": deed, "now": NOW}
        if deed == "refuse":
            self.ask(self.journal.refuse, symbol, **asked)
        elif deed == "release":
            self.ask(self.journal.release, symbol, **asked)
        else:
            self.ask(self.journal.mark_unknown, symbol, is_takeover=deed == "takeover", **asked)

    @rule(symbol=symbols, offset=offsets, deed=st.sampled_from(["absent", "absent", "conclude", "park"]))
    def look_for(self, symbol, offset, deed):
        asked = {"epoch": self.rows[symbol].epoch + offset, "now": NOW}
        if deed == "absent":
            self.ask(self.journal.record_absence, symbol, **asked)
        elif deed == "park":
            self.ask(self.journal.park, symbol, reason="p", **asked)
        else:
            self.ask(self.journal.conclude_absent, symbol, reason="c", is_expired=False, **asked)

    @rule(action=st.sampled_from([RunControlAction.HALT, *[RunControlAction.RESUME] * 4]))
    def control(self, action):
        self.journal.set_run_control(action, actor="ann", reason="r", now=NOW)

    @invariant()
    def every_row_is_the_fold_of_its_events_and_went_forward(self):
        for symbol, before in self.rows.items():
            row = self.journal.intent(before.intent_id)
            place = folded(self.journal, before.intent_id)
            assert place is not None
            assert tuple(place) == (
                *(row.state, row.stage, row.version, row.epoch, row.generation),
                *(row.quantity, row.filled_quantity),
            )
            assert (row.version, row.epoch, row.filled_quantity) >= (
                *(before.version, before.epoch, before.filled_quantity),
            )
            assert before.state.is_open or row == before
            self.rows[symbol] = row

    @invariant()
    def fills_orders_and_rows_agree_and_the_chain_holds(self):
        fills = self.journal.fills(**OF)
        for order in self.journal.orders(**OF):
            booked = sum(fill.quantity for fill in fills if fill.client_order_id == order.client_order_id)
            row = self.journal.intent(order.intent_id)
            assert booked == order.filled_quantity == row.filled_quantity <= order.request.quantity
        assert verify(line_of(event) for event in self.journal.events(after=0, limit=9999)) is None

    @invariant()
    def what_is_prepared_passed_its_guards_while_trading_was_on(self):
        is_halted = False
        for event in self.journal.events(after=0, limit=9999):
            if event.kind == "run_control":
                is_halted = event.body["after"]["kill_switch_on"]
            if event.kind in {Step.PREPARED, Step.PREPARED_AGAIN}:
                assert not is_halted
                assert all(code == PASS for code, *_ in event.body["whys"])


def folded(journal: SqlJournal, intent_id: IntentId):
    return fold(
        Event(
            Step(event.kind),
            IntentState(event.body["to"]),
            event.body["version"],
            event.body["epoch"],
            event.body["quantity"],
        )
        for event in journal.events_of(intent_id)
        if event.kind in set(Step)
    )


def test_the_journal_keeps_its_promises_whatever_is_asked_of_it(database, new_database):
    class Machine(JournalMachine):
        a_copy = partial(new_database, copy_of=database)

    with database.open() as journal:
        journal.opening_book(**OF, previous=None, opened=OPENED, now=NOW)
        decisions = [
            example_decision(intent, outcome=outcome, not_after=CLOSE) for intent, outcome in INTENTS.items()
        ]
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
