"""Fills as a machine: reports come in parts, twice, in any order, too late, too many, or are taken back.

Each execution counts once, never more than was sent, and what is booked is what the reports add up to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from proof.desk import CLOSE, DECIDED_AT, IN_TIME, PRICE, SESSION, deposited, passes
from proof.walks import EVENTS_MAX, Machine, hold, put
from resources.evidence import gather
from resources.journal.store import SqlJournal
from trading.errors import BadInput, IllegalTransition, StaleVersion, UnknownId
from trading.invariants import violations
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.testing import example_decision, example_intent
from trading.values import ClientOrderId, Side, Symbol

ACCOUNT, LANE = "SIM-FIVE", "simulated"
OF: dict[str, Any] = {"book": "us_five", "lane": LANE, "session": SESSION}
QUANTITY = 12
REFUSALS = (BadInput, IllegalTransition, StaleVersion, UnknownId)

quantities = st.sampled_from([1, 2, 3, 4, 5, QUANTITY, QUANTITY + 1, 0])
picks = st.integers(0, 999)


class FillsMachine(Machine):
    """Report executions of one working order in every way, and hold the journal against what was reported."""

    def __init__(self) -> None:
        super().__init__()
        (row,) = self.journal.intents(**OF)
        self.intent_id = row.intent_id
        order = self.journal.order_of(self.intent_id)
        if order is None:
            raise AssertionError("the walk begins with a working order")
        self.request = order.request
        self.booked: dict[str, Fill] = {}
        self.taken_back: dict[str, str] = {}
        self.stage = Stage.WORKING
        self.told = 0

    @staticmethod
    def decide(journal: SqlJournal) -> None:
        """Let one order work at the broker."""
        intent = example_intent("AAPL", quantity=QUANTITY)
        decision = example_decision(intent, not_after=CLOSE, account=ACCOUNT, lane=LANE)
        journal.opening_book(**OF, previous=None, opened=deposited(), now=DECIDED_AT)
        (row,) = journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="d", now=DECIDED_AT)
        term = journal.begin_term(account=ACCOUNT, lane=LANE, holder="machine", now=IN_TIME)
        journal.record_reconciled(account=ACCOUNT, lane=LANE, term=term, findings=[], now=IN_TIME)
        row = journal.claim(row.intent_id, version=row.version, term=term, holder="machine", now=IN_TIME)
        prepared = journal.prepare(
            row.intent_id,
            epoch=row.epoch,
            term=term,
            book_at_open=deposited(),
            review=passes,
            send_by=CLOSE,
            is_live=False,
            now=IN_TIME,
        )
        if prepared.order is None:
            raise AssertionError(prepared.reason)
        order = _at_broker(prepared.order.request.client_order_id, OrderStatus.WORKING, 0)
        journal.acknowledge(row.intent_id, epoch=row.epoch, order=order, now=IN_TIME)

    @property
    def filled(self) -> int:
        """Return the shares booked, those taken back included."""
        return sum(fill.quantity for fill in self.booked.values())

    @property
    def left_standing(self) -> int:
        """Return the shares booked and not taken back."""
        return sum(fill.quantity for name, fill in self.booked.items() if name not in self.taken_back)

    def execution(self, name: str, quantity: int) -> Fill:
        """Return an execution of the order."""
        return Fill(
            execution_id=name,
            client_order_id=self.request.client_order_id,
            intent_id=self.intent_id,
            symbol=self.request.symbol,
            side=self.request.side,
            quantity=quantity,
            price_micros=PRICE,
            commission_micros=0,
            session=SESSION,
            filled_at=IN_TIME,
        )

    def ask(self, *, is_right: bool, is_new: bool, question: Any) -> None:
        """Ask, and hold that it is taken where it is right, and changes something where it is new."""
        try:
            answer = question()
        except REFUSALS as refusal:
            hold(not is_right, f"refused: {refusal}")
            hold(not self.grew(), "a refusal leaves nothing behind")
            return
        hold(is_right, "taken, though it is wrong")
        hold(answer is is_new, f"new is {is_new}, told was {answer}")
        hold(self.grew() is is_new, "what is known already changes nothing")

    def report(self, fill: Fill) -> None:
        """Tell of an execution, of which the model knows what has to follow."""
        known = self.booked.get(fill.execution_id)
        is_same = known == fill
        fits = 0 < fill.quantity <= QUANTITY - self.filled and self.stage is Stage.WORKING
        is_ours = (
            self.execution(fill.execution_id, fill.quantity)._replace(price_micros=fill.price_micros) == fill
        )
        is_new = known is None and fits and is_ours
        self.ask(
            is_right=is_same or is_new,
            is_new=is_new,
            question=lambda: self.journal.record_fill(fill, now=IN_TIME),
        )
        if is_new:
            self.booked[fill.execution_id] = fill

    @initialize(parts=st.integers(0, 2))
    def begin(self, parts: int) -> None:
        """Begin with some of it filled."""
        for _ in range(parts):
            self.fill(4)

    @rule(quantity=quantities)
    def fill(self, quantity: int) -> None:
        """Tell of a new execution: of a part, of all, of more than is left, of nothing."""
        self.told += 1
        self.report(self.execution(f"exe-{self.told}", quantity))

    @precondition(lambda self: self.booked)
    @rule(pick=picks)
    def tell_again(self, pick: int) -> None:
        """Tell of a booked execution once more, late or out of its turn."""
        self.report(self.any_booked(pick))

    @precondition(lambda self: self.booked)
    @rule(pick=picks, what=st.sampled_from(["quantity", "price"]))
    def tell_otherwise(self, pick: int, what: str) -> None:
        """Tell something else under an id that is booked."""
        fill = self.any_booked(pick)
        if what == "quantity":
            self.report(fill._replace(quantity=fill.quantity + 1))
        else:
            self.report(fill._replace(price_micros=fill.price_micros + 1))

    @rule(what=st.sampled_from(["order", "symbol", "side"]))
    def tell_of_another(self, what: str) -> None:
        """Tell of an execution that is not of this order."""
        fill = self.execution("exe-other", 1)
        match what:
            case "order":
                self.report(fill._replace(client_order_id=ClientOrderId("ta-other")))
            case "symbol":
                self.report(fill._replace(symbol=Symbol("MSFT")))
            case _:
                self.report(fill._replace(side=Side.SELL))

    @rule(
        pick=picks,
        name=st.sampled_from(["bust-of", "bust-of", "bust-of", "again", ""]),
        is_known=st.booleans(),
    )
    def bust(self, *, pick: int, name: str, is_known: bool) -> None:
        """Take an execution back: a booked one, one never booked, one taken back before, without an id."""
        taken = self.any_booked(pick).execution_id if self.booked and is_known else "exe-never"
        bust_id = f"{name}-{taken}" if name else ""
        earlier = self.taken_back.get(taken)
        is_same = earlier is not None and earlier == bust_id
        is_new = bool(bust_id) and taken in self.booked and earlier is None
        self.ask(
            is_right=is_same or is_new,
            is_new=is_new,
            question=lambda: self.journal.record_bust(
                execution_id=bust_id, takes_back=taken, intent_id=self.intent_id, now=IN_TIME
            ),
        )
        if is_new:
            self.taken_back[taken] = bust_id

    @rule(
        status=st.sampled_from([OrderStatus.CANCELLED, OrderStatus.FILLED, OrderStatus.WORKING]),
        off=st.sampled_from([0, 0, 0, 1, -1]),
    )
    def close(self, status: OrderStatus, off: int) -> None:
        """End the intent, which may be just where the broker has ended the order with what stands booked."""
        row = self.journal.intent(self.intent_id)
        told = self.left_standing + off
        is_right = self.stage is Stage.WORKING and status.is_terminal and off == 0
        order = _at_broker(self.request.client_order_id, status, told)
        try:
            self.journal.close_working(self.intent_id, epoch=row.epoch, order=order, now=CLOSE)
        except REFUSALS as refusal:
            hold(not is_right, f"not ended: {refusal}")
            hold(not self.grew(), "a refusal leaves nothing behind")
            return
        hold(is_right and self.grew(), "ended, though it may not")
        self.stage = Stage.NONE

    @precondition(lambda self: self.stage is Stage.WORKING)
    @rule()
    def lose_and_find(self) -> None:
        """Lose sight of the order, be told of an execution meanwhile, and find the order again."""
        row = self.journal.intent(self.intent_id)
        self.journal.mark_unknown(
            self.intent_id, epoch=row.epoch, reason="lost", is_takeover=True, now=IN_TIME
        )
        self.stage = Stage.NONE
        hold(self.grew(), "what moves has its event")
        self.fill(1)
        order = _at_broker(self.request.client_order_id, OrderStatus.PARTIAL_FILL, self.filled)
        self.journal.adopt(self.intent_id, epoch=row.epoch + 1, order=order, now=IN_TIME)
        hold(self.grew(), "what moves has its event")
        self.stage = Stage.WORKING

    def any_booked(self, pick: int) -> Fill:
        """Return one of the booked executions."""
        return list(self.booked.values())[pick % len(self.booked)]

    @invariant()
    def what_is_booked_is_what_was_reported(self) -> None:
        """Hold rows, sums and reservation against the model."""
        self.stepped()
        standing = [fill for name, fill in self.booked.items() if name not in self.taken_back]
        hold(
            self.journal.fills(**OF) == standing, "the fills that stand are those reported and not taken back"
        )
        row = self.journal.intent(self.intent_id)
        hold(row.filled_quantity == self.filled <= QUANTITY, f"filled are {row.filled_quantity}")
        net = self.journal.net_filled(self.request.client_order_id)
        hold(net == self.left_standing, f"after busts {net} are filled, reported were {self.left_standing}")
        is_open = row.state is IntentState.EXECUTING
        hold(is_open == (self.stage is Stage.WORKING), f"the intent is {row.state}")
        hold(is_open or (row.state is IntentState.EXECUTED) == (self.filled > 0), f"it ended as {row.state}")
        evidence = gather(self.journal)
        (reserved,) = evidence.reservations
        left = QUANTITY - self.left_standing if is_open else 0
        hold(reserved.quantity_left == left, f"{reserved.quantity_left} shares are reserved, {left} are open")
        hold(violations(evidence) == (), f"every invariant: {violations(evidence)}")


def _at_broker(client_order_id: ClientOrderId, status: OrderStatus, filled: int) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b-1",
        client_order_id=client_order_id,
        symbol=Symbol("AAPL"),
        side=Side.BUY,
        quantity=QUANTITY,
        filled_quantity=filled,
        status=status,
    )


@contextmanager
def reports_told_apart_by_arrival() -> Iterator[None]:
    """Plant the bug: an execution is known by when it came, not by its id, so that a repeat counts again."""
    record = SqlJournal.record_fill

    def numbered(self: SqlJournal, fill: Fill, **options: Any) -> bool:
        number = self.events(after=0, limit=EVENTS_MAX)[-1].seq
        return record(self, fill._replace(execution_id=f"{fill.execution_id}-{number}"), **options)

    with put(SqlJournal, "record_fill", numbered):
        yield
