"""Bringing journal and broker together: what is open is asked for, what does not agree is named and halted.

The order is that of a start: integrity, the chain, open intents, the broker's list, fills, holdings, and
only then the `reconciled` event that lets anything be claimed. Nothing is "aligned" by an order, a failed
query is unknown and not flat, and repair adds history. Which rule decides what is protocol.py; sending is
executions.py, which hands in how something absent may be sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from trading.audit import AuditLog
from trading.broker_positions import changes_beside_fills
from trading.brokers import Broker, BrokerActivity, BrokerFill, differences
from trading.errors import BadInput, BrokerUnavailable, IllegalTransition, StaleVersion
from trading.findings import CHAIN_BROKEN
from trading.journal import CancelKind, Journal, JournalIntent, JournalOrder
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, Fill
from trading.positions import Book, Oversold, with_fills
from trading.protocol import (
    FINDINGS_APART,
    Finding,
    FindingKind,
    Known,
    Next,
    after_absence,
    cancel_refusal,
    filled_under,
    holdings_findings,
    listed_findings,
    may_be_alive,
    named_executions,
    net_shares,
    term_refusal,
)
from trading.values import ClientOrderId, IntentId, Side, Slot, Symbol, amount_from_micros

LOOKS_AT_HOLDINGS = 3
"""How often holdings are compared, with new fills booked in between, before a difference counts."""

LOOKS_AT_THE_LIST = 3
"""How often the broker's list is read, until what does not agree in it was so in the look before as well."""

LOOKS_AT_A_MOVING_INTENT = 3
"""How often an intent is looked at anew that another moved meanwhile; after that the next run sees it."""

CHANGED = frozenset({FindingKind.CASH, FindingKind.POSITION})
"""The findings that a change of the account beside its fills may explain."""

CHANGES_NAMED = 5
"""How many changes of an account, of which the book knows nothing, are told in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Hold what an account should have: the book of a session at its open, before the session's fills."""

    book: str
    session: date
    at_open: Book
    until: datetime | None = None
    """When the next session opens: from then on its actions are in the account, and not in this book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Hold what one run did, by intent in the order done; the journal knows the rest.

    `rejected` and `held` carry the reason; `new_fills` counts fills booked; `findings` are what does not
    agree with the broker; `halted` says why the run stopped before all intents were looked at, empty where
    it did not.
    """

    adopted: tuple[IntentId, ...] = ()
    resent: tuple[IntentId, ...] = ()
    replaced: tuple[IntentId, ...] = ()
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
    findings: tuple[Finding, ...] = ()
    new_fills: int = 0
    halted: str = ""


@dataclass(slots=True, kw_only=True)
class Run:
    """Hold one run's ports, its term, and what it has done so far.

    `is_death_proven`: the lock is free only when its last holder is dead. `is_settling`: the session is
    over, so nothing is sent or replaced any more. `filled` is what orders say of themselves: symbol, shares
    filled, and +1 bought or −1 sold; their executions may be told later.
    """

    journal: Journal
    broker: Broker
    audit: AuditLog
    clock: Callable[[], datetime]
    account: str
    lane: str
    holder: str
    is_death_proven: bool
    is_settling: bool = False
    term: int = 0
    adopted: list[IntentId] = field(default_factory=list)
    resent: list[IntentId] = field(default_factory=list)
    replaced: list[IntentId] = field(default_factory=list)
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
    findings: tuple[Finding, ...] = ()
    noted: list[Finding] = field(default_factory=list)
    new_fills: int = 0
    filled: dict[ClientOrderId, tuple[Symbol, int, int]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """Return the time of this very step."""
        return self.clock()

    def outcomes(self, *, halted: str = "") -> Outcomes:
        """Return what was done, as a value; what ended after it had been open or parked is told as ended."""
        ended = {*self.closed, *self.expired, *(intent_id for intent_id, _ in self.failed)}
        return Outcomes(
            adopted=tuple(self.adopted),
            resent=tuple(self.resent),
            replaced=tuple(self.replaced),
            released=tuple(self.released),
            sent=tuple(self.sent),
            rejected=tuple(self.rejected),
            failed=tuple(self.failed),
            expired=tuple(self.expired),
            held=tuple(self.held),
            unknown=tuple(self.unknown),
            parked=tuple(each for each in dict.fromkeys(self.parked) if each not in {*ended, *self.adopted}),
            closed=tuple(self.closed),
            still_open=tuple(each for each in dict.fromkeys(self.still_open) if each not in ended),
            findings=self.findings,
            new_fills=self.new_fills,
            halted=halted,
        )


SendAgain = Callable[[Run, JournalIntent, JournalOrder], None]
"""Sends what is proven absent again, under the same id and with the same bytes, or says why it waits."""

Replace = Callable[[Run, JournalIntent, JournalOrder, BrokerOrder], bool]
"""Sends the next generation of a cancelled order; returns whether it took the intent over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Hold what a run may do besides asking: a settling or looking run may do neither."""

    send_again: SendAgain | None = None
    replace: Replace | None = None


def reconcile(run: Run, *, since: date, expected: Expected | None) -> str:
    """Go through the start-up order; returns why trading stays halted, empty where it may go on.

    Nothing is sent here, not even again: `resume` does that, once everything is compared.

    `since` is the first session whose ended orders are listed as well; without `expected` the holdings are
    not compared. Raises `BrokerUnavailable` where the broker cannot be asked: then nothing is reconciled.
    """
    run.journal.check_integrity()
    broken = run.audit.verify()
    # What only a crash left is mended by the next projection, and no reason not to trade.
    if broken is not None and not broken.heals:
        run.journal.record_incident(
            kind=CHAIN_BROKEN,
            account=run.account,
            intent_id="",
            detail=broken.told,
            is_halting=True,
            now=run.now,
        )
        return f"{CHAIN_BROKEN}: {broken.told}"
    run.term = run.journal.begin_term(account=run.account, lane=run.lane, holder=run.holder, now=run.now)
    for row in run.journal.open_intents(account=run.account, lane=run.lane):
        bring_on(run, row, Means())
    open_intents = run.journal.open_intents(account=run.account, lane=run.lane)
    waiting = [row for row in open_intents if row.stage is Stage.PREPARED]
    if waiting:
        # What its holder fills this moment would look like a mismatch with the broker, and be none.
        return f"earlier_holder_may_be_alive: {len(waiting)} orders are prepared and may still be sent by it"
    listed = find_in_list(run, since)
    _record_all(run, listed)
    # At once: what else cannot be asked for must not keep an order alive that nobody here expects.
    unanswered = _cancel_zombies(run, listed)
    held = _with_changes_named(run, find_in_holdings(run, expected), expected, since=since)
    _record_all(run, held)
    run.findings = (*run.noted, *listed, *held)
    run.journal.record_reconciled(
        account=run.account,
        lane=run.lane,
        term=run.term,
        findings=[f"{finding.kind}: {finding.detail}" for finding in run.findings],
        now=run.now,
    )
    if unanswered is not None:
        raise unanswered
    return ""


def _record_all(run: Run, findings: Sequence[Finding]) -> None:
    """Store what was found, unless another executor began: then half of what was looked at is its doing."""
    found = run.journal.executor_term(account=run.account, lane=run.lane)
    if why_not := term_refusal(found, run.term, is_reconciled_needed=False):
        raise StaleVersion(f"account {run.account}: {why_not}")
    for finding in findings:
        _record(run, finding)


def _cancel_zombies(run: Run, findings: Sequence[Finding]) -> BrokerUnavailable | None:
    """Cancel each live order that nothing here expects; returns why the first that failed did."""
    unanswered = None
    zombies = (finding.client_order_id for finding in findings if finding.kind is FindingKind.ZOMBIE)
    for client_order_id in dict.fromkeys(zombies):
        if client_order_id is not None:
            try:
                run.broker.cancel(client_order_id, now=run.now)
            except BrokerUnavailable as error:
                unanswered = unanswered or error
    return unanswered


def resume(run: Run, means: Means, *, slots: Collection[Slot] = frozenset(Slot)) -> None:
    """After the reconciliation: send again what is proven absent, and replace what was cancelled for that.

    Only intents of `slots` are; the others wait for a run that may send them.
    """
    for row in run.journal.open_intents(account=run.account, lane=run.lane):
        if row.intent.slot not in slots:
            continue
        is_absent = row.state is IntentState.UNKNOWN and row.stage is Stage.NONE
        if is_absent or (row.stage is Stage.WORKING and order_of(run, row).cancel_kind is CancelKind.REPLACE):
            run.still_open = [known for known in run.still_open if known != row.intent_id]
            bring_on(run, row, means)
    run.findings = tuple(dict.fromkeys((*run.findings, *run.noted)))


# -------------------------------------------------------------------------------- what is open


def bring_on(run: Run, row: JournalIntent, means: Means) -> None:
    """Bring one open intent as far as the broker's answers carry; one that will not move stops no other."""
    for _ in range(LOOKS_AT_A_MOVING_INTENT):
        try:
            _bring(run, row, means)
        except IllegalTransition as error:
            found = run.journal.intent(row.intent_id)
            if not found.state.is_open:
                # A person ended it meanwhile.
                return
            if found.version == row.version:
                note(run, FindingKind.UNRESOLVED, row, None, str(error))
                break
            # An earlier executor that still writes, or a person, moved it: it is looked at as it is now.
            row = found
        else:
            return
    run.still_open.append(row.intent_id)


def _bring(run: Run, row: JournalIntent, means: Means) -> None:
    match (row.state, row.stage):
        case (IntentState.EXECUTING, Stage.CLAIMED):
            run.journal.release(row.intent_id, epoch=row.epoch, reason="claimed_never_prepared", now=run.now)
            run.released.append(row.intent_id)
        case (IntentState.EXECUTING, Stage.PREPARED):
            order = order_of(run, row)
            if may_be_alive(order, is_death_proven=run.is_death_proven, now=run.now):
                run.still_open.append(row.intent_id)
                return
            # The lock is ours, so whoever prepared it sends no more; whether it was sent, the broker knows.
            unknown = run.journal.mark_unknown(
                row.intent_id, epoch=row.epoch, reason="found_prepared", is_takeover=True, now=run.now
            )
            _ask(run, unknown, means)
        case (IntentState.EXECUTING, Stage.WORKING):
            follow(run, row, order_of(run, row), means)
        case (IntentState.UNKNOWN, _):
            _ask(run, row, means)
        case _:
            return


def _ask(run: Run, row: JournalIntent, means: Means) -> None:
    """Ask the broker for the order of an unknown intent: adopt it, or judge its absence."""
    order = order_of(run, row)
    while True:
        found = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
        if found is not None:
            _adopt(run, row, order, found, means)
            return
        if row.stage is Stage.PARKED:
            if run.broker.capabilities.is_query_authoritative and not order.broker_order_id:
                # A person may end its intent once that is proven.
                run.journal.record_absence(row.intent_id, epoch=row.epoch, now=run.now)
            run.parked.append(row.intent_id)
            return
        if order.first_absent_at is not None and run.now < order.first_absent_at:
            order = run.journal.record_absence(row.intent_id, epoch=row.epoch, now=run.now)
        follows = after_absence(
            row, order, run.broker.capabilities, is_death_proven=run.is_death_proven, now=run.now
        )
        if follows.next is not Next.ASK_AGAIN:
            break
        order = run.journal.record_absence(row.intent_id, epoch=row.epoch, now=run.now)
    match follows.next:
        case Next.PARK:
            _park(run, row, follows.reason)
        case Next.CONCLUDE:
            conclude(run, row, reason=follows.reason, is_expired=True)
        case Next.SEND_AGAIN if means.send_again is not None:
            means.send_again(run, row, order)
        case _:
            run.still_open.append(row.intent_id)


def conclude(run: Run, row: JournalIntent, *, reason: str, is_expired: bool) -> None:
    """End an unknown intent whose order was just found absent once more, which proves it."""
    run.journal.record_absence(row.intent_id, epoch=row.epoch, now=run.now)
    run.journal.conclude_absent(
        row.intent_id,
        epoch=row.epoch,
        reason=reason,
        is_expired=is_expired,
        settle_time_s=run.broker.capabilities.settle_time_s,
        is_death_proven=run.is_death_proven,
        now=run.now,
    )
    if is_expired:
        run.expired.append(row.intent_id)
    else:
        run.failed.append((row.intent_id, reason))


def _adopt(run: Run, row: JournalIntent, order: JournalOrder, found: BrokerOrder, means: Means) -> None:
    mismatch = differences(order.request, found)
    if mismatch:
        run.journal.record_presence(
            row.intent_id, epoch=row.epoch, broker_order_id=found.broker_order_id, now=run.now
        )
        if row.stage is not Stage.PARKED:
            _park(run, row, "order_mismatch")
        halt_on_mismatch(run, row, order, mismatch)
        return
    adopted = run.journal.adopt(row.intent_id, epoch=row.epoch, order=found, now=run.now)
    run.adopted.append(row.intent_id)
    if adopted.state.is_open:
        follow(run, adopted, order, means)
    else:
        run.closed.append(row.intent_id)


def _park(run: Run, row: JournalIntent, reason: str) -> None:
    run.journal.park(row.intent_id, epoch=row.epoch, reason=reason, now=run.now)
    run.parked.append(row.intent_id)


def mark_unknown(run: Run, row: JournalIntent, reason: str) -> JournalIntent:
    """Store that a send is not proven either way."""
    unknown = run.journal.mark_unknown(
        row.intent_id, epoch=row.epoch, reason=reason, is_takeover=False, now=run.now
    )
    run.unknown.append(row.intent_id)
    return unknown


def halt_on_mismatch(run: Run, row: JournalIntent, order: JournalOrder, mismatch: Sequence[str]) -> None:
    """Halt the account: the broker has another order under the id than was sent."""
    detail = f"{order.client_order_id}: {'; '.join(mismatch)}"
    note(run, FindingKind.MISMATCHED, row, order, detail)


def note(run: Run, kind: FindingKind, row: JournalIntent, order: JournalOrder | None, detail: str) -> None:
    """Store a finding about an open intent, halt what it is about, and keep it for the run's report."""
    finding = Finding(
        kind, order.client_order_id if order else None, row.intent_id, row.intent.symbol, detail, is_live=True
    )
    _record(run, finding)
    run.noted.append(finding)


# -------------------------------------------------------------------------------- what is working


def follow(run: Run, row: JournalIntent, order: JournalOrder, means: Means) -> None:
    """Book the new fills of a working order, cancel it where that was asked for, end its intent with it."""
    found = _find_again(run, row, order)
    if found is None:
        return
    if not found.status.is_terminal:
        row, order = _ask_halt(run, row, order)
        row, order = _ask_expiry(run, row, order)
        if order.cancel_asked_at is not None:
            # On disk first; asking the broker again changes nothing, so that a crash between is harmless.
            run.broker.cancel(order.client_order_id, now=run.now)
            found = _find_again(run, row, order)
            if found is None:
                return
    if mismatch := differences(order.request, found):
        # It is cancelled where that was asked for, and nothing of it is believed.
        halt_on_mismatch(run, row, order, mismatch)
        run.still_open.append(row.intent_id)
        return
    if not _book_fills(run, row, order, found):
        return
    row, order = run.journal.intent(row.intent_id), order_of(run, row)
    way = 1 if order.request.side is Side.BUY else -1
    run.filled[order.client_order_id] = (order.request.symbol, found.filled_quantity, way)
    is_told = found.filled_quantity == run.journal.net_filled(order.client_order_id)
    if not found.status.is_terminal or not is_told:
        run.still_open.append(row.intent_id)
        return
    if order.cancel_kind is CancelKind.REPLACE and not run.is_settling:
        if means.replace is None:
            run.still_open.append(row.intent_id)
            return
        if means.replace(run, row, order, found):
            return
    run.journal.close_working(row.intent_id, epoch=row.epoch, order=found, now=run.now)
    run.closed.append(row.intent_id)


def _find_again(run: Run, row: JournalIntent, order: JournalOrder) -> BrokerOrder | None:
    """Return a working order as the broker has it; parks its intent where it is gone."""
    found = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
    if found is not None:
        return found
    if run.now < row.changed_at + timedelta(seconds=run.broker.capabilities.settle_time_s):
        # So long the broker itself asks for, before its queries show what it has acknowledged.
        run.still_open.append(row.intent_id)
        return None
    unknown = run.journal.mark_unknown(
        row.intent_id, epoch=row.epoch, reason="working_then_absent", is_takeover=False, now=run.now
    )
    _park(run, unknown, "acknowledged_then_absent")
    return None


def _ask_halt(run: Run, row: JournalIntent, order: JournalOrder) -> tuple[JournalIntent, JournalOrder]:
    """Ask for the cancel of an order that is open while trading is halted, a flatten excepted.

    It may have been on its way when the halt came: who halted could not see it yet.
    """
    control = run.journal.run_control()
    is_wanted = control.kill_switch_on and row.intent.slot is not Slot.FLATTEN
    if not is_wanted or cancel_refusal(order.cancel_kind, CancelKind.CANCEL):
        return row, order
    asked = run.journal.ask_cancel(
        row.intent_id,
        epoch=row.epoch,
        kind=CancelKind.CANCEL,
        actor=control.actor,
        reason=control.reason,
        now=run.now,
    )
    return asked, order_of(run, asked)


def _ask_expiry(run: Run, row: JournalIntent, order: JournalOrder) -> tuple[JournalIntent, JournalOrder]:
    """Ask for the cancel of an order that outlived its intent's time."""
    if order.cancel_asked_at is not None or run.now < row.not_after:
        return row, order
    asked = run.journal.ask_cancel(
        row.intent_id,
        epoch=row.epoch,
        kind=CancelKind.EXPIRY,
        actor=run.holder,
        reason="not_after_passed",
        now=run.now,
    )
    return asked, order_of(run, asked)


def _book_fills(run: Run, row: JournalIntent, order: JournalOrder, found: BrokerOrder) -> bool:
    """Book what the broker reports; returns whether it could be believed."""
    raw = run.broker.fills(order.client_order_id, now=run.now)
    booked = run.journal.executions_of(order.client_order_id)
    # One without an id may tell of its commission only later: it is the one that is booked.
    reported = [
        execution
        for execution, told in zip(named_executions(raw), raw, strict=True)
        if told.execution_id or execution.execution_id not in booked
    ]
    new = [execution for execution in reported if execution.execution_id not in booked]
    # Before anything of it is booked: what was booked stays in history, and no person takes it out again.
    executed = sum(booked.values()) + net_shares(new)
    if not _is_covered(run, row, order, found, executed):
        return False
    try:
        for execution in reported:
            if not execution.takes_back:
                run.new_fills += run.journal.record_fill(_fill(row, order, execution), now=run.now)
        for execution in reported:
            if execution.takes_back:
                _take_back(run, row, execution)
    except (IllegalTransition, BadInput) as error:
        # More than was sent, another fill under a known id, or what no journal can hold (a commission below
        # 0): nothing of it goes on before a person looked.
        _refuse_fill(run, row, str(error))
        return False
    return _is_covered(run, row, order, found, run.journal.net_filled(order.client_order_id))


def _is_covered(run: Run, row: JournalIntent, order: JournalOrder, found: BrokerOrder, executed: int) -> bool:
    """Say whether an order says of itself that so many shares are filled; a finding tells where it does not.

    It may have been filled further between being looked at and its executions being listed.
    """
    if executed <= found.filled_quantity:
        return True
    again = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
    if again is not None and executed <= again.filled_quantity:
        return True
    told = f"{order.client_order_id}: executions of {executed}, the order says {found.filled_quantity}"
    _refuse_fill(run, row, told)
    return False


def _refuse_fill(run: Run, row: JournalIntent, detail: str) -> None:
    note(run, FindingKind.FILL_REFUSED, row, run.journal.order_of(row.intent_id), detail)
    run.still_open.append(row.intent_id)


def _fill(row: JournalIntent, order: JournalOrder, execution: BrokerFill) -> Fill:
    return Fill(
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


def order_of(run: Run, row: JournalIntent) -> JournalOrder:
    """Return the order of an intent's highest generation; raises where it was never prepared."""
    order = run.journal.order_of(row.intent_id)
    if order is None:
        raise IllegalTransition(f"{row.intent_id}: {row.state}/{row.stage} without a prepared order")
    return order


# -------------------------------------------------------------------------------- what does not agree


def find_in_list(run: Run, since: date) -> tuple[Finding, ...]:
    """Return what of the broker's list does not agree with the journal, and did not in the look before.

    An earlier executor that is fenced off from sending may still book a fill and end its intent between the
    list and the row. What was ended stays so, and whoever is asked after it knows its order as ended.
    """
    before: tuple[Finding, ...] = ()
    standing: tuple[Finding, ...] = ()
    for look in range(LOOKS_AT_THE_LIST):
        suspected = {finding.client_order_id for finding in before if finding.client_order_id is not None}
        now = _compare_list(run, since, suspected)
        known = {(finding.kind, finding.client_order_id) for finding in before}
        standing = tuple(each for each in now if (each.kind, each.client_order_id) in known)
        if not now or (look and len(standing) == len(now)):
            break
        before = now
    return standing


def _compare_list(run: Run, since: date, suspected: Collection[ClientOrderId]) -> tuple[Finding, ...]:
    """Compare the broker's list with the journal, watched ids included; `suspected` are asked for by id.

    A list may lag behind what a query by id knows.
    """
    listed = list(run.broker.orders(since=since, now=run.now))
    listed = [_ask_by_id(run, order) if order.client_order_id in suspected else order for order in listed]
    there = {order.client_order_id for order in listed}
    for watched in run.journal.watched(account=run.account, since=since):
        if watched.client_order_id not in there:
            found = run.broker.order_by_client_order_id(watched.client_order_id, now=run.now)
            listed += [found] if found is not None else []
    orders = run.journal.orders_by_id([order.client_order_id for order in listed])
    intents = {row.intent_id: row for row in run.journal.intents_by_id([o.intent_id for o in orders])}
    told = filled_under(listed)
    known = {
        order.client_order_id: Known(
            order=order,
            intent=intents[order.intent_id],
            booked=_book_busts(run, intents[order.intent_id], order, told[order.client_order_id]),
        )
        for order in orders
    }
    return listed_findings(listed, known)


def _ask_by_id(run: Run, order: BrokerOrder) -> BrokerOrder:
    """Return a listed order as a query by its id knows it, unless that finds none or another one."""
    found = run.broker.order_by_client_order_id(order.client_order_id, now=run.now)
    is_same = found is not None and found.broker_order_id == order.broker_order_id
    return found if found is not None and is_same else order


def _book_busts(run: Run, row: JournalIntent, order: JournalOrder, told: int) -> int:
    """Return an order's booked shares; of one that is not followed, with what was taken back since."""
    booked = run.journal.net_filled(order.client_order_id) if order.filled_quantity else 0
    is_followed = row.state.is_open and row.generation == order.generation
    if is_followed or booked == told:
        return booked
    try:
        for execution in named_executions(run.broker.fills(order.client_order_id, now=run.now)):
            if execution.takes_back:
                _take_back(run, row, execution)
    except (IllegalTransition, BadInput):
        # What cannot be booked stays a difference, and is named as one.
        return booked
    return run.journal.net_filled(order.client_order_id)


def _take_back(run: Run, row: JournalIntent, execution: BrokerFill) -> None:
    is_new = run.journal.record_bust(
        execution_id=execution.execution_id,
        takes_back=execution.takes_back,
        intent_id=row.intent_id,
        now=run.now,
    )
    if is_new:
        detail = f"{execution.execution_id} takes back {execution.takes_back}"
        run.noted.append(
            Finding(FindingKind.BUST, execution.client_order_id, row.intent_id, row.intent.symbol, detail)
        )


def find_in_holdings(run: Run, expected: Expected | None) -> tuple[Finding, ...]:
    """Return where the account has something else than the book, whatever filled while it was asked.

    A figure of the book that moved between the look before the account and the one after it says nothing,
    and is looked at again; one that stood still and is not the account's is a difference.
    """
    if expected is None or (expected.until is not None and run.now >= expected.until):
        return ()
    standing: tuple[Finding, ...] = ()
    try:
        before = _book_now(run, expected)
        for _ in range(LOOKS_AT_HOLDINGS):
            holdings = run.broker.holdings(now=run.now)
            findings = holdings_findings(before[0], holdings, before[1])
            if not findings:
                return ()
            _hear_more(run)
            after = _book_now(run, expected)
            again = holdings_findings(after[0], holdings, after[1])
            standing = tuple(finding for finding in findings if finding in again)
            if after == before:
                break
            before = after
    except Oversold as error:
        return (Finding(FindingKind.OVERSOLD, None, "", error.symbol, str(error)),)
    return standing


def _with_changes_named(
    run: Run, findings: tuple[Finding, ...], expected: Expected | None, *, since: date
) -> tuple[Finding, ...]:
    """Return findings with each change that no fill explains named where cash or shares differ.

    A fee that a broker charges by itself, a dividend that it pays on another day, a split, money or shares
    that somebody moved: the book may have none of it, and nothing of it may pass unsaid.
    """
    if expected is None or all(finding.kind not in CHANGED for finding in findings):
        return findings
    days = (since + timedelta(days=day) for day in range((expected.session - since).days + 1))
    fills = [
        fill for day in days for fill in run.journal.fills(book=expected.book, lane=run.lane, session=day)
    ]
    try:
        activities = run.broker.activities(since=since, now=run.now)
    except BrokerUnavailable as error:
        told = f"; what changed it could not be asked ({error})"
        return tuple(
            finding._replace(detail=finding.detail + told) if finding.kind in CHANGED else finding
            for finding in findings
        )
    changes = changes_beside_fills(activities, fills=fills)
    return tuple(_with_changes(finding, changes) for finding in findings)


def _with_changes(finding: Finding, changes: Sequence[BrokerActivity]) -> Finding:
    match finding.kind:
        case FindingKind.CASH:
            own = [change for change in changes if change.cash_micros]
        case FindingKind.POSITION:
            own = [change for change in changes if change.quantity and change.symbol == finding.symbol]
        case _:
            return finding
    return finding._replace(detail=finding.detail + _told_changes(own))


def _told_changes(changes: Sequence[BrokerActivity]) -> str:
    """Return changes in words, empty for none; beyond some it says how many more there are."""
    named = [
        " ".join(
            filter(
                None,
                (
                    change.kind.value,
                    f"{amount_from_micros(change.cash_micros):,f}" if change.cash_micros else "",
                    f"{change.quantity:+d}" if change.quantity else "",
                    change.symbol,
                    f"on {change.happened_at:%Y-%m-%d}",
                    # A halt names its findings with this between them, and a broker's words are none of ours.
                    f"({change.detail[:80].replace(FINDINGS_APART, ', ')})" if change.detail else "",
                ),
            )
        )
        for change in changes[:CHANGES_NAMED]
    ]
    more = f", and {len(changes) - CHANGES_NAMED} more" if len(changes) > CHANGES_NAMED else ""
    return f"; the broker tells of {', '.join(named)}{more}" if named else ""


def _book_now(run: Run, expected: Expected) -> tuple[Book, list[tuple[Symbol, int]]]:
    """Return a session's book after its fills, and the shares of which orders tell, but no execution yet."""
    fills = run.journal.fills(book=expected.book, lane=run.lane, session=expected.session)
    untold = [
        (symbol, way * (filled - booked))
        for client_order_id, (symbol, filled, way) in run.filled.items()
        if (booked := run.journal.net_filled(client_order_id)) < filled
    ]
    return with_fills(expected.at_open, fills), untold


def _hear_more(run: Run) -> None:
    """Book what filled or arrived since the open intents were looked at."""
    for row in run.journal.open_intents(account=run.account, lane=run.lane):
        if row.stage is Stage.WORKING or row.state is IntentState.UNKNOWN:
            bring_on(run, row, Means())


def _record(run: Run, finding: Finding) -> None:
    """Store a finding and halt what it is about."""
    if finding.halts_account or finding.halts_instrument:
        run.journal.record_finding(
            kind=finding.kind.value,
            account=run.account,
            symbol=Symbol(finding.symbol) if finding.halts_instrument else "",
            intent_id=finding.intent_id,
            detail=finding.detail,
            is_standing=finding.is_live or finding.client_order_id is None,
            now=run.now,
        )
    else:
        run.journal.record_incident(
            kind=finding.kind.value,
            account=run.account,
            intent_id=finding.intent_id,
            detail=finding.detail,
            is_halting=False,
            now=run.now,
        )
