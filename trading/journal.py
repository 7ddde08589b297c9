"""The journal as the rules see it: the port, and the records that cross it.

The adapter is resources/journal/. Every changing call is one transaction, compare-and-set, with its event
row inside; it raises a `JournalError` and changes nothing where the protocol has no such edge. The numbers
are the rows of lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.approvals import ApprovalMode, Role, StageRecord
from trading.decisions import Decision
from trading.guards import Why
from trading.intents import Intent
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, Fill, OrderRequest
from trading.positions import Book
from trading.routing import UNRECORDED, RouteChoice
from trading.values import ClientOrderId, IntentId, Symbol
from trading.verdicts import Verdict

STAGE_RAN = "stage_ran"
"""The kind of the event that tells of one run of a stage."""

PREPARED = "prepared"
"""The status of an order row from T2 until the broker's answer; afterwards it is an `OrderStatus`."""


class RunControlAction(StrEnum):
    """Name what is done to trading; where each leads is `trading.control.TRANSITIONS`.

    `resume` ends a halt or a pause, `restore` a degrade; `mode` says how approvals are given. `retry`,
    `cancel` and `flatten` switch nothing, and `cool` is of one account: they are asked of the same table.
    """

    RETRY = "retry"
    PAUSE = "pause"
    CANCEL = "cancel"
    RESUME = "resume"
    HALT = "halt"
    FLATTEN = "flatten"
    DEGRADE = "degrade"
    RESTORE = "restore"
    COOL = "cool"
    MODE = "mode"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunControl:
    """Hold the run control in force: the stop with who set it last, and the modes that people stored.

    `actor`, `reason` and `changed_at` are of the stop; `degraded_by`, `degraded_reason` and `degraded_at` of
    the degrade, or of what ended the last one.
    """

    kill_switch_on: bool
    paused: bool
    actor: str
    reason: str
    changed_at: datetime | None
    is_degraded: bool = False
    degraded_by: str = ""
    degraded_reason: str = ""
    degraded_at: datetime | None = None
    approval_mode: ApprovalMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownRules:
    """Hold when an account cools down, and for how long (seconds).

    So many failed executions within `window_s`, or so many incidents within `incidents_window_s`.
    """

    failures_max: int = 3
    window_s: int = 900
    cooldown_s: int = 900
    incidents_max: int = 3
    incidents_window_s: int = 3600

    def __post_init__(self) -> None:
        """Refuse rules by which nothing would ever cool down."""
        for name in ("failures_max", "window_s", "cooldown_s", "incidents_max", "incidents_window_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive; to stop trading use halt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """Hold that an account cools down after failures or incidents: until then it may only reduce risk.

    It ends by its time, or earlier by a named person; so many `failures`, or incidents, brought it about.
    """

    account: str
    lane: str
    failures: int
    began_at: datetime
    until: datetime
    actor: str
    reason: str

    def is_active(self, now: datetime) -> bool:
        """Say whether it holds now; a clock that went back before its beginning does not end it."""
        return now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenCommand:
    """Hold one flatten of a book: what its preview showed, by whom, and who ordered it (empty: nobody yet).

    `plan` is the JSON text that was previewed; `command_id` is its digest.
    """

    command_id: str
    book: str
    lane: str
    account: str
    session: date
    plan: str
    previewed_by: str
    previewed_at: datetime
    ordered_by: str
    reason: str
    ordered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Hold a halt of one account (`symbol` empty) or of one instrument in it: nothing of it is sent.

    Set by an incident, ended by a person.
    """

    account: str
    symbol: str
    actor: str
    reason: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorTerm:
    """Hold which executor of an account began last; every earlier one is fenced off.

    `reconciled_at` is `None` until its term's reconciliation with the broker is done: nothing is claimed
    before.
    """

    account: str
    lane: str
    term: int
    holder: str
    began_at: datetime
    reconciled_at: datetime | None


class CancelKind(StrEnum):
    """Say why a working order's cancel was asked for."""

    NONE = ""
    CANCEL = "cancel"
    EXPIRY = "expiry"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalIntent:
    """Hold one intent's row: what was decided, where it is, and what binds the next change.

    `quantity` is the final (advised) quantity to send; `payload_hash` is what an approval names.
    `reason` and `actor` are those of the last event that had one; `changed_at` is when it last changed.
    """

    intent_id: IntentId
    intent: Intent
    account: str
    lane: str
    state: IntentState
    stage: Stage
    version: int
    epoch: int
    generation: int
    quantity: int
    unadvised_quantity: int
    filled_quantity: int
    payload_hash: str
    reason: str
    actor: str
    not_after: datetime
    verdicts_sha: str
    limits_sha: str
    inputs_sha: str
    complete: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOrder:
    """Hold one prepared order: what was (or is about to be) sent, and what the broker said.

    `status` is `prepared` or an `OrderStatus`; `attempts` counts sends begun; `absences` how often an
    authoritative query did not find it, the first time at `first_absent_at`. `cancel_kind` says what its
    cancel was asked for, at `cancel_asked_at`. `route` is the adapter that it went to, for good.
    """

    intent_id: IntentId
    client_order_id: ClientOrderId
    generation: int
    request: OrderRequest
    request_sha: str
    status: str
    broker_order_id: str
    filled_quantity: int
    attempts: int
    absences: int
    first_absent_at: datetime | None
    cancel_asked_at: datetime | None
    cancel_kind: CancelKind
    prepared_at: datetime
    send_by: datetime
    reason: str
    route: RouteChoice = UNRECORDED


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """Hold how far one session of one book has come; `None` where a step has not been taken.

    `opening_sha` is empty where a stage refused before the book was opened for the session; `refused`
    names the stage and reason of the last refusal, empty when there is none.
    """

    book: str
    lane: str
    session: date
    opening_sha: str
    decided_at: datetime | None
    decisions_sha: str
    settled_at: datetime | None
    carried_by: str
    closing: Book | None
    closing_sha: str
    refused: str


class IntentCounts(NamedTuple):
    """Count a session's intents: all, those blocked when they were decided, and those with a fill."""

    intents: int
    blocked: int
    filled: int


class FundsView(NamedTuple):
    """Hold what a review inside T2 sees of the book, read in the same transaction.

    `book` is the session's book at open with the fills booked since. `reserved_micros` is what is left of
    the money promised to buys that are prepared, working or unknown; `open_buys` and `open_sells` are the
    shares still in such orders, by symbol. `cooldown_active` says whether the account cools down now.
    `orders_last_minute` counts the book's orders prepared within 60 s, `repeated_executions` the orders of
    other intents in the symbol and on the side, both of the session: the council alone decides a book.
    `is_approved_by_person` says whether a person approved this very payload.
    """

    run_control: RunControl
    book: Book
    reserved_micros: int
    open_buys: Mapping[Symbol, int]
    open_sells: Mapping[Symbol, int]
    cooldown_active: bool = False
    orders_last_minute: int = 0
    repeated_executions: int = 0
    is_approved_by_person: bool = False

    @property
    def cash_micros(self) -> int:
        """Return the cash at open plus and minus the fills booked since."""
        return self.book.cash_micros

    def position_quantity(self, symbol: Symbol) -> int:
        """Return the shares held, fills of the session included."""
        return self.book.quantity_of(symbol)

    def open_buy_quantity(self, symbol: Symbol) -> int:
        """Return the shares that open or unknown orders may still buy."""
        return self.open_buys.get(symbol, 0)

    def open_sell_quantity(self, symbol: Symbol) -> int:
        """Return the shares that open or unknown orders may still sell."""
        return self.open_sells.get(symbol, 0)


Review = Callable[[JournalIntent, FundsView], tuple[Why, ...]]
"""Judges one intent on fresh data, inside T2. It must read nothing slow: a write lock is held meanwhile."""


class Preparation(NamedTuple):
    """Hold what T2 did: `order` is there where the guards passed, else the intent is not prepared.

    `reason` is the code of the first guard that stopped it, `ok` where none did.
    """

    intent: JournalIntent
    order: JournalOrder | None
    whys: tuple[Why, ...]
    reason: str


class JournalEvent(NamedTuple):
    """Hold one event of the journal; `seq` counts from 1 without gaps, `body` is plain JSON values."""

    seq: int
    at: datetime
    kind: str
    book: str
    lane: str
    session: str
    intent_id: str
    actor: str
    reason: str
    body: Mapping[str, Any]
    prev_hash: str
    hash: str


class OutboxMessage(NamedTuple):
    """Hold one message to people, kept until delivered or given up. `attempts` counts leases."""

    outbox_id: int
    dedup_key: str
    channel: str
    severity: str
    subject: str
    body: str
    status: str
    attempts: int
    created_at: datetime
    due_at: datetime


class Delivery(NamedTuple):
    """Hold one attempt to deliver a message, and how it went."""

    outbox_id: int
    attempt: int
    channel: str
    is_delivered: bool
    reason: str
    at: datetime


class QuoteRelease(NamedTuple):
    """Hold a person's word that a quarantined row is right."""

    row_id: str
    actor: str
    reason: str
    released_at: datetime


class Incident(NamedTuple):
    """Hold something that must not be: shown until a person has dealt with it."""

    incident_id: int
    kind: str
    account: str
    intent_id: str
    detail: str
    at: datetime


class StageRun(NamedTuple):
    """Hold one run of a stage: from when to when, in which run of the orchestrator, and whether it passed."""

    stage: str
    run_id: str
    began_at: datetime
    ended_at: datetime
    passed: bool


def is_finished(record: SessionRecord | None, *, has_report: bool) -> bool:
    """Say whether nothing of a session is left to run: it is settled, and its report tells of it.

    Settled alone is not enough: a run that died after it told nobody of the session's alerts.
    """
    return record is not None and record.settled_at is not None and has_report


def before_opening(session: date, first: date | None) -> str:
    """Return why nothing can be run of a session before `first`, the one its book opened on; else empty."""
    if first is None or session >= first:
        return ""
    return (
        f"the book opened on {first}, after it; to begin earlier, use another TRADING_STATE_DIR "
        "and begin there"
    )


class Journal(Protocol):
    """Keep the live state; the only thing the executor trusts."""

    # ---------------------------------------------------------------------------- sessions of a book

    def opening_book(
        self, *, book: str, lane: str, session: date, previous: date | None, opened: Book, now: datetime
    ) -> Book:
        """Return the book after `previous`; opens the book with `opened` where it has no session yet.

        Raises `OutOfOrder` unless `previous` is settled, or this is the session the book opened in.
        Asking again gives the same answer.
        """
        ...

    def session_record(self, *, book: str, lane: str, session: date) -> SessionRecord | None:
        """Return how far a session has come, or `None` where nothing was asked of it yet."""
        ...

    def record_refusal(
        self, *, book: str, lane: str, session: date, stage: str, reason: str, now: datetime
    ) -> None:
        """Store that a stage refused a session, and why; the latest one is shown until the stage passes."""
        ...

    def clear_refusal(self, *, book: str, lane: str, session: date, stage: str, now: datetime) -> None:
        """Store that a stage passed after it had refused; nothing happens where it had not."""
        ...

    def record_stage_run(self, *, book: str, lane: str, session: date, run: StageRun) -> None:
        """Store how long a stage took; of a session that was settled before it began, nothing is."""
        ...

    def settle(
        self,
        *,
        book: str,
        lane: str,
        session: date,
        closing: Book,
        carried_by: str,
        now: datetime,
        fills: Sequence[Fill] | None = None,
    ) -> None:
        """Store the book after a session; the same book again changes nothing, another one raises `Refused`.

        Raises `OutOfOrder` while an intent of the session is open, or where it was never decided and
        nobody carries it (`carried_by` empty). `fills` are those that `closing` was made with: it is out of
        order as well where the session has others by now, `None` where nobody says with which.
        """
        ...

    # ---------------------------------------------------------------------------- deciding

    def register(
        self,
        *,
        book: str,
        lane: str,
        session: date,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        decisions_sha: str,
        now: datetime,
    ) -> list[JournalIntent]:
        """Store a session's decisions and verdicts (1); returns all rows in the order given.

        The same decisions again change nothing. Others for a decided session, or another payload under a
        known id, are a conflict event and raise `DuplicateIntent`: the first ones stand.
        """
        ...

    def approve(
        self,
        intent_id: IntentId,
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        now: datetime,
        role: Role | None = None,
    ) -> JournalIntent:
        """Store a person's approval (2); the first of two leaves the intent pending, with a new version.

        Raises `ApprovalRefused` for another payload hash, a used nonce, no actor, a viewer, a stage of the
        chain or a time that is over, or the same person twice; `StaleVersion` where the row moved on. What
        is refused is kept as an event.
        """
        ...

    def reject(
        self,
        intent_id: IntentId,
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        now: datetime,
        role: Role | None = None,
    ) -> JournalIntent:
        """Store a person's rejection (2), bound like an approval; one is enough, and it says why."""
        ...

    def chain(self, intent_id: IntentId) -> list[StageRecord]:
        """Return the stages of approval that an intent went through, in order."""
        ...

    def expire(self, intent_id: IntentId, *, version: int, actor: str, now: datetime) -> JournalIntent:
        """End a pending or approved intent whose `not_after` has passed (2, 3)."""
        ...

    def cancel(
        self, intent_id: IntentId, *, version: int, actor: str, reason: str, now: datetime
    ) -> JournalIntent:
        """End a pending or approved intent that was never prepared (3)."""
        ...

    # ---------------------------------------------------------------------------- executing

    def begin_term(self, *, account: str, lane: str, holder: str, now: datetime) -> int:
        """Begin an executor's term and return its number, one above the last; earlier ones are fenced off."""
        ...

    def record_reconciled(
        self, *, account: str, lane: str, term: int, findings: Sequence[str], now: datetime
    ) -> None:
        """Store that a term's reconciliation is done, and what it found; raises `StaleVersion` after it."""
        ...

    def check_integrity(self) -> None:
        """Raise `JournalUnavailable` where the database is damaged, or does not sync what it commits."""
        ...

    def claim(
        self, intent_id: IntentId, *, version: int, term: int, holder: str, now: datetime
    ) -> JournalIntent:
        """Take an approved intent (T1, 4).

        Raises `GateClosed` while the kill switch is on (slot `flatten` excepted), trading is paused or the
        account or instrument halted, or past `not_after`; `StaleVersion` where another was first, or
        another executor's term has begun or this one's is not reconciled.
        """
        ...

    def release(self, intent_id: IntentId, *, epoch: int, reason: str, now: datetime) -> JournalIntent:
        """Give a claimed intent back, since it has no prepared row and so was never sent (5)."""
        ...

    def reject_claimed(
        self, intent_id: IntentId, *, epoch: int, reason: str, is_expired: bool, now: datetime
    ) -> JournalIntent:
        """End a claimed intent: refused on fresh data, or expired (6)."""
        ...

    def prepare(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        term: int,
        book_at_open: Book,
        review: Review,
        send_by: datetime,
        is_live: bool,
        now: datetime,
        route: RouteChoice = UNRECORDED,
    ) -> Preparation:
        """Write down what is about to be sent (T2, 7), guards and money in the same transaction.

        Where a guard stops it the intent is rejected instead (6), or given back (5) where only time is
        missing (`is_temporary`), with the reason. A row whose payload hash does not follow from its payload
        and quantity is rejected unseen by any guard, and halts trading. `is_live` says that real money
        answers; the schema refuses that outside the live lane. `route` is where it is about to go, and stays
        with it. Raises `StaleVersion` after the term.
        """
        ...

    def prepare_again(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        term: int,
        book_at_open: Book,
        review: Review,
        send_by: datetime,
        now: datetime,
    ) -> Preparation:
        """Write down that the same bytes are about to be sent again under the same id (12).

        The money is promised anew, as the guards count it now. Where a guard stops it nothing is changed: the
        intent stays unknown.
        """
        ...

    def acknowledge(
        self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        """Store that the broker has the order (T3, 8); raises `IllegalTransition` where fields differ."""
        ...

    def refuse(self, intent_id: IntentId, *, epoch: int, reason: str, now: datetime) -> JournalIntent:
        """Store a definitive refusal (9); raises `IllegalTransition` after a second attempt."""
        ...

    def mark_unknown(
        self, intent_id: IntentId, *, epoch: int, reason: str, is_takeover: bool, now: datetime
    ) -> JournalIntent:
        """Store that a send is not proven either way (10); a takeover raises the epoch."""
        ...

    def record_absence(self, intent_id: IntentId, *, epoch: int, now: datetime) -> JournalOrder:
        """Store that the broker did not know the order of an unknown intent; the state stays."""
        ...

    def adopt(self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime) -> JournalIntent:
        """Store that an unknown order was found, equal field by field (11).

        Found terminal with all its fills booked, the intent ends (19).
        """
        ...

    def park(self, intent_id: IntentId, *, epoch: int, reason: str, now: datetime) -> JournalIntent:
        """Leave an unknown intent to a person (13); an incident tells them."""
        ...

    def conclude_absent(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        reason: str,
        is_expired: bool,
        settle_time_s: int,
        is_death_proven: bool,
        now: datetime,
        actor: str = "",
        is_on_word: bool = False,
    ) -> JournalIntent:
        """End an unknown intent that was proven absent at least three times (14); its id is watched.

        What its earlier generations filled shows as executed. Raises `IllegalTransition` while it may still
        arrive: until `settle_time_s` has passed, and unless `is_death_proven` also since `send_by`.
        `actor` is the person who says so of a parked one; the executor has none. `is_on_word`: that person
        knows it from the broker, whatever its queries prove.
        """
        ...

    def record_presence(
        self, intent_id: IntentId, *, epoch: int, broker_order_id: str, now: datetime
    ) -> JournalOrder:
        """Store that the broker has an order under an unknown intent's id, which could not be adopted.

        From then on its absence proves nothing any more.
        """
        ...

    def watched(self, *, account: str, since: date) -> list[JournalOrder]:
        """Return the orders of sessions from `since` on that were proven absent: their ids are looked for."""
        ...

    def record_fill(self, fill: Fill, *, now: datetime) -> bool:
        """Book a fill of a working order (16); returns whether it was new.

        Raises `IllegalTransition` for other content under a known execution id, and for more than was sent.
        """
        ...

    def record_bust(self, *, execution_id: str, takes_back: str, intent_id: IntentId, now: datetime) -> bool:
        """Store that the broker takes a booked execution back, as a row of its own; returns whether new.

        The fill stays: history is corrected by more history. The instrument is halted, since the book is no
        longer what was settled on. Raises `UnknownId` for an execution that was never booked.
        """
        ...

    def ask_cancel(
        self, intent_id: IntentId, *, epoch: int, kind: CancelKind, actor: str, reason: str, now: datetime
    ) -> JournalIntent:
        """Store that a working order is about to be cancelled (17); that is not a cancelled order yet.

        With `CancelKind.REPLACE` what is left goes out again once the broker has ended it (18).
        """
        ...

    def prepare_replacement(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        term: int,
        ended: BrokerOrder,
        book_at_open: Book,
        review: Review,
        send_by: datetime,
        is_live: bool,
        now: datetime,
    ) -> Preparation:
        """Write down the next generation of an order whose cancel the broker has ended (18).

        Guards and money in the same transaction, on what is left; where one stops it nothing is changed.
        Raises `IllegalTransition` unless `ended` is the old order, cancelled, with all its fills booked.
        """
        ...

    def close_working(
        self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        """End a working intent whose order is terminal at the broker (15).

        Raises `IllegalTransition` unless the fills booked are all the broker reports.
        """
        ...

    def record_incident(
        self, *, kind: str, account: str, intent_id: str, detail: str, is_halting: bool, now: datetime
    ) -> None:
        """Store something that must not be; a halting one halts all trading in the same transaction.

        It becomes the halt in force also where another one stood: who ends that one has not seen this. The
        same kind, intent and detail again change nothing while its halt is in force; once that was ended they
        are another incident, and what halts nothing is one for good.
        """
        ...

    def record_finding(
        self,
        *,
        kind: str,
        account: str,
        symbol: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> None:
        """Store what does not agree with the broker, and halt the instrument, or the account without one.

        The same finding again changes nothing while its halt is in force; after a person ended that, it is
        another incident and halts again only where `is_standing`: it is so now, and not a thing of the past
        they have seen.
        """
        ...

    # ---------------------------------------------------------------------------- run control, people

    def run_control(self) -> RunControl:
        """Return the run control in force."""
        ...

    def set_run_control(
        self,
        action: RunControlAction,
        *,
        actor: str,
        reason: str,
        now: datetime,
        expected: RunControl | None = None,
    ) -> RunControl:
        """Halt, pause, resume, degrade or restore all trading; who, why, before and after are in the event.

        Raises `GateClosed` where `trading.control.TRANSITIONS` has no such edge, `StaleVersion` where another
        run control is in force than `expected`, the one its actor saw.
        """
        ...

    def set_approval_mode(
        self, mode: ApprovalMode | None, *, actor: str, reason: str, now: datetime
    ) -> RunControl:
        """Store the mode that people want approvals in, `None` to have each book's own again."""
        ...

    def record_retry(
        self, *, book: str, lane: str, session: date, actor: str, reason: str, now: datetime
    ) -> None:
        """Store that a person has a session's execution tried again; raises `GateClosed` where it may not.

        Raises `UnknownId` where nothing of the session was ever asked of the journal.
        """
        ...

    def cool_down(self, *, account: str, lane: str, rules: CooldownRules, now: datetime) -> Cooldown | None:
        """Begin a cooldown where enough executions of an account failed, or incidents came about.

        Returns the one that is active. Incidents of no account are of every one.
        """
        ...

    def end_cooldown(self, *, account: str, lane: str, actor: str, reason: str, now: datetime) -> Cooldown:
        """End an account's cooldown before its time, as a named person; raises `UnknownId` where none is."""
        ...

    def cooldowns(self) -> list[Cooldown]:
        """Return the last cooldown of each account, by account; whether it is active, its `until` says."""
        ...

    def preview_flatten(
        self,
        *,
        command_id: str,
        book: str,
        lane: str,
        account: str,
        session: date,
        plan: str,
        actor: str,
        now: datetime,
    ) -> FlattenCommand:
        """Store what somebody was shown of a flatten; the same plan again changes nothing.

        Raises `GateClosed` unless trading is halted.
        """
        ...

    def order_flatten(
        self,
        *,
        command_id: str,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        actor: str,
        reason: str,
        now: datetime,
    ) -> list[JournalIntent]:
        """Register the intents of a previewed flatten, once, as a named person: the second step.

        Raises `UnknownId` for a plan nobody previewed, `GateClosed` unless trading is halted,
        `ApprovalRefused` where it was ordered before, `BadInput` for an intent that is no sale of slot
        `flatten` in its book and session.
        """
        ...

    def flatten_commands(self, *, book: str, lane: str, session: date) -> list[FlattenCommand]:
        """Return a session's flattens, previewed and ordered, in the order previewed."""
        ...

    def halts(self) -> list[Halt]:
        """Return the accounts and instruments that are halted, by account then symbol."""
        ...

    def lift_halt(
        self,
        *,
        account: str,
        symbol: str,
        actor: str,
        reason: str,
        now: datetime,
        expected: Halt | None = None,
    ) -> None:
        """End the halt of an account (`symbol` empty) or an instrument, as a named person.

        Raises `UnknownId` where there is none, `StaleVersion` where another one is in force than `expected`,
        the one its actor saw.
        """
        ...

    def acknowledge_incident(self, *, incident_id: int, actor: str, reason: str, now: datetime) -> None:
        """Store that a named person has taken an incident on, and what they say to it; it ends nothing.

        Another one may take it on later: all are kept, the last one counts. Raises `UnknownId`.
        """
        ...

    def plan_action(
        self, *, incident_id: int, owner: str, due_on: date, actor: str, reason: str, now: datetime
    ) -> int:
        """Store what (`reason`) `owner` is to do by a day so that an incident does not happen again.

        Returns its number in the incident; raises `UnknownId` where there is none of that number.
        """
        ...

    def finish_action(self, *, incident_id: int, action: int, actor: str, reason: str, now: datetime) -> None:
        """Store that an action is done; raises `UnknownId`, `IllegalTransition` where it is done already."""
        ...

    def act_on_incident(
        self, *, incident_id: int, is_end: bool, actor: str, reason: str, now: datetime
    ) -> None:
        """Store what a named person did about an incident, or with `is_end` that it is over.

        It lifts no halt. Raises `UnknownId`.
        """
        ...

    def release_quote(self, *, row_id: str, actor: str, reason: str, now: datetime) -> bool:
        """Store that a person vouches for a quarantined row; returns whether that was new."""
        ...

    def quote_releases(self) -> list[QuoteRelease]:
        """Return all released rows, in the order released."""
        ...

    def enqueue(
        self, *, dedup_key: str, channel: str, severity: str, subject: str, body: str, now: datetime
    ) -> bool:
        """Store a message to people; returns whether its key was new, so that one thing is told once.

        `severity` is one of `trading.alerts.Severity`.
        """
        ...

    def lease(
        self,
        *,
        now: datetime,
        lease_s: int,
        limit: int,
        ready: Collection[str] | None = None,
        wait_s_max: int | None = None,
    ) -> list[OutboxMessage]:
        """Take waiting messages that are due, oldest first, for `lease_s`; a dead sender's come back.

        `ready` are the channels with an address, `None` for all: a critical for another is taken once only.
        What would wait for longer than `wait_s_max` is due: the clock was set back since it was put off.
        """
        ...

    def mark(
        self,
        outbox_id: int,
        *,
        attempt: int,
        is_delivered: bool,
        reason: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Store how an attempt went; undelivered without `retry_at` is given up (status `dead`)."""
        ...

    # ---------------------------------------------------------------------------- asking

    def intent(self, intent_id: IntentId) -> JournalIntent:
        """Return one intent; raises `UnknownId`."""
        ...

    def intents(self, *, book: str, lane: str, session: date) -> list[JournalIntent]:
        """Return a session's intents, sells first, then by symbol: the order in which they execute."""
        ...

    def open_intents(self, *, account: str, lane: str) -> list[JournalIntent]:
        """Return an account's open intents, by session, sells first, then by symbol."""
        ...

    def stuck(self, *, before: datetime) -> list[JournalIntent]:
        """Return intents that are executing or unknown and have not changed since before an instant."""
        ...

    def verdicts(self, intent_id: IntentId) -> list[Verdict]:
        """Return what each guard said of an intent when it was decided, in the order of precedence."""
        ...

    def order(self, client_order_id: ClientOrderId) -> JournalOrder | None:
        """Return one order row, or `None`."""
        ...

    def order_of(self, intent_id: IntentId) -> JournalOrder | None:
        """Return an intent's order of its highest generation, or `None` where it was never prepared.

        Raises `UnknownId`.
        """
        ...

    def orders(self, *, book: str, lane: str, session: date) -> list[JournalOrder]:
        """Return a session's orders, by intent then generation."""
        ...

    def fills(self, *, book: str, lane: str, session: date) -> list[Fill]:
        """Return a session's fills in the order booked, without those that the broker took back."""
        ...

    def executions_of(self, client_order_id: ClientOrderId) -> dict[str, int]:
        """Return the shares booked of an order by execution id, as of one moment; a bust's are negative."""
        ...

    def net_filled(self, client_order_id: ClientOrderId) -> int:
        """Return an order's booked shares less those that the broker has taken back."""
        ...

    def orders_by_id(self, client_order_ids: Collection[str]) -> list[JournalOrder]:
        """Return the orders under ids, those there are, ascending by id."""
        ...

    def intents_by_id(self, intent_ids: Collection[str]) -> list[JournalIntent]:
        """Return the intents under ids, those there are, ascending by id."""
        ...

    def adapters_used(self, *, account: str, lane: str) -> tuple[str, ...]:
        """Return every adapter that an order of an account was prepared for, ascending by name.

        An empty name stands for orders prepared before routes were stored with them.
        """
        ...

    def executor_term(self, *, account: str, lane: str) -> ExecutorTerm | None:
        """Return which executor of an account began last, or `None` where none ever did."""
        ...

    def incidents(self) -> list[Incident]:
        """Return all incidents, in the order recorded."""
        ...

    def deliveries(self) -> list[Delivery]:
        """Return all attempts to deliver messages, in the order made."""
        ...

    def deliveries_of(self, outbox_id: int) -> list[Delivery]:
        """Return the attempts to deliver one message, in the order made."""
        ...

    def delivered_since(self, since: datetime) -> list[Delivery]:
        """Return the attempts of all messages that arrived after an instant, in the order made."""
        ...

    def events(self, *, after: int, limit: int) -> list[JournalEvent]:
        """Return events with a sequence number above `after`, ascending, at most `limit`."""
        ...

    def events_of(self, intent_id: IntentId) -> list[JournalEvent]:
        """Return an intent's events, ascending; raises `UnknownId`."""
        ...
