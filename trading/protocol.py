"""The executor's protocol as rules: what may be sent, and what follows from what a broker tells. Pure.

`transition` (lifecycle.py) says which step exists; here is what has to be true outside the intent for it to
be taken: run control and halts, the executor's term, time, a broker's capabilities, its answers. The store
asks inside its transactions, the executor and the reconciler before they ask the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from trading.brokers import BrokerFill, Capabilities, DedupScope, Holdings, differences
from trading.guards import (
    CLOCK_SKEWED,
    COOLDOWN_ACTIVE,
    EXECUTION_DISABLED,
    GUARDS,
    NOT_RECONCILED,
    OPPOSITE_SIDE_CONFLICT,
    ORDER_RATE_EXCEEDED,
    PASS,
    QUOTE_STALE,
    SESSION_CLOSED,
    Why,
)
from trading.intents import CLIENT_ORDER_ID_PREFIX, client_order_id_of, hashed
from trading.journal import CancelKind, Cooldown, ExecutorTerm, Halt, JournalIntent, JournalOrder, RunControl
from trading.lifecycle import IntentState
from trading.orders import BrokerOrder, Fill, OrderRequest, OrderStatus
from trading.positions import Book
from trading.values import ClientOrderId, Side, Slot, Symbol, amount_from_micros

ABSENCES_NEEDED = 3
"""How often a broker must not know an order before its absence counts as proven."""

SEND_MARGIN = timedelta(seconds=5)
"""How long before `send_by` an intent is not begun any more: what is prepared should also be sent."""

FINDINGS_APART = " | "
FINDINGS_NAMED = 8
"""How many findings a halt names at most."""

WATCHED_SESSIONS = 2
"""For how many sessions the id of an order that was proven absent is looked for."""

TEMPORARY = frozenset(
    {
        COOLDOWN_ACTIVE,
        NOT_RECONCILED,
        EXECUTION_DISABLED,
        QUOTE_STALE,
        SESSION_CLOSED,
        CLOCK_SKEWED,
        ORDER_RATE_EXCEEDED,
        OPPOSITE_SIDE_CONFLICT,
    }
)
"""The guards' codes that time or a switch may cure: they hold an intent, every other one ends it."""


class Next(StrEnum):
    """Say what follows when a broker does not know the order of an unknown intent."""

    ASK_AGAIN = "ask_again"
    WAIT = "wait"
    PARK = "park"
    SEND_AGAIN = "send_again"
    CONCLUDE = "conclude"


class AfterAbsence(NamedTuple):
    """Hold what follows from an absence, and why: a stable code."""

    next: Next
    reason: str


class FindingKind(StrEnum):
    """Name what is wrong between the journal and a broker."""

    ZOMBIE = "zombie"
    ORPHAN = "orphan"
    MISMATCHED = "order_mismatch"
    TWICE = "two_orders_of_one_id"
    FOREIGN = "foreign_order"
    FILL_REFUSED = "fill_refused"
    BUST = "bust"
    UNRESOLVED = "unresolved"
    POSITION = "position_mismatch"
    CASH = "cash_mismatch"
    OVERSOLD = "book_oversold"


class Finding(NamedTuple):
    """Hold one thing that does not agree, and how: of which order (if any), intent and symbol (or empty).

    `is_live` says that an order may still fill at the broker, so that it has to be cancelled.
    """

    kind: FindingKind
    client_order_id: ClientOrderId | None
    intent_id: str
    symbol: str
    detail: str
    is_live: bool = False

    @property
    def halts_account(self) -> bool:
        """Say whether nothing of the account may go before a person looked."""
        return self.kind not in {FindingKind.FOREIGN, FindingKind.POSITION, FindingKind.BUST}

    @property
    def halts_instrument(self) -> bool:
        """Say whether nothing in the symbol may go before a person looked."""
        return self.kind in {FindingKind.POSITION, FindingKind.BUST}


# -------------------------------------------------------------------------------- what is sent


def request_of(row: JournalIntent) -> OrderRequest:
    """Return what is sent for an intent: a pure function of its row, so that a resend has the same bytes.

    A replacement asks for what its earlier generations left.
    """
    intent = row.intent
    return OrderRequest(
        client_order_id=client_order_id_of(
            account=row.account, intent_id=row.intent_id, generation=row.generation
        ),
        account=row.account,
        session=intent.session,
        symbol=intent.symbol,
        side=intent.side,
        quantity=row.quantity - row.filled_quantity,
        order_type=intent.order_type,
        time_in_force=intent.time_in_force,
        reference_price_micros=intent.price_micros,
    )


def reservation_micros(row: JournalIntent, whys: Sequence[Why]) -> int:
    """Return the money that T2 promises away for a buy: what the buying-power guard counted.

    Never less than the notional at the reference price; a sale promises nothing.
    """
    if row.intent.side is Side.SELL:
        return 0
    at_reference = row.intent.price_micros * (row.quantity - row.filled_quantity)
    counted = [why.observed for (name, _), why in zip(GUARDS, whys, strict=True) if name == "buying_power"]
    return max([at_reference, *counted])


def reserved_after_bust(quantity_left: int, micros_left: int, fill: Fill) -> tuple[int, int]:
    """Return the shares and micro-units an open order is promised once one of its fills was taken back.

    The broker has these shares open again. Each of a buy costs what those still open were promised, and
    never less than it was traded at; a sale promises no money.
    """
    if fill.side is Side.SELL:
        return quantity_left + fill.quantity, micros_left
    promised = -(-micros_left // max(quantity_left, 1))
    return quantity_left + fill.quantity, micros_left + fill.quantity * max(promised, fill.price_micros)


def is_temporary(whys: Iterable[Why]) -> bool:
    """Say whether an intent that guards stop at its send waits instead of ending: the first reason decides.

    What is judged after it was judged on a price or a moment that is not the send's. Of stale quotes only
    one that is too old waits: one of another session or from the future is wrong, not late.
    """
    first = min((why for why in whys if why.code != PASS), key=lambda why: why.code, default=None)
    if first is None or first.code not in TEMPORARY:
        return False
    return first.code != QUOTE_STALE or first.observed > first.limit > 0


# -------------------------------------------------------------------------------- what holds a send


def gate_refusal(
    row: JournalIntent, control: RunControl, halts: Collection[Halt], cooldown: Cooldown | None = None
) -> str:
    """Return why an intent may not be claimed or prepared now, empty where it may.

    The kill switch lets a flatten through; a pause and the halt of an account or an instrument do not. An
    account that cools down (`cooldown`, where it is active) may reduce risk and nothing else.
    """
    if control.kill_switch_on and row.intent.slot is not Slot.FLATTEN:
        return f"kill_switch_on: is held, since {control.actor} said {control.reason!r}"
    if control.paused:
        return f"trading_paused: is held, since {control.actor} said {control.reason!r}"
    for halt in halts:
        if halt.account == row.account and halt.symbol in {"", row.intent.symbol}:
            code = "instrument_halted" if halt.symbol else "account_halted"
            return f"{code}: is held, since {halt.actor} said {halt.reason!r}"
    if cooldown is not None and row.intent.side is Side.BUY:
        return f"cooldown_active: is held until {cooldown.until:%Y-%m-%d %H:%M:%S} UTC: {cooldown.reason}"
    return ""


def halt_reason(known: str, finding: str) -> str:
    """Return why an account or an instrument is halted once something more is found: all of it.

    Who ends a halt has seen what it names. Beyond some findings it says that there are more.
    """
    named = [] if not known else known.split(FINDINGS_APART)
    if len(named) >= FINDINGS_NAMED:
        named = [*named[: FINDINGS_NAMED - 2], "and more, see `trading status`"]
    return FINDINGS_APART.join([*named, finding])


def term_refusal(found: ExecutorTerm | None, term: int, *, is_reconciled_needed: bool) -> str:
    """Return why an executor may not act in a term, empty where it may.

    Another executor that began after it fences it off, whatever its lock believes; before its term is
    reconciled with the broker nothing is claimed.
    """
    if found is None or found.term != term:
        now = "no term" if found is None else f"term {found.term} of {found.holder}"
        return f"term_over: expected executor term {term}, found {now}"
    if is_reconciled_needed and found.reconciled_at is None:
        return f"not_reconciled: executor term {term} has not been reconciled with the broker"
    return ""


def send_time_refusal(row: JournalIntent, send_by: datetime, now: datetime) -> str:
    """Return why it is too late to send, empty where it is not."""
    if now >= send_by:
        return "send_by_passed"
    return "not_after_passed" if now >= row.not_after else ""


def may_be_alive(order: JournalOrder, *, is_death_proven: bool, now: datetime) -> bool:
    """Say whether an earlier holder may still be about to send what it prepared.

    A file lock's holder is dead when the lock is free. A lost database session proves nothing: then
    `send_by` is its lease, after which it does not send by its own rule.
    """
    return not is_death_proven and now < order.send_by + SEND_MARGIN


# -------------------------------------------------------------------------------- what an absence means


def absence_refusal(order: JournalOrder) -> str:
    """Return why an order does not count as proven absent, empty where it does."""
    if order.broker_order_id:
        return f"acknowledged as {order.broker_order_id}; that it is gone proves nothing"
    if order.absences < ABSENCES_NEEDED:
        return f"absent {order.absences} times at the broker; {ABSENCES_NEEDED} prove it"
    return ""


def conclusion_refusal(
    order: JournalOrder, *, last_absent_at: datetime, settle_time_s: int, is_death_proven: bool
) -> str:
    """Return why an intent may not be ended because its order is absent, empty where it may (14).

    Nothing may be in flight: it was still absent (`last_absent_at`) once the broker's settle time had passed
    since it was first found so, and where its sender is not provably dead, since the last instant at which
    that one would still have sent it.
    """
    if why_not := absence_refusal(order):
        return why_not
    settled_at = order.first_absent_at or last_absent_at
    if not is_death_proven:
        settled_at = max(settled_at, order.send_by + SEND_MARGIN)
    settled_at += timedelta(seconds=settle_time_s)
    if last_absent_at < settled_at:
        return (
            f"it may have arrived since it was last looked for ({last_absent_at:%Y-%m-%d %H:%M:%S} UTC):"
            f" reconcile again from {settled_at:%Y-%m-%d %H:%M:%S} UTC on,"
            " or where the broker itself has told you so, conclude it with --on-my-word"
        )
    return ""


def after_absence(
    row: JournalIntent,
    order: JournalOrder,
    capabilities: Capabilities,
    *,
    is_death_proven: bool,
    now: datetime,
) -> AfterAbsence:
    """Return what follows when the broker does not know the order of an unknown intent (12, 13, 14).

    Sent again only where the broker would refuse a second one for as long as the first may still arrive;
    ended only where nothing can arrive any more; else it waits for a person.
    """
    if order.broker_order_id:
        return AfterAbsence(Next.PARK, "acknowledged_then_absent")
    if not capabilities.is_query_authoritative:
        return AfterAbsence(Next.PARK, "query_not_authoritative")
    if order.absences < ABSENCES_NEEDED:
        return AfterAbsence(Next.ASK_AGAIN, "absence_not_proven")
    first_absent_at = order.first_absent_at or now
    is_settled = now - first_absent_at >= timedelta(seconds=capabilities.settle_time_s)
    is_late = now >= row.not_after
    if capabilities.dedup_scope is DedupScope.ALL_TIME:
        if not is_late:
            return AfterAbsence(Next.SEND_AGAIN, "absent")
        if not is_settled:
            return AfterAbsence(Next.WAIT, "settle_time")
        if not is_death_proven:
            return AfterAbsence(Next.PARK, "holder_not_proven_dead")
        return AfterAbsence(Next.CONCLUDE, "too_late_to_send")
    if not is_death_proven:
        return AfterAbsence(Next.PARK, "holder_not_proven_dead")
    if is_late or not _covers(row, order, capabilities, now):
        return AfterAbsence(Next.PARK, "dedup_not_for_all_time")
    return AfterAbsence(Next.SEND_AGAIN, "absent") if is_settled else AfterAbsence(Next.WAIT, "settle_time")


def _covers(row: JournalIntent, order: JournalOrder, capabilities: Capabilities, now: datetime) -> bool:
    """Say whether a broker that does not remember for good would still refuse a second order now.

    A broker that remembers only open orders does not: the first may arrive after the second has filled.
    """
    match capabilities.dedup_scope:
        case DedupScope.WINDOW:
            return now < order.prepared_at + timedelta(seconds=capabilities.dedup_window_s)
        case DedupScope.SESSION:
            return now < row.not_after
        case _:
            return False


# -------------------------------------------------------------------------------- how an order ends


def ending_of(status: OrderStatus, filled_quantity: int, *, cancel_kind: CancelKind) -> IntentState:
    """Return how an intent ends when its order does: executed if anything was filled.

    Unfilled, it is cancelled if a person asked for that, failed if the broker rejected it afterwards, and
    otherwise expired with its order's time in force.
    """
    if filled_quantity > 0:
        return IntentState.EXECUTED
    if status is OrderStatus.REJECTED:
        return IntentState.FAILED
    is_asked = cancel_kind in {CancelKind.CANCEL, CancelKind.REPLACE}
    return IntentState.CANCELLED if is_asked else IntentState.EXPIRED


def cancel_refusal(known: CancelKind, asked: CancelKind) -> str:
    """Return why a cancel may not be asked for now, empty where it may (17).

    A person who wants an order stopped is stronger than one who wants it replaced, and than its expiry.
    """
    if known is CancelKind.NONE or (asked is CancelKind.CANCEL and known is not CancelKind.CANCEL):
        return ""
    return f"{known} was asked for already"


def replacement_refusal(
    row: JournalIntent, order: JournalOrder, ended: BrokerOrder, *, booked: int, kept: int
) -> str:
    """Return why an order may not be replaced by its next generation, empty where it may (18).

    `booked` are its executions' shares, `kept` those of all its intent's orders, both less those that were
    taken back.
    """
    if order.cancel_kind is not CancelKind.REPLACE:
        return "nobody asked to replace it"
    if ended.status is not OrderStatus.CANCELLED:
        return f"the old order is {ended.status} at the broker; only a cancelled one is replaced"
    if ended.filled_quantity != booked:
        return f"the broker filled {ended.filled_quantity}, booked are {booked}"
    if row.filled_quantity != kept:
        back = row.filled_quantity - kept
        return f"of {row.filled_quantity} filled {back} were taken back: a person decides"
    if row.filled_quantity >= row.quantity:
        return f"all {row.quantity} are filled"
    return ""


def named_executions(fills: Sequence[BrokerFill]) -> tuple[BrokerFill, ...]:
    """Return executions with an id each: one without gets the digest of what it says and how often it did.

    The same report again gives the same ids, in whatever order its lines come, and whether it tells of the
    commission yet or not.
    """
    seen: dict[tuple[str, ...], int] = {}
    named = []
    for fill in fills:
        if fill.execution_id:
            named.append(fill)
            continue
        said = (
            fill.client_order_id,
            str(fill.quantity),
            str(fill.price_micros),
            fill.filled_at.isoformat(),
        )
        seen[said] = seen.get(said, 0) + 1
        named.append(fill._replace(execution_id="exe-" + hashed(*said, str(seen[said]))))
    return tuple(named)


def net_shares(executions: Iterable[BrokerFill]) -> int:
    """Return the shares that executions tell of, each counted once, less those that were taken back."""
    told = {each.execution_id: -each.quantity if each.takes_back else each.quantity for each in executions}
    return sum(told.values())


# -------------------------------------------------------------------------------- what does not agree


class Known(NamedTuple):
    """Hold what the journal knows of one order: its row, its intent's, and its booked shares.

    `booked` leaves out what the broker took back.
    """

    order: JournalOrder
    intent: JournalIntent
    booked: int


def listed_findings(
    listed: Sequence[BrokerOrder], known: Mapping[ClientOrderId, Known]
) -> tuple[Finding, ...]:
    """Return what of a broker's list does not agree with the journal, by client order id.

    A zombie is live at the broker and ours, but nothing here expects it: no row, an ended intent, or a
    generation that was replaced. An orphan has ended there with an exposure that is not booked here.

    Two orders under one id are each looked at, with all shares filled under it, since neither a broker's ids
    nor the order of its list say which came first; and that there are two is a finding of its own.
    """
    findings = []
    filled = filled_under(listed)
    names: dict[ClientOrderId, dict[str, BrokerOrder]] = {}
    # By all of an order at last: one that stands on two pages of a list may have moved between them.
    for order in sorted(listed, key=lambda each: (each.client_order_id, each.broker_order_id, repr(each))):
        if not order.client_order_id.startswith(CLIENT_ORDER_ID_PREFIX):
            findings.append(_finding(FindingKind.FOREIGN, order, None, "not ours"))
            continue
        names.setdefault(order.client_order_id, {})[order.broker_order_id] = order
        if (row := known.get(order.client_order_id)) is not None:
            findings += _row_findings(order, row, filled[order.client_order_id])
            continue
        kind = FindingKind.ORPHAN if order.status.is_terminal else FindingKind.ZOMBIE
        findings.append(_finding(kind, order, None, "the journal has no row of it"))
    findings += [_twice(under, known.get(name)) for name, under in names.items() if len(under) > 1]
    # One that stands on two pages of a list is one.
    return tuple(dict.fromkeys(findings))


def filled_under(listed: Iterable[BrokerOrder]) -> Counter[ClientOrderId]:
    """Return the shares filled under each client order id, of all orders that a broker has under it."""
    most: dict[tuple[ClientOrderId, str], int] = {}
    for order in listed:
        one = (order.client_order_id, order.broker_order_id)
        most[one] = max(order.filled_quantity, most.get(one, 0))
    filled: Counter[ClientOrderId] = Counter()
    for (client_order_id, _), shares in most.items():
        filled[client_order_id] += shares
    return filled


def _row_findings(order: BrokerOrder, row: Known, filled: int) -> list[Finding]:
    """Return what of one order does not agree with its row; `filled` are all shares under its id."""
    findings = []
    if found := differences(row.order.request, order):
        findings.append(_finding(FindingKind.MISMATCHED, order, row, "; ".join(found)))
    is_over = not row.intent.state.is_open or row.intent.generation != row.order.generation
    if is_over and not order.status.is_terminal:
        findings.append(_finding(FindingKind.ZOMBIE, order, row, f"the intent is {row.intent.state}"))
    elif is_over and filled != row.booked:
        findings.append(_finding(FindingKind.ORPHAN, order, row, f"booked are {row.booked} of {filled}"))
    return findings


def _twice(under: Mapping[str, BrokerOrder], row: Known | None) -> Finding:
    """Return that a broker has more than one order under an id; `under` holds them by the broker's ids."""
    # Of no order's state: what moves would make another incident of the same two.
    first = next(iter(under.values()))
    is_live = any(not order.status.is_terminal for order in under.values())
    return Finding(
        FindingKind.TWICE,
        first.client_order_id,
        row.intent.intent_id if row else "",
        first.symbol,
        f"more than one under {first.client_order_id}: {', '.join(sorted(under))}",
        is_live=is_live,
    )


def _finding(kind: FindingKind, order: BrokerOrder, row: Known | None, why: str) -> Finding:
    return Finding(
        kind,
        order.client_order_id,
        row.intent.intent_id if row else "",
        order.symbol,
        f"{_told(order)} ({order.client_order_id}): {why}",
        is_live=not order.status.is_terminal,
    )


def _told(order: BrokerOrder) -> str:
    return f"{order.side} {order.quantity} {order.symbol}, {order.filled_quantity} filled, {order.status}"


def holdings_findings(
    expected: Book, found: Holdings, untold: Collection[tuple[Symbol, int]] = ()
) -> tuple[Finding, ...]:
    """Return where a broker's positions and cash are not those of a book, by symbol, cash last.

    `untold` are the shares (sold ones negative) that orders say are filled and of which no execution is
    told yet. The account has them already; at what price nobody said, so the cash can be compared later.
    """
    findings = []
    held = {position.symbol: position.quantity for position in expected.positions}
    for symbol, shares in untold:
        held[symbol] = held.get(symbol, 0) + shares
    for symbol in sorted({*held, *found.quantities}):
        here, there = held.get(symbol, 0), found.quantities.get(symbol, 0)
        if here != there:
            findings.append(_holding(FindingKind.POSITION, symbol, f"{symbol}: book {here}, broker {there}"))
    if not untold and expected.cash_micros != found.cash_micros:
        both = (expected.cash_micros, found.cash_micros)
        # Both in one format, with what is less than a cent only where one of them has it.
        places = 2 if all(cash % 10_000 == 0 for cash in both) else 6
        book, broker = (f"{amount_from_micros(cash):,.{places}f} {expected.currency}" for cash in both)
        detail = f"cash: book {book}, broker {broker}"
        findings.append(_holding(FindingKind.CASH, Symbol(""), detail))
    return tuple(findings)


def _holding(kind: FindingKind, symbol: Symbol, detail: str) -> Finding:
    return Finding(kind, None, "", symbol, detail)
