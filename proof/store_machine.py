"""The store as a machine: whatever is asked in whatever order, by whoever is late, its promises hold.

The model is the table of SAFETY.md written out by hand, apart from the one in trading/lifecycle.py that the
store asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from proof.desk import CLOSE, DECIDED_AT, IN_TIME, PRICE, SESSION, deposited, passes
from proof.walks import EVENTS_MAX, Machine, hold, put
from resources.evidence import gather
from resources.journal import steps
from resources.journal.store import SqlJournal
from trading.decisions import Outcome
from trading.errors import JournalError, Refused
from trading.guards import QUOTE_STALE, Why
from trading.invariants import violations
from trading.journal import CancelKind, JournalIntent, RunControlAction
from trading.lifecycle import Event, IntentState, Place, Refusal, Stage, transition
from trading.orders import BrokerOrder, Fill, OrderRequest, OrderStatus
from trading.testing import example_decision, example_intent

ACCOUNT, LANE = "SIM-FIVE", "simulated"
OF: dict[str, Any] = {"book": "us_five", "lane": LANE, "session": SESSION}
INTENTS = {
    example_intent("AAPL", quantity=5): Outcome.APPROVED,
    example_intent("IBM", quantity=5): Outcome.PENDING_APPROVAL,
}
TOO_OLD = Why(QUOTE_STALE, 301, 300, 0)

PENDING = (IntentState.PENDING_APPROVAL, Stage.NONE)
APPROVED = (IntentState.APPROVED, Stage.NONE)
CLAIMED = (IntentState.EXECUTING, Stage.CLAIMED)
PREPARED = (IntentState.EXECUTING, Stage.PREPARED)
WORKING = (IntentState.EXECUTING, Stage.WORKING)
UNKNOWN = (IntentState.UNKNOWN, Stage.NONE)
PARKED = (IntentState.UNKNOWN, Stage.PARKED)

MAY = {
    "approve": {PENDING},
    "reject": {PENDING},
    "expire": {PENDING, APPROVED},
    "cancel": {PENDING, APPROVED},
    "claim": {APPROVED},
    "release": {CLAIMED},
    "reject_claimed": {CLAIMED},
    "prepare": {CLAIMED},
    "acknowledge": {PREPARED},
    "refuse": {PREPARED},
    "mark_unknown": {PREPARED, WORKING},
    "record_absence": {UNKNOWN, PARKED},
    "adopt": {UNKNOWN, PARKED},
    "prepare_again": {UNKNOWN},
    "park": {UNKNOWN},
    "conclude_absent": {UNKNOWN, PARKED},
    "close_working": {WORKING},
    "record_fill": {WORKING},
    "ask_cancel": {WORKING},
    "prepare_replacement": {WORKING},
}
"""Where an intent may be for each deed to be done to it."""

MUST = {"release", "reject_claimed", "mark_unknown", "record_absence", "park", "ask_cancel"}
"""The deeds that need nothing but the right place and the right epoch, so that they may not be refused."""

symbols = st.sampled_from(["AAPL", "AAPL", "AAPL", "IBM"])
# Mostly what the row says, sometimes one too few or too many: stale askers are part of life.
offsets = st.sampled_from([0] * 8 + [-1, 1])


class StoreMachine(Machine):
    """Ask a real journal for anything, right or wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, JournalIntent] = {row.intent.symbol: row for row in self.journal.intents(**OF)}
        self.nonces = 0
        found = self.journal.executor_term(account=ACCOUNT, lane=LANE)
        self.term, self.is_reconciled = (found.term if found is not None else 0), True
        self.is_killed = False

    @staticmethod
    def decide(journal: SqlJournal) -> None:
        """Decide two intents, one of which waits for a person, in a term that is reconciled."""
        decisions = [
            example_decision(intent, outcome=outcome, not_after=CLOSE, account=ACCOUNT, lane=LANE)
            for intent, outcome in INTENTS.items()
        ]
        journal.opening_book(**OF, previous=None, opened=deposited(), now=DECIDED_AT)
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=DECIDED_AT)
        term = journal.begin_term(account=ACCOUNT, lane=LANE, holder="x", now=IN_TIME)
        journal.record_reconciled(account=ACCOUNT, lane=LANE, term=term, findings=[], now=IN_TIME)

    @initialize(depth=st.integers(0, 4))
    def begin(self, depth: int) -> None:
        """Begin some way into a life, so that a short walk reaches its end."""
        intent_id = self.rows["AAPL"].intent_id
        if depth > 0:
            self.journal.claim(intent_id, version=1, term=self.term, holder="x", now=IN_TIME)
        if depth > 1:
            self.journal.prepare(intent_id, epoch=1, is_live=False, **self.sending(passes))
        if depth > 2 and (order := self.journal.order_of(intent_id)) is not None:
            answer = _heard(order.request, OrderStatus.WORKING, 0)
            self.journal.acknowledge(intent_id, epoch=1, order=answer, now=IN_TIME)
        if depth > 3:
            self.journal.mark_unknown(intent_id, epoch=1, reason="t", is_takeover=False, now=IN_TIME)
        self.look_again()

    def sending(self, review: Callable[..., tuple[Why, ...]]) -> dict[str, Any]:
        """Return what each deed that leads to a send needs."""
        return {
            "term": self.term,
            "book_at_open": deposited(),
            "review": review,
            "send_by": CLOSE,
            "now": IN_TIME,
        }

    def ask(self, deed: str, symbol: str, *, is_current: bool = True, **asked: Any) -> None:
        """Ask once: what is done was allowed, what is refused changes nothing."""
        before = self.rows[symbol]
        may = (before.state, before.stage) in MAY[deed] and is_current
        try:
            getattr(self.journal, deed)(before.intent_id, **asked)
        except (JournalError, Refused) as refusal:
            # Who tried to approve what they may not is history as well; any other refusal is not.
            is_kept = deed in {"approve", "reject"}
            hold(self.grew() is is_kept, f"{deed} is refused, and {'is not kept' if is_kept else 'is'}")
            hold(self.journal.intent(before.intent_id) == before, f"{deed} is refused, and changes the row")
            hold(not (may and deed in MUST), f"{deed} of {symbol} is refused: {refusal}")
            return
        hold(self.grew(), f"{deed} leaves its event")
        hold(may, f"{deed} of {symbol} is done from {before.state} {before.stage}, current is {is_current}")

    # ---------------------------------------------------------------------------- people

    @rule(symbol=symbols, offset=offsets, deed=st.sampled_from(["approve", "approve", "reject"]))
    def answer(self, symbol: str, offset: int, deed: str) -> None:
        """Answer as a person."""
        row = self.rows[symbol]
        self.nonces += offset == 0
        self.ask(
            deed,
            symbol,
            is_current=offset == 0,
            version=row.version + offset,
            payload_hash=row.payload_hash,
            nonce=f"n-{self.nonces}",
            actor="ann",
            reason="",
            now=IN_TIME,
        )

    @rule(symbol=symbols, offset=offsets, now=st.sampled_from([IN_TIME, CLOSE]), is_sweep=st.booleans())
    @precondition(lambda self: self.nonces > 1)
    def end_unsent(self, *, symbol: str, offset: int, now: datetime, is_sweep: bool) -> None:
        """Cancel or sweep what was never sent."""
        version = self.rows[symbol].version + offset
        if is_sweep:
            is_right = offset == 0 and now >= CLOSE
            self.ask("expire", symbol, is_current=is_right, version=version, actor="x", now=now)
        else:
            asked = {"version": version, "actor": "ann", "reason": "r", "now": now}
            self.ask("cancel", symbol, is_current=offset == 0, **asked)

    @rule(action=st.sampled_from([RunControlAction.HALT, *[RunControlAction.RESUME] * 4]))
    def control(self, action: RunControlAction) -> None:
        """Halt all trading, or let it go on."""
        self.journal.set_run_control(action, actor="ann", reason="r", now=IN_TIME)
        self.is_killed = action is RunControlAction.HALT
        self.grew()

    @rule(is_on=st.sampled_from([True, False, False]), symbol=st.sampled_from(["", "AAPL"]))
    def halt_some(self, *, is_on: bool, symbol: str) -> None:
        """Halt the account or an instrument for a finding, or lift what is halted."""
        if is_on:
            self.journal.record_finding(
                kind="position_mismatch" if symbol else "zombie",
                account=ACCOUNT,
                symbol=symbol,
                intent_id="",
                detail=f"{symbol} found",
                is_standing=True,
                now=IN_TIME,
            )
        else:
            for halt in self.journal.halts():
                self.journal.lift_halt(
                    account=halt.account, symbol=halt.symbol, actor="ann", reason="looked", now=IN_TIME
                )
        self.grew()

    # ---------------------------------------------------------------------------- executors

    @rule(is_reconciling=st.sampled_from([True, True, True, False]))
    def begin_term(self, *, is_reconciling: bool) -> None:
        """Begin a term, and reconcile in it or not: whoever claimed before may not prepare any more."""
        self.term = self.journal.begin_term(account=ACCOUNT, lane=LANE, holder="y", now=IN_TIME)
        self.is_reconciled = is_reconciling
        if is_reconciling:
            self.journal.record_reconciled(
                account=ACCOUNT, lane=LANE, term=self.term, findings=[], now=IN_TIME
            )
        self.grew()

    @rule(symbol=symbols, offset=offsets, late=offsets, now=st.sampled_from([IN_TIME, IN_TIME, CLOSE]))
    def claim(self, symbol: str, offset: int, late: int, now: datetime) -> None:
        """Claim: with another version or term, after its time, or while trading is held, nobody may."""
        is_held = self.is_killed or any(halt.symbol in {"", symbol} for halt in self.journal.halts())
        is_right = (offset, late) == (0, 0) and now < CLOSE and self.is_reconciled and not is_held
        version = self.rows[symbol].version + offset
        asked = {"version": version, "term": self.term + late, "holder": "x", "now": now}
        self.ask("claim", symbol, is_current=is_right, **asked)

    @rule(symbol=symbols, offset=offsets, late=offsets, does_pass=st.sampled_from([True, True, True, False]))
    def prepare(self, *, symbol: str, offset: int, late: int, does_pass: bool) -> None:
        """Prepare, or prepare again."""
        row = self.rows[symbol]
        sending = self.sending(passes if does_pass else lambda *_: (TOO_OLD,))
        asked = {**sending, "epoch": row.epoch + offset, "term": self.term + late}
        is_current = (offset, late) == (0, 0)
        if row.state is IntentState.UNKNOWN:
            if does_pass:
                self.ask("prepare_again", symbol, is_current=is_current, **asked)
        else:
            self.ask("prepare", symbol, is_current=is_current, is_live=False, **asked)

    @rule(
        symbol=symbols,
        offset=offsets,
        status=st.sampled_from(OrderStatus),
        off=st.sampled_from([0, 0, 0, 1, 5]),
        is_other=st.sampled_from([False, False, False, True]),
    )
    def hear_of_the_order(
        self, *, symbol: str, offset: int, status: OrderStatus, off: int, is_other: bool
    ) -> None:
        """Hear of the order from the broker: the answer to a send, a look-up, or its end."""
        row = self.rows[symbol]
        known = self.journal.order_of(row.intent_id)
        if known is None:
            return
        order = _heard(known.request, status, known.filled_quantity + off)
        if is_other:
            order = replace(order, quantity=order.quantity + 1)
        deeds = {PREPARED: "acknowledge", WORKING: "close_working"}
        deed = deeds.get((row.state, row.stage), "adopt")
        is_right = offset == 0 and not is_other
        if deed == "close_working":
            is_right = is_right and status.is_terminal and off == 0
        self.ask(deed, symbol, is_current=is_right, epoch=row.epoch + offset, order=order, now=IN_TIME)

    @rule(symbol=symbols, number=st.integers(1, 3), quantity=st.sampled_from([1, 2, 5, 6]))
    def fill(self, symbol: str, number: int, quantity: int) -> None:
        """Book an execution."""
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
            price_micros=PRICE,
            commission_micros=0,
            session=SESSION,
            filled_at=IN_TIME,
        )
        try:
            is_new = self.journal.record_fill(fill, now=IN_TIME)
        except JournalError:
            is_new = False
        hold(self.grew() is is_new, "a fill leaves an event where it is new")
        hold(not is_new or (row.state, row.stage) in MAY["record_fill"], f"{symbol} is filled at {row.stage}")

    @rule(
        symbol=symbols,
        offset=offsets,
        deed=st.sampled_from(["mark_unknown", "taken over", "refuse", "release", "reject_claimed"]),
    )
    def lose_or_drop(self, symbol: str, offset: int, deed: str) -> None:
        """Lose sight of it, take it over, or drop it."""
        asked: dict[str, Any] = {"epoch": self.rows[symbol].epoch + offset, "reason": deed, "now": IN_TIME}
        if deed in {"mark_unknown", "taken over"}:
            asked["is_takeover"] = deed == "taken over"
            deed = "mark_unknown"
        if deed == "reject_claimed":
            asked["is_expired"] = False
        self.ask(deed, symbol, is_current=offset == 0, **asked)

    @rule(
        symbol=symbols,
        offset=offsets,
        deed=st.sampled_from(["record_absence", "record_absence", "conclude_absent", "park"]),
    )
    def look_for(self, symbol: str, offset: int, deed: str) -> None:
        """Look for it at the broker, and judge."""
        asked: dict[str, Any] = {"epoch": self.rows[symbol].epoch + offset, "now": IN_TIME}
        if deed != "record_absence":
            asked["reason"] = deed
        if deed == "conclude_absent":
            asked |= {"is_expired": False, "settle_time_s": 0, "is_death_proven": True}
        self.ask(deed, symbol, is_current=offset == 0, **asked)

    @rule(symbol=symbols, offset=offsets, kind=st.sampled_from([CancelKind.CANCEL, CancelKind.REPLACE]))
    def ask_cancel(self, symbol: str, offset: int, kind: CancelKind) -> None:
        """Ask for a working order's cancel; a person's word to stop it is asked once, and stays."""
        order = self.journal.order_of(self.rows[symbol].intent_id)
        known = CancelKind.NONE if order is None else order.cancel_kind
        is_first = known is CancelKind.NONE or (known, kind) == (CancelKind.REPLACE, CancelKind.CANCEL)
        asked = {"epoch": self.rows[symbol].epoch + offset, "kind": kind, "actor": "ann", "reason": "r"}
        self.ask("ask_cancel", symbol, is_current=offset == 0 and is_first, **asked, now=IN_TIME)

    @rule(
        symbol=symbols,
        offset=offsets,
        late=offsets,
        status=st.sampled_from([OrderStatus.CANCELLED, OrderStatus.WORKING]),
    )
    def replace_order(self, symbol: str, offset: int, late: int, status: OrderStatus) -> None:
        """Prepare the next generation, which needs that the old one is cancelled as somebody asked."""
        row = self.rows[symbol]
        known = self.journal.order_of(row.intent_id)
        if known is None:
            return
        is_asked = known.cancel_kind is CancelKind.REPLACE
        self.ask(
            "prepare_replacement",
            symbol,
            is_current=(offset, late) == (0, 0) and is_asked and status is OrderStatus.CANCELLED,
            **{**self.sending(passes), "term": self.term + late},
            epoch=row.epoch + offset,
            ended=_heard(known.request, status, known.filled_quantity),
            is_live=False,
        )

    # ---------------------------------------------------------------------------- what holds after each step

    @invariant()
    def every_row_went_forward(self) -> None:
        """Hold that nothing goes back, and what has ended stays as it is."""
        before = dict(self.rows)
        self.look_again()
        for symbol, row in self.rows.items():
            was = before[symbol]
            hold(
                (row.version, row.epoch, row.generation, row.filled_quantity)
                >= (was.version, was.epoch, was.generation, was.filled_quantity),
                f"{symbol} went back from {was} to {row}",
            )
            hold(was.state.is_open or row == was, f"{symbol} had ended as {was.state}, and is {row.state}")

    @invariant()
    def every_invariant_holds(self) -> None:
        """Hold what is held after every fault: rows are the fold of their events, sums and chain agree."""
        self.stepped()
        found = violations(gather(self.journal))
        hold(found == (), f"violated: {found}")

    @invariant()
    def nothing_was_prepared_while_trading_was_off(self) -> None:
        """Hold that each prepared order passed its guards, with the kill switch off."""
        is_killed = False
        for event in self.journal.events(after=0, limit=EVENTS_MAX):
            if event.kind == "run_control":
                is_killed = event.body["after"]["kill_switch_on"]
            if event.kind in {"prepared", "prepared_again", "replaced"}:
                hold(not is_killed, f"event {event.seq} prepares while the kill switch is on")

    def look_again(self) -> None:
        """Read both rows."""
        self.rows = {symbol: self.journal.intent(row.intent_id) for symbol, row in self.rows.items()}
        self.grew()


def _heard(asked: OrderRequest, status: OrderStatus, filled: int) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b",
        client_order_id=asked.client_order_id,
        symbol=asked.symbol,
        side=asked.side,
        quantity=asked.quantity,
        filled_quantity=filled,
        status=status,
    )


@contextmanager
def epochs_unasked() -> Iterator[None]:
    """Plant the bug: whoever was taken over may go on writing."""

    def lenient(place: Place | None, event: Event) -> Place | Refusal:
        return transition(place, event if place is None else event._replace(epoch=place.epoch))

    with put(steps, "transition", lenient):
        yield
