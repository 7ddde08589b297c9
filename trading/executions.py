"""Executing what the journal says is approved: the executor, over ports.

The order of things is the promise: claim, prepare (guards again, on disk) and only then exactly one send;
an outcome that is not proven is asked for by client order id, never sent again blindly. The executor trusts
the journal and nothing else: not who launched it, nor its config. Which edges exist is lifecycle.py; who
keeps them is resources/journal/; the port to a broker is brokers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from trading.brokers import Broker, DedupScope, DuplicateClientOrderId, differences
from trading.errors import (
    BrokerRejected,
    BrokerUnavailable,
    GateClosed,
    IllegalTransition,
    OutcomeUnknown,
    Refused,
    StaleVersion,
)
from trading.guards import (
    EXECUTION_DISABLED,
    GUARDS,
    PASS,
    QUOTE_STALE,
    SESSION_CLOSED,
    Why,
)
from trading.intents import client_order_id_of
from trading.journal import Journal, JournalIntent, JournalOrder, Review
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, Fill, OrderRequest, OrderStatus
from trading.positions import Book
from trading.values import IntentId, Side

SEND_MARGIN = timedelta(seconds=5)
"""How long before `send_by` an intent is not begun any more: what is prepared should also be sent."""

ABSENCES_NEEDED = 3
"""How often a broker must not know an order before its absence counts as proven."""

TEMPORARY = frozenset({EXECUTION_DISABLED, QUOTE_STALE, SESSION_CLOSED})
"""The guards' codes that time or a switch may cure: they hold an intent, every other one ends it."""


class ExecutorBusy(Refused):
    """Name who else executes for the account; only one may."""


ExecutorLock = AbstractContextManager[object]
"""Held for as long as anything may be sent for an account; entering raises `ExecutorBusy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """Hold what one run of the executor did, by intent in the order done; the journal knows the rest.

    `rejected` and `held` carry the reason; `new_fills` counts fills booked; `halted` says why the run
    stopped before all intents were looked at, empty where it did not.
    """

    adopted: tuple[IntentId, ...] = ()
    resent: tuple[IntentId, ...] = ()
    released: tuple[IntentId, ...] = ()
    sent: tuple[IntentId, ...] = ()
    rejected: tuple[tuple[IntentId, str], ...] = ()
    failed: tuple[tuple[IntentId, str], ...] = ()
    expired: tuple[IntentId, ...] = ()
    held: tuple[tuple[IntentId, str], ...] = ()
    unknown: tuple[IntentId, ...] = ()
    parked: tuple[IntentId, ...] = ()
    closed: tuple[IntentId, ...] = ()
    still_open: tuple[IntentId, ...] = ()
    new_fills: int = 0
    halted: str = ""


def execute_session(
    *,
    journal: Journal,
    broker: Broker,
    lock: ExecutorLock,
    account: str,
    book: str,
    lane: str,
    session: date,
    book_at_open: Book,
    review: Review,
    send_by: datetime,
    holder: str,
    now: datetime,
    clock: Callable[[], datetime] | None = None,
) -> ExecutionReport:
    """Resolve what an earlier run left open, then send each approved intent of a session once, sells first.

    `book_at_open` is the session's book after its corporate actions; `review` judges each intent again
    inside T2; nothing goes out at or after `send_by`; `holder` names this process in the events. `clock` is
    read before each step, so that `send_by` also passes during a run; without it the time stays `now`.
    Raises `ExecutorBusy` while another process executes for the account.
    """
    sending = _Sending(
        book=book, session=session, book_at_open=book_at_open, review=review, send_by=send_by, holder=holder
    )
    run = _Run(journal=journal, broker=broker, clock=clock or (lambda: now), sending=sending)
    with lock:
        try:
            for row in journal.open_intents(account=account, lane=lane):
                _resolve(run, row)
            for row in journal.intents(book=book, lane=lane, session=session):
                if row.account == account and row.state is IntentState.APPROVED:
                    _execute(run, sending, row)
        except BrokerUnavailable as error:
            # Exposure that cannot be seen is not flat: nothing more goes out before a run that can see.
            return run.report(halted=f"broker_unavailable: {error}")
    return run.report()


def settle_orders(
    *,
    journal: Journal,
    broker: Broker,
    lock: ExecutorLock,
    account: str,
    book: str,
    lane: str,
    session: date,
    actor: str,
    now: datetime,
) -> ExecutionReport:
    """After the close: ask for each order until it is terminal, book its fills, end its intent.

    Intents that were never sent expire where `not_after` has passed. Sends nothing. What is still open
    afterwards is named in the report: the session cannot be settled yet.
    """
    run = _Run(journal=journal, broker=broker, clock=lambda: now, sending=None)
    with lock:
        try:
            for row in journal.open_intents(account=account, lane=lane):
                if (row.intent.book, row.intent.session) == (book, session):
                    _resolve(run, row)
        except BrokerUnavailable as error:
            return run.report(halted=f"broker_unavailable: {error}")
        for row in journal.intents(book=book, lane=lane, session=session):
            if row.account != account or row.state not in {
                IntentState.PENDING_APPROVAL,
                IntentState.APPROVED,
            }:
                continue
            if now >= row.not_after:
                journal.expire(row.intent_id, version=row.version, actor=actor, now=now)
                run.expired.append(row.intent_id)
            else:
                run.still_open.append(row.intent_id)
    return run.report()


# -------------------------------------------------------------------------------- what is sent


def request_of(row: JournalIntent) -> OrderRequest:
    """Return what is sent for an intent: a pure function of its row, so that a resend has the same bytes."""
    intent = row.intent
    return OrderRequest(
        client_order_id=client_order_id_of(
            account=row.account, intent_id=row.intent_id, generation=row.generation
        ),
        account=row.account,
        session=intent.session,
        symbol=intent.symbol,
        side=intent.side,
        quantity=row.quantity,
        order_type=intent.order_type,
        time_in_force=intent.time_in_force,
        reference_price_micros=intent.price_micros,
    )


def reservation_micros(row: JournalIntent, whys: tuple[Why, ...]) -> int:
    """Return the money that T2 promises away for a buy: what the buying-power guard counted.

    Never less than the notional at the reference price; a sale promises nothing.
    """
    if row.intent.side is Side.SELL:
        return 0
    at_reference = row.intent.price_micros * row.quantity
    counted = [why.observed for (name, _), why in zip(GUARDS, whys, strict=False) if name == "buying_power"]
    return max([at_reference, *counted])


def is_temporary(whys: tuple[Why, ...]) -> bool:
    """Say whether an intent that guards stop at its send waits instead of ending: the first reason decides.

    What is judged after it was judged on a price or a moment that is not the send's. Of stale quotes only
    one that is too old waits: one of another session or from the future is wrong, not late.
    """
    first = min((why for why in whys if why.code != PASS), key=lambda why: why.code, default=None)
    if first is None or first.code not in TEMPORARY:
        return False
    return first.code != QUOTE_STALE or first.observed > first.limit > 0


def ending_of(status: OrderStatus, filled_quantity: int, *, was_cancel_asked: bool) -> IntentState:
    """Return how an intent ends when its order does: executed if anything was filled.

    Unfilled, it is cancelled if that was asked for, failed if the broker rejected it afterwards, and
    otherwise expired with its order's time in force.
    """
    if filled_quantity > 0:
        return IntentState.EXECUTED
    if status is OrderStatus.REJECTED:
        return IntentState.FAILED
    return IntentState.CANCELLED if was_cancel_asked else IntentState.EXPIRED


# -------------------------------------------------------------------------------- one run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """Hold what a run that may send needs; a settling run has none, so it cannot send."""

    book: str
    session: date
    book_at_open: Book
    review: Review
    send_by: datetime
    holder: str


@dataclass(slots=True, kw_only=True)
class _Run:
    """Hold one run's ports and what it has done so far."""

    journal: Journal
    broker: Broker
    clock: Callable[[], datetime]
    sending: _Sending | None
    adopted: list[IntentId] = field(default_factory=list)
    resent: list[IntentId] = field(default_factory=list)
    released: list[IntentId] = field(default_factory=list)
    sent: list[IntentId] = field(default_factory=list)
    rejected: list[tuple[IntentId, str]] = field(default_factory=list)
    failed: list[tuple[IntentId, str]] = field(default_factory=list)
    expired: list[IntentId] = field(default_factory=list)
    held: list[tuple[IntentId, str]] = field(default_factory=list)
    unknown: list[IntentId] = field(default_factory=list)
    parked: list[IntentId] = field(default_factory=list)
    closed: list[IntentId] = field(default_factory=list)
    still_open: list[IntentId] = field(default_factory=list)
    new_fills: int = 0

    @property
    def now(self) -> datetime:
        """Return the time of this very step."""
        return self.clock()

    def report(self, *, halted: str = "") -> ExecutionReport:
        """Return what was done, as a value."""
        return ExecutionReport(
            adopted=tuple(self.adopted),
            resent=tuple(self.resent),
            released=tuple(self.released),
            sent=tuple(self.sent),
            rejected=tuple(self.rejected),
            failed=tuple(self.failed),
            expired=tuple(self.expired),
            held=tuple(self.held),
            unknown=tuple(self.unknown),
            parked=tuple(self.parked),
            closed=tuple(self.closed),
            still_open=tuple(self.still_open),
            new_fills=self.new_fills,
            halted=halted,
        )


def _execute(run: _Run, sending: _Sending, row: JournalIntent) -> None:
    """Claim, prepare, send once, record."""
    journal, now = run.journal, run.now
    if now >= row.not_after:
        journal.expire(row.intent_id, version=row.version, actor=sending.holder, now=now)
        run.expired.append(row.intent_id)
        return
    if _is_near(sending, now):
        run.held.append((row.intent_id, _near(sending)))
        return
    try:
        claimed = journal.claim(row.intent_id, version=row.version, holder=sending.holder, now=now)
    except (GateClosed, StaleVersion) as error:
        run.held.append((row.intent_id, str(error)))
        return
    try:
        prepared = journal.prepare(
            claimed.intent_id,
            epoch=claimed.epoch,
            book_at_open=sending.book_at_open,
            review=sending.review,
            send_by=sending.send_by,
            is_live=run.broker.capabilities.is_live,
            now=run.now,
        )
    except GateClosed as error:
        # Nothing is prepared, so nothing was sent: it waits until the gate opens.
        journal.release(claimed.intent_id, epoch=claimed.epoch, reason=str(error), now=run.now)
        run.held.append((row.intent_id, str(error)))
        return
    if prepared.order is None:
        told = run.held if prepared.intent.state is IntentState.APPROVED else run.rejected
        told.append((row.intent_id, prepared.reason))
        return
    _send(run, prepared.intent, prepared.order)


def _send(run: _Run, row: JournalIntent, order: JournalOrder) -> None:
    """Send once what is prepared, and record what came of it.

    What took too long since it was prepared is not sent. It has no edge back, since a later reader of the
    journal cannot tell: as any send that is not proven it is asked for, and prepared again once absent.
    """
    now = run.now
    if now >= min(order.send_by, row.not_after):
        _mark_unknown(run, row, "late_before_send")
        return
    try:
        answer: BrokerOrder | None = run.broker.submit(order.request, now=now)
    except BrokerRejected as error:
        if order.attempts > 1:
            # An earlier attempt was never proven, so a refusal of this one proves nothing about that one.
            _mark_unknown(run, row, f"refused_after_unproven: {error}")
            return
        run.journal.refuse(row.intent_id, epoch=row.epoch, reason=str(error), now=run.now)
        run.failed.append((row.intent_id, str(error)))
        return
    except DuplicateClientOrderId as error:
        answer = _found_after_duplicate(run, row, error)
    except (OutcomeUnknown, BrokerUnavailable, OSError) as error:
        _mark_unknown(run, row, f"{type(error).__name__}: {error}")
        return
    if answer is None:
        return
    found = differences(order.request, answer)
    if found:
        _mark_unknown(run, row, "order_mismatch")
        _halt_on_mismatch(run, row, found)
        return
    working = run.journal.acknowledge(row.intent_id, epoch=row.epoch, order=answer, now=run.now)
    run.sent.append(row.intent_id)
    _follow(run, working, order)


def _is_near(sending: _Sending, now: datetime) -> bool:
    return sending.send_by - now < SEND_MARGIN


def _near(sending: _Sending) -> str:
    return f"send_by_near: {sending.send_by:%H:%M:%S} UTC is under {SEND_MARGIN.seconds} s away; run again"


def _found_after_duplicate(
    run: _Run, row: JournalIntent, error: DuplicateClientOrderId
) -> BrokerOrder | None:
    """Return the order that the broker has under the id, or mark the intent unknown and return `None`."""
    try:
        found = run.broker.order_by_client_order_id(error.client_order_id, now=run.now)
    except BrokerUnavailable as unavailable:
        _mark_unknown(run, row, f"duplicate_then_unavailable: {unavailable}")
        return None
    if found is None:
        _mark_unknown(run, row, "duplicate_but_not_found")
    return found


def _mark_unknown(run: _Run, row: JournalIntent, reason: str) -> None:
    run.journal.mark_unknown(row.intent_id, epoch=row.epoch, reason=reason, is_takeover=False, now=run.now)
    run.unknown.append(row.intent_id)


def _halt_on_mismatch(run: _Run, row: JournalIntent, found: tuple[str, ...]) -> None:
    run.journal.record_incident(
        kind="order_mismatch",
        account=row.account,
        intent_id=row.intent_id,
        detail="; ".join(found),
        is_halting=True,
        now=run.now,
    )


# -------------------------------------------------------------------------------- what is open


def _resolve(run: _Run, row: JournalIntent) -> None:
    """Bring one open intent of an earlier run as far as the broker's answers carry."""
    match (row.state, row.stage):
        case (IntentState.EXECUTING, Stage.CLAIMED):
            run.journal.release(row.intent_id, epoch=row.epoch, reason="claimed_never_prepared", now=run.now)
            run.released.append(row.intent_id)
        case (IntentState.EXECUTING, Stage.PREPARED):
            # The lock is ours, so whoever prepared it is dead; whether it was sent, only the broker knows.
            unknown = run.journal.mark_unknown(
                row.intent_id, epoch=row.epoch, reason="found_prepared", is_takeover=True, now=run.now
            )
            _ask(run, unknown)
        case (IntentState.EXECUTING, Stage.WORKING):
            _follow(run, row, _order_of(run, row))
        case (IntentState.UNKNOWN, _):
            _ask(run, row)
        case _:
            return


def _ask(run: _Run, row: JournalIntent) -> None:
    """Ask the broker for the order of an unknown intent: adopt it, or judge its absence."""
    order = _order_of(run, row)
    found = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
    while found is None and _is_proof_wanted(run, row, order):
        order = run.journal.record_absence(row.intent_id, epoch=row.epoch, now=run.now)
        found = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
    if found is not None:
        _adopt(run, row, order, found)
    elif row.stage is Stage.PARKED:
        run.parked.append(row.intent_id)
    elif order.broker_order_id:
        _park(run, row, "acknowledged_then_absent")
    elif not run.broker.capabilities.is_query_authoritative:
        _park(run, row, "query_not_authoritative")
    elif run.broker.capabilities.dedup_scope is not DedupScope.ALL_TIME:
        _park(run, row, "dedup_not_for_all_time")
    else:
        _after_absence(run, row, order)


def _is_proof_wanted(run: _Run, row: JournalIntent, order: JournalOrder) -> bool:
    return (
        row.stage is not Stage.PARKED
        and not order.broker_order_id
        and run.broker.capabilities.is_query_authoritative
        and order.absences < ABSENCES_NEEDED
    )


def _after_absence(run: _Run, row: JournalIntent, order: JournalOrder) -> None:
    """Send again what is proven absent, where the broker would refuse a second one; else end it."""
    sending = run.sending
    now = run.now
    is_late = now >= row.not_after
    reason = "too_late_to_send"
    if not is_late:
        if sending is None or (row.intent.book, row.intent.session) != (sending.book, sending.session):
            run.still_open.append(row.intent_id)
            return
        if _is_near(sending, now):
            run.held.append((row.intent_id, _near(sending)))
            return
        try:
            prepared = run.journal.prepare_again(
                row.intent_id,
                epoch=row.epoch,
                book_at_open=sending.book_at_open,
                review=sending.review,
                send_by=sending.send_by,
                now=run.now,
            )
        except GateClosed as error:
            run.held.append((row.intent_id, str(error)))
            return
        if prepared.order is not None:
            run.resent.append(row.intent_id)
            _send(run, prepared.intent, prepared.order)
            return
        if is_temporary(prepared.whys):
            run.held.append((row.intent_id, prepared.reason))
            return
        reason = prepared.reason
    first_absent_at = order.first_absent_at or run.now
    if run.now - first_absent_at < timedelta(seconds=run.broker.capabilities.settle_time_s):
        run.still_open.append(row.intent_id)
        return
    run.journal.conclude_absent(
        row.intent_id, epoch=row.epoch, reason=reason, is_expired=is_late, now=run.now
    )
    if is_late:
        run.expired.append(row.intent_id)
    else:
        run.failed.append((row.intent_id, reason))


def _adopt(run: _Run, row: JournalIntent, order: JournalOrder, found: BrokerOrder) -> None:
    mismatch = differences(order.request, found)
    if mismatch:
        if row.stage is not Stage.PARKED:
            _park(run, row, "order_mismatch")
        _halt_on_mismatch(run, row, mismatch)
        return
    adopted = run.journal.adopt(row.intent_id, epoch=row.epoch, order=found, now=run.now)
    run.adopted.append(row.intent_id)
    if adopted.state.is_open:
        _follow(run, adopted, order)
    else:
        run.closed.append(row.intent_id)


def _park(run: _Run, row: JournalIntent, reason: str) -> None:
    run.journal.park(row.intent_id, epoch=row.epoch, reason=reason, now=run.now)
    run.parked.append(row.intent_id)


def _follow(run: _Run, row: JournalIntent, order: JournalOrder) -> None:
    """Book the new fills of a working order, and end its intent where the broker has ended the order."""
    found = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
    if found is None:
        unknown = run.journal.mark_unknown(
            row.intent_id, epoch=row.epoch, reason="working_then_absent", is_takeover=False, now=run.now
        )
        _park(run, unknown, "acknowledged_then_absent")
        return
    mismatch = differences(order.request, found)
    if mismatch:
        _halt_on_mismatch(run, row, mismatch)
        run.still_open.append(row.intent_id)
        return
    if not _book_fills(run, row, order):
        return
    now_booked = _order_of(run, row).filled_quantity
    if found.status.is_terminal and found.filled_quantity == now_booked:
        run.journal.close_working(row.intent_id, epoch=row.epoch, order=found, now=run.now)
        run.closed.append(row.intent_id)
    else:
        run.still_open.append(row.intent_id)


def _book_fills(run: _Run, row: JournalIntent, order: JournalOrder) -> bool:
    """Book what the broker reports; returns whether it could be believed."""
    for execution in run.broker.fills(order.client_order_id, now=run.now):
        fill = Fill(
            execution_id=execution.execution_id,
            client_order_id=execution.client_order_id,
            intent_id=row.intent_id,
            symbol=order.request.symbol,
            side=order.request.side,
            quantity=execution.quantity,
            price_micros=execution.price_micros,
            commission_micros=execution.commission_micros,
            session=row.intent.session,
            filled_at=execution.filled_at,
        )
        try:
            run.new_fills += run.journal.record_fill(fill, now=run.now)
        except IllegalTransition as error:
            # More than was sent, or another fill under a known id: nothing goes on before a person looked.
            run.journal.record_incident(
                kind="fill_refused",
                account=row.account,
                intent_id=row.intent_id,
                detail=str(error),
                is_halting=True,
                now=run.now,
            )
            run.still_open.append(row.intent_id)
            return False
    return True


def _order_of(run: _Run, row: JournalIntent) -> JournalOrder:
    order = run.journal.order_of(row.intent_id)
    if order is None:
        raise IllegalTransition(f"{row.intent_id}: {row.state}/{row.stage} without a prepared order")
    return order
