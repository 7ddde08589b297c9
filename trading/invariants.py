"""The invariants: what must be true of journal, audit log and brokers together, whatever has happened.

One pure function over evidence: run after every fault of every test, and by `trading verify`. Each invariant
says what it means and how a violation looks; what gathers the evidence is resources/evidence.py. What the
executor itself does about a disagreement is reconciliation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, NamedTuple

from trading.advice import reduces_risk
from trading.approvals import ChainStage, StageVerdict, person_named
from trading.audit import GENESIS, chained, content_of, instant_text, line_of
from trading.brokers import (
    BrokerDump,
    BrokerFill,
    Holdings,
    differences,
    request_payload,
    request_terms,
)
from trading.decisions import BY_ADVICE, sent_payload_hash
from trading.errors import BadInput
from trading.findings import PARKED
from trading.flattening import previewed_quantities
from trading.guards import GUARDS, NAMED_NO_TERM, NAMES_SAID, PASS, REASONS, Why
from trading.intents import CLIENT_ORDER_ID_PREFIX, intent_id_of
from trading.journal import (
    ExecutorTerm,
    Halt,
    Incident,
    JournalEvent,
    JournalIntent,
    JournalOrder,
    RunControl,
    SessionRecord,
)
from trading.lifecycle import (
    NOT_BEGUN,
    STALE_EPOCH,
    STALE_VERSION,
    Event,
    IntentState,
    Place,
    Refusal,
    Stage,
    Step,
    transition,
)
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Book
from trading.protocol import (
    ABSENCES_NEEDED,
    FindingKind,
    conclusion_refusal,
    ending_of,
    holdings_findings,
    request_of,
    reserved_after_bust,
)
from trading.rebuild import KEYS, Row, Value, rebuilt
from trading.values import ClientOrderId, IntentId, Side, Slot, Symbol, digest
from trading.verdicts import Verdict, verdicts_sha


class Approval(NamedTuple):
    """Hold one person's stored answer: `answer` is `approved` or `rejected`."""

    nonce: str
    intent_id: IntentId
    answer: str
    actor: str
    reason: str
    payload_hash: str
    version: int
    at: datetime


class Reservation(NamedTuple):
    """Hold what is left of what one order was promised: shares, and micro-units of money (a buy's)."""

    client_order_id: ClientOrderId
    quantity_left: int
    micros_left: int


class Bust(NamedTuple):
    """Hold that the broker took a booked execution back."""

    execution_id: str
    takes_back: str
    intent_id: IntentId


class Stored(NamedTuple):
    """Hold all rows of one table as its database holds them, each with a value a column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


NO_ROWS = Stored((), ())
"""An empty table."""


class Replayed(NamedTuple):
    """Hold the digest of a session's decisions as recorded, and as made again from the same inputs."""

    book: str
    session: date
    recorded_sha: str
    replayed_sha: str


class Held(NamedTuple):
    """Hold what an account holds at its broker after a book's settled session, and that book.

    `how` says from what the broker's holdings were added up.
    """

    account: str
    book: str
    session: date
    expected: Book
    found: Holdings
    how: str


class LakeRead(NamedTuple):
    """Hold how many tables of the lake were read, and each that is not what its pointer names, with why."""

    tables: int
    altered: tuple[tuple[str, str], ...]


class Violation(NamedTuple):
    """Name an invariant that does not hold, whose it is (an id, a session, a line), and what was found."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Hold all that the invariants are checked on; `events` are all of them, ascending.

    `fills` are all that were ever booked, those that `busts` take back among them. `judged` says of each
    intent with stored verdicts whether all of them passed. `live_orders` are those sent for real money.
    `halts` and `terms` are those in force. `tables` are all rows of every table but the events, by its name:
    what the other fields are records of. `audit_lines` are the log's lines in order, the last one maybe
    torn; `None` where there is no log to compare. `checkpoint_faults` says what the signed checkpoints find
    wrong, `None` where they were not looked at. `dumps` holds one dump a broker account. `is_healed` says
    that recovery has run to its end and nothing runs now; `as_of` is then its time. `replayed` and
    `planted_secrets` are what a replay and a test bring along; `secrets_shown` are the places where another
    process, the only one that may hold a broker's keys, found one of them, `None` where none looked. `held`
    are holdings that were compared with a settled book, `lake` is `None` where its tables were not read.
    """

    intents: tuple[JournalIntent, ...] = ()
    judged: Mapping[IntentId, bool] = field(default_factory=dict)
    orders: tuple[JournalOrder, ...] = ()
    live_orders: frozenset[ClientOrderId] = frozenset()
    fills: tuple[Fill, ...] = ()
    busts: tuple[Bust, ...] = ()
    approvals: tuple[Approval, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    incidents: tuple[Incident, ...] = ()
    run_control: RunControl | None = None
    halts: tuple[Halt, ...] = ()
    terms: tuple[ExecutorTerm, ...] = ()
    events: tuple[JournalEvent, ...] = ()
    tables: Mapping[str, Stored] = field(default_factory=dict)
    audit_lines: Iterable[str] | None = None
    checkpoint_faults: tuple[str, ...] | None = None
    dumps: tuple[BrokerDump, ...] = ()
    is_healed: bool = False
    as_of: datetime | None = None
    replayed: tuple[Replayed, ...] = ()
    planted_secrets: tuple[str, ...] = ()
    secrets_shown: tuple[str, ...] | None = None
    held: tuple[Held, ...] = ()
    lake: LakeRead | None = None


def violations(evidence: Evidence) -> tuple[Violation, ...]:
    """Return every violation of every invariant, in the order of invariants; empty where all hold."""
    facts = facts_of(evidence)
    return tuple(found for invariant in INVARIANTS for found in breaches(invariant, facts))


def breaches(invariant: Invariant, facts: Facts) -> Iterator[Violation]:
    """Yield the violations of one invariant.

    Evidence that was changed into something no journal writes, as a text for a number, is one as well: it
    ends the check, but never the proof.
    """
    try:
        yield from invariant.check(facts)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        yield Violation(invariant.name, "evidence", f"holds what no journal writes: {error!r}")


class Invariant(NamedTuple):
    """Hold one invariant: its name, its sentence, its check, and what it cannot be checked without.

    `lacks` says why evidence does not suffice to judge it, empty where it does; `looks_at` names and counts
    what is judged, and what of it a store that is not there leaves out.
    """

    name: str
    says: str
    check: Callable[[Facts], Iterator[Violation]]
    lacks: Callable[[Evidence], str]
    looks_at: Callable[[Evidence], str]


class Refused(NamedTuple):
    """Say which stored event does not follow from those before, and whether since it goes back."""

    event: JournalEvent
    why: str
    goes_back: bool


class Folded(NamedTuple):
    """Hold where an intent is after its events, up to the one that does not follow."""

    place: Place | None
    refused: Refused | None


NOTHING_FOLDED = Folded(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Hold evidence with what several invariants look up in it, each made once.

    `incidents_of` are the incidents that name an intent; `busted` are the executions that the broker took
    back.
    """

    evidence: Evidence
    intents: Mapping[str, JournalIntent]
    orders: Mapping[ClientOrderId, JournalOrder]
    orders_of: Mapping[str, Sequence[JournalOrder]]
    fills_of: Mapping[ClientOrderId, Sequence[Fill]]
    steps_of: Mapping[str, Sequence[JournalEvent]]
    folded: Mapping[str, Folded]
    incidents_of: Mapping[str, Sequence[Incident]]
    busted: frozenset[str]
    at_brokers: Mapping[ClientOrderId, Sequence[BrokerOrder]]
    dumped_accounts: frozenset[str]


def facts_of(evidence: Evidence) -> Facts:
    """Return evidence with its look-ups."""
    orders_of: dict[str, list[JournalOrder]] = defaultdict(list)
    for order in evidence.orders:
        orders_of[order.intent_id].append(order)
    fills_of: dict[ClientOrderId, list[Fill]] = defaultdict(list)
    for fill in evidence.fills:
        fills_of[fill.client_order_id].append(fill)
    steps_of: dict[str, list[JournalEvent]] = defaultdict(list)
    for event in evidence.events:
        if event.intent_id and event.kind in _STEPS:
            steps_of[event.intent_id].append(event)
    incidents_of: dict[str, list[Incident]] = defaultdict(list)
    for incident in evidence.incidents:
        if incident.intent_id:
            incidents_of[incident.intent_id].append(incident)
    at_brokers: dict[ClientOrderId, list[BrokerOrder]] = defaultdict(list)
    for dump in evidence.dumps:
        for at_broker in dump.orders:
            at_brokers[at_broker.client_order_id].append(at_broker)
    return Facts(
        evidence=evidence,
        intents={row.intent_id: row for row in evidence.intents},
        orders={order.client_order_id: order for order in evidence.orders},
        orders_of=orders_of,
        fills_of=fills_of,
        steps_of=steps_of,
        folded={intent_id: _folded(events) for intent_id, events in steps_of.items()},
        incidents_of=incidents_of,
        busted=frozenset(bust.takes_back for bust in evidence.busts),
        at_brokers=at_brokers,
        dumped_accounts=frozenset(dump.account for dump in evidence.dumps),
    )


INV1, INV2, INV3, INV4, INV5 = "INV1", "INV2", "INV3", "INV4", "INV5"
INV6, INV7, INV8, INV9, INV10 = "INV6", "INV7", "INV8", "INV9", "INV10"
INV11, INV12, INV13, INV14, INV15, INV16 = "INV11", "INV12", "INV13", "INV14", "INV15", "INV16"
INV17, INV19, INV20 = "INV17", "INV19", "INV20"

BOOK_OPENED = "book_opened"
RUN_CONTROL = "run_control"
HALTED, HALT_LIFTED = "halted", "halt_lifted"
EXECUTOR_BEGAN, RECONCILED = "executor_began", "reconciled"
COOLDOWN_BEGAN, COOLDOWN_ENDED = "cooldown_began", "cooldown_ended"
FLATTEN_PREVIEWED, FLATTEN_ORDERED = "flatten_previewed", "flatten_ordered"
ABSENT, PRESENT = "absent_at_broker", "present_at_broker"
BUST = "bust"
LIVE = "live"

ENDED_OTHERWISE = frozenset({FindingKind.ZOMBIE, FindingKind.ORPHAN, FindingKind.MISMATCHED})
"""The kinds of incidents that tell a person how an order ended otherwise at the broker than here."""

FILLED_OTHERWISE = ENDED_OTHERWISE | {FindingKind.FILL_REFUSED}
"""The kinds that tell how an order's fills are others at the broker."""

HELD_UP = FILLED_OTHERWISE | {FindingKind.UNRESOLVED}
"""The kinds that tell why an open intent does not go on."""

_STEPS = {step.value: step for step in Step}
_MAKING = {Step.PREPARED.value, Step.REPLACED.value}
"""The events of which each makes an order's row; a replacement makes the next generation's."""
_PREPARING = _MAKING | {Step.PREPARED_AGAIN.value}
_ENDINGS = {state.value for state in IntentState if not state.is_open}
_OF_ACCOUNTS = {HALTED, HALT_LIFTED, EXECUTOR_BEGAN, RECONCILED, COOLDOWN_BEGAN, COOLDOWN_ENDED}
_FLATTEN_EVENTS = {FLATTEN_PREVIEWED, FLATTEN_ORDERED}

CHAIN_APPROVERS, CHAIN_EXPIRES_AT = 5, 6
"""Where a stage of the chain, as a decision's event tells it, says how many persons it needs, and until when
it counts."""

_BARRING = {StageVerdict.FAILED.value, StageVerdict.WAITING.value}
"""The verdicts of a stage that let nothing through."""

_WITH_ITS_ORDER = {Step.CLOSED.value, Step.FOUND_CLOSED.value}
"""The endings of an intent that are its order's at the broker."""

_NAMING = {Step.ACKNOWLEDGED.value, Step.FOUND.value, PRESENT}
"""The events by which a broker has an order, under an id of its own."""

_GATE_EVENTS = {RUN_CONTROL, *_OF_ACCOUNTS}

SHOWN_MAX = 60
"""Characters of a text that a violation shows."""

NEVER = 2**62
"""A place in the sequence that no event has."""


# -------------------------------------------------------------------------------- orders at brokers


def one_order_an_id(facts: Facts) -> Iterator[Violation]:
    """INV1: a broker has at most one order per intent and generation, and one open order per intent.

    A violation is a client order id of ours under which a broker holds two orders, or an intent of which
    two generations are open at once: money is spent twice. So is an intent under another id than its account,
    lane and key give: no broker would take its order for a repeated one of the same decision.
    """
    yield from _misnamed(facts.evidence.intents)
    made: dict[ClientOrderId, set[str]] = defaultdict(set)
    twice: set[ClientOrderId] = set()
    for dump in facts.evidence.dumps:
        listed: set[ClientOrderId] = set()
        for order in dump.orders:
            made[order.client_order_id].add(f"{dump.account}/{order.broker_order_id}")
            if order.client_order_id in listed:
                twice.add(order.client_order_id)
            listed.add(order.client_order_id)
        for arrival in dump.arrivals:
            if arrival.broker_order_id:
                made[arrival.client_order_id].add(f"{dump.account}/{arrival.broker_order_id}")
    for client_order_id, names in made.items():
        if _is_ours(client_order_id) and (len(names) > 1 or client_order_id in twice):
            yield Violation(INV1, client_order_id, f"more than one order at the broker: {_listed(names)}")
    for intent_id, orders in facts.orders_of.items():
        still_open = [
            order.client_order_id
            for order in orders
            if any(not found.status.is_terminal for found in facts.at_brokers.get(order.client_order_id, ()))
        ]
        if len(still_open) > 1:
            yield Violation(INV1, intent_id, f"two generations are open at once: {_listed(still_open)}")


def _misnamed(intents: Iterable[JournalIntent]) -> Iterator[Violation]:
    """Report intents whose id is not that of what was decided about: of two of one decision, one must be."""
    for row in intents:
        named = intent_id_of(account=row.account, lane=row.lane, intent_key=row.intent.intent_key)
        if row.intent_id != named:
            yield Violation(INV1, row.intent_id, f"what was decided about is named {named}")


def only_prepared_orders(facts: Facts) -> Iterator[Violation]:
    """INV2: a broker has no order of ours, and heard of none, without a prepared row of the same bytes.

    A violation is a client order id with our prefix that the journal never prepared, or an order made of
    other bytes than those whose digest was stored before the send. Of a broker that keeps no bytes, the
    terms of its order are compared: symbol, side, quantity, kind, limit and time in force.
    """
    for client_order_id in facts.at_brokers:
        if _is_ours(client_order_id) and client_order_id not in facts.orders:
            yield Violation(INV2, client_order_id, "an order at the broker that was never prepared")
    for dump in facts.evidence.dumps:
        for arrival in dump.arrivals:
            if not _is_ours(arrival.client_order_id):
                continue
            prepared = facts.orders.get(arrival.client_order_id)
            if prepared is None:
                if arrival.client_order_id not in facts.at_brokers:
                    yield Violation(INV2, arrival.client_order_id, "sent to the broker, but never prepared")
            elif arrival.broker_order_id and arrival.request_sha != prepared.request_sha:
                yield Violation(
                    INV2,
                    arrival.client_order_id,
                    f"made of bytes {arrival.request_sha[:12]}, prepared were {prepared.request_sha[:12]}",
                )
        for told in dump.terms:
            prepared = facts.orders.get(told.client_order_id)
            if prepared is None or not _is_ours(told.client_order_id):
                continue
            terms_sha = digest(request_terms(prepared.request))
            if told.terms_sha != terms_sha:
                yield Violation(
                    INV2,
                    told.client_order_id,
                    f"stands on terms {told.terms_sha[:12]}, prepared were {terms_sha[:12]}",
                )


def nothing_is_lost(facts: Facts) -> Iterator[Violation]:
    """INV3: once healed, each intent has ended, is parked with an alarm, or rightly goes on.

    Rightly means: it waits for a person or its send before `not_after`, its order is open at the broker, or
    a halt holds it: the kill switch, a pause, or one for what an incident tells of its very order. A
    violation is an intent that nothing moves any more and nobody was told of; at
    any time, an open intent of a settled session.
    """
    settled = {
        (row.book, row.lane, row.session) for row in facts.evidence.sessions if row.settled_at is not None
    }
    for row in facts.evidence.intents:
        if not row.state.is_open:
            continue
        if (row.intent.book, row.lane, row.intent.session) in settled:
            yield Violation(INV3, row.intent_id, f"is {_where(row)} though its session is settled")
        elif facts.evidence.is_healed and (why := _why_lost(facts, row)):
            yield Violation(INV3, row.intent_id, f"is {_where(row)} after recovery: {why}")


def _why_lost(facts: Facts, row: JournalIntent) -> str:
    """Return why an open intent may not be where it is once recovery has run; empty where it may."""
    evidence = facts.evidence
    if row.state in NOT_BEGUN:
        is_late = evidence.as_of is not None and evidence.as_of >= row.not_after
        return "not_after has passed" if is_late else ""
    orders = facts.orders_of.get(row.intent_id, ())
    if row.stage is not Stage.PARKED and any(_is_told(facts, row, own, HELD_UP) for own in orders):
        return ""
    match row.stage:
        case Stage.WORKING:
            if row.account not in facts.dumped_accounts:
                return ""
            found = [order for own in orders for order in facts.at_brokers.get(own.client_order_id, ())]
            if not found:
                return "the broker has no order of it, and nobody was told"
            is_over = all(order.status.is_terminal for order in found)
            return "its order has ended at the broker" if is_over else ""
        case Stage.PARKED:
            is_told = any(incident.kind == PARKED for incident in facts.incidents_of.get(row.intent_id, ()))
            return "" if is_told else "no incident tells a person of it"
        case Stage.NONE:
            return "" if _is_held(evidence, row) else "its outcome is neither proven nor parked"
        case _:
            return "nobody is sending it any more"


def _is_held(evidence: Evidence, row: JournalIntent) -> bool:
    """Say whether a halt keeps an intent from being sent again."""
    control = evidence.run_control
    is_stopped = control is not None and (control.kill_switch_on or control.paused)
    return is_stopped or _is_halted(evidence, row)


def _is_halted(evidence: Evidence, row: JournalIntent) -> bool:
    """Say whether the account or the instrument of an intent is halted."""
    return any(
        halt.account == row.account and halt.symbol in {"", row.intent.symbol} for halt in evidence.halts
    )


def _is_told(facts: Facts, row: JournalIntent, order: JournalOrder, kinds: Collection[str]) -> bool:
    """Say whether a person is still told, by a standing halt, how the broker has an order otherwise.

    An incident is about the order whose id stands in it; one that names none, about the intent's last.
    Lifting the halt says that it was put right: from then on everything has to agree again.
    """
    if not _is_halted(facts.evidence, row):
        return False
    own = facts.orders_of[row.intent_id]
    for incident in facts.incidents_of.get(row.intent_id, ()):
        if incident.kind in kinds and incident.account == row.account:
            named = [each for each in own if each.client_order_id in incident.detail]
            if order in (named or own[-1:]):
                return True
    return False


def endings_agree(facts: Facts) -> Iterator[Violation]:
    """INV4: how an intent ended agrees with what the broker says of its orders, or a halt tells how not.

    A lying broker may wake an order that was proven absent; then a person is told by an incident of that
    order, and while the halt for it stands it is no violation.
    A violation is an order that is open at the broker behind an ended intent, has another ending there, or
    is not there though the broker once acknowledged it; an intent that ended as nothing while its order
    filled, or as anything else than its order's ending means; or one that ended because its order is absent,
    when neither the broker's answers proved that nothing could arrive any more, nor a named person said so.
    """
    yield from _concluded(facts)
    for row in facts.evidence.intents:
        if row.state.is_open or row.account not in facts.dumped_accounts:
            continue
        for order in facts.orders_of.get(row.intent_id, ()):
            if _is_told(facts, row, order, ENDED_OTHERWISE):
                continue
            found = facts.at_brokers.get(order.client_order_id, ())
            if not found and order.broker_order_id:
                yield Violation(
                    INV4, order.client_order_id, f"acknowledged as {order.broker_order_id}, not at the broker"
                )
            for at_broker in found:
                fills = facts.fills_of.get(order.client_order_id, ())
                is_busted = any(fill.execution_id in facts.busted for fill in fills)
                why = _disagreement(row, order, at_broker, is_busted=is_busted)
                why = why or _other_ending(facts, row, order, at_broker)
                if why:
                    yield Violation(INV4, order.client_order_id, why)


def _concluded(facts: Facts) -> Iterator[Violation]:
    """Report each ending by absence that neither the rule for it nor a named person's word allowed."""
    unproven = {event.seq: why for event, why in _unproven(facts, Step.PROVEN_ABSENT)}
    last_absent_at: dict[str, datetime] = {}
    for event in facts.evidence.events:
        if event.kind == ABSENT:
            last_absent_at[event.intent_id] = event.at
        if event.kind != Step.PROVEN_ABSENT:
            continue
        is_named = bool(event.actor.strip() and event.reason.strip())
        # Journals of earlier versions do not tell whether it was on somebody's word, or what was waited for.
        if event.body.get("is_on_word", is_named):
            why = "" if is_named else "nobody gave their word"
        else:
            why = unproven.get(event.seq) or _in_flight(facts, event, last_absent_at.get(event.intent_id))
        if why:
            yield Violation(INV4, event.intent_id, f"event {event.seq}: ended as absent, but {why}")


def _in_flight(facts: Facts, event: JournalEvent, last_absent_at: datetime | None) -> str:
    """Return how an order that was absent often enough may have arrived since it was last looked for."""
    orders, settle_time_s = facts.orders_of.get(event.intent_id), event.body.get("settle_time_s")
    if not orders or settle_time_s is None:
        return ""
    return conclusion_refusal(
        # That it was absent is judged by the events: a broker that lies may have named it since.
        replace(orders[-1], broker_order_id="", absences=ABSENCES_NEEDED),
        last_absent_at=last_absent_at or event.at,
        settle_time_s=int(settle_time_s),
        is_death_proven=event.body.get("is_death_proven") is True,
    )


def _disagreement(row: JournalIntent, order: JournalOrder, found: BrokerOrder, *, is_busted: bool) -> str:
    """Return how a broker's order contradicts the ending of its intent, empty where it does not.

    An order of which an execution was taken back may have another ending there by now.
    """
    if not found.status.is_terminal:
        return f"is {found.status} at the broker, but its intent is {row.state}"
    if order.status != found.status.value and not is_busted:
        return f"ended {found.status} at the broker, {order.status} in the journal"
    if found.status is OrderStatus.FILLED and row.state is not IntentState.EXECUTED:
        return f"filled at the broker, but its intent is {row.state}"
    return "; ".join(differences(order.request, found))


def _other_ending(facts: Facts, row: JournalIntent, order: JournalOrder, found: BrokerOrder) -> str:
    """Return how an intent ended otherwise than with its last order, where that is what ended it."""
    steps = facts.steps_of.get(row.intent_id, ())
    if order.generation != row.generation or not steps or steps[-1].kind not in _WITH_ITS_ORDER:
        return ""
    means = ending_of(found.status, row.filled_quantity, cancel_kind=order.cancel_kind)
    asked = f" after {order.cancel_kind} was asked for" if order.cancel_kind else ""
    is_other = row.state is not means
    return f"ended {found.status}{asked}, so its intent is {means}, not {row.state}" if is_other else ""


def _unproven(facts: Facts, step: Step) -> Iterator[tuple[JournalEvent, str]]:
    """Yield each event of a step that needs its order to be absent at the broker, and why it is not proven.

    It has to be looked for in vain so often since it was last prepared, and not be known there by any word
    since it was first.
    """
    absences: Counter[str] = Counter()
    named: dict[str, str] = {}
    for event in facts.evidence.events:
        if event.kind == step:
            if own := named.get(event.intent_id):
                yield event, f"the broker had its order as {own}"
            elif (found := absences[event.intent_id]) < ABSENCES_NEEDED:
                yield event, f"it was absent {found} times, and {ABSENCES_NEEDED} prove it"
        if event.kind == ABSENT:
            absences[event.intent_id] += 1
        elif event.kind in _NAMING:
            named[event.intent_id] = str(event.body.get("broker_order_id"))
        elif event.kind in _PREPARING:
            absences[event.intent_id] = 0
        if event.kind in _MAKING:
            named.pop(event.intent_id, None)


def fills_add_up(facts: Facts) -> Iterator[Violation]:
    """INV5: an order's filled quantity is the sum of its fills, at most what was sent, and the broker's.

    What the broker took back counts for the order, but no more for the broker. A violation is a fill that
    was lost, booked twice or booked otherwise than the broker has it, or of an order that it does not have.
    """
    filled_of: dict[str, int] = defaultdict(int)
    for order in facts.evidence.orders:
        booked = sum(fill.quantity for fill in facts.fills_of.get(order.client_order_id, ()))
        filled_of[order.intent_id] += booked
        sent = order.request.quantity
        if booked != order.filled_quantity:
            yield Violation(
                INV5, order.client_order_id, f"filled {order.filled_quantity}, its fills are {booked}"
            )
        if not 0 <= booked <= sent:
            yield Violation(INV5, order.client_order_id, f"fills of {booked} on an order of {sent}")
        row = facts.intents.get(order.intent_id)
        if row is not None and _is_told(facts, row, order, FILLED_OTHERWISE):
            continue
        booked -= sum(
            fill.quantity
            for fill in facts.fills_of.get(order.client_order_id, ())
            if fill.execution_id in facts.busted
        )
        if booked and row is not None and _is_nowhere(facts, row, order):
            yield Violation(INV5, order.client_order_id, f"fills of {booked}, the broker has no such order")
        for at_broker in facts.at_brokers.get(order.client_order_id, ()):
            is_over = row is not None and not row.state.is_open
            if booked > at_broker.filled_quantity or (is_over and booked != at_broker.filled_quantity):
                yield Violation(
                    INV5,
                    order.client_order_id,
                    f"fills of {booked}, the broker says {at_broker.filled_quantity}",
                )
    for row in facts.evidence.intents:
        if row.filled_quantity != filled_of[row.intent_id]:
            yield Violation(
                INV5,
                row.intent_id,
                f"filled {row.filled_quantity}, the fills of its orders are {filled_of[row.intent_id]}",
            )
    for fill in facts.evidence.fills:
        if fill.client_order_id not in facts.orders:
            yield Violation(INV5, fill.execution_id, f"a fill of {fill.client_order_id}, which is no order")
    yield from _fills_unlike_the_brokers(facts)


def _is_nowhere(facts: Facts, row: JournalIntent, order: JournalOrder) -> bool:
    """Say whether a broker that told of its account knows no such order, and the endings do not say so."""
    is_told = bool(order.broker_order_id) and not row.state.is_open
    return (
        row.account in facts.dumped_accounts and order.client_order_id not in facts.at_brokers and not is_told
    )


def _fills_unlike_the_brokers(facts: Facts) -> Iterator[Violation]:
    """Report fills of ended intents that cost something else than the broker says."""
    executions: dict[ClientOrderId, Counter[tuple[int, int, int]]] = defaultdict(Counter)
    for dump in facts.evidence.dumps:
        busted = {fill.takes_back for fill in dump.fills if fill.takes_back}
        for execution in dump.fills:
            if not execution.takes_back and execution.execution_id not in busted:
                executions[execution.client_order_id][_terms(execution)] += 1
    for order in facts.evidence.orders:
        row = facts.intents.get(order.intent_id)
        told = executions.get(order.client_order_id)
        if told is None or row is None or row.state.is_open:
            continue
        booked = Counter(
            _terms(fill)
            for fill in facts.fills_of.get(order.client_order_id, ())
            if fill.execution_id not in facts.busted
        )
        same_shares = _shares(booked) == _shares(told)
        if booked != told and same_shares:
            yield Violation(INV5, order.client_order_id, "its fills have other prices or costs at the broker")


# -------------------------------------------------------------------------------- the journal itself


def nothing_goes_back(facts: Facts) -> Iterator[Violation]:
    """INV6: sequence numbers count without gaps; versions and epochs of an intent never go back.

    A violation is an event out of its place, one that a holder wrote after another took over, one that
    follows an ending, or an executor's term that is not one above the last.
    """
    for place, event in enumerate(facts.evidence.events, start=1):
        if event.seq != place:
            yield Violation(INV6, f"event {event.seq}", f"stands at place {place}")
            break
    terms: dict[tuple[str, str], int] = {}
    for event in facts.evidence.events:
        if event.kind == EXECUTOR_BEGAN:
            of = (str(event.body.get("account")), event.lane)
            if event.body.get("term") != terms.get(of, 0) + 1:
                yield Violation(INV6, f"event {event.seq}", f"term {event.body.get('term')} of {of[0]}")
            terms[of] = event.body.get("term", 0)
    for intent_id, (_, refused) in facts.folded.items():
        if refused is not None and refused.goes_back:
            yield Violation(INV6, intent_id, f"event {refused.event.seq}: {refused.why}")


def rows_follow_from_events(facts: Facts) -> Iterator[Violation]:
    """INV7: every row of every table is what the events say, value by value.

    The rows are made again out of the events alone (rebuild.py). A violation is a row that was changed, put
    in or taken out without an event, or an event that does not follow from those before.
    """
    evidence = facts.evidence
    stored = {table: _by_key(table, evidence.tables.get(table, NO_ROWS)) for table in KEYS}
    columns = {table: evidence.tables.get(table, NO_ROWS).columns for table in KEYS}
    told: JournalEvent | None = None

    def tell() -> Iterator[JournalEvent]:
        nonlocal told
        for event in evidence.events:
            told = event
            yield event

    try:
        for table, row in rebuilt(tell()):
            key = tuple(row[name] for name in KEYS[table])
            found = stored[table].pop(key, None)
            if found is None:
                yield Violation(INV7, _keyed(key), f"{table}: its row is gone, but its events are here")
            elif found != tuple(map(row.get, columns[table])):
                yield from _unlike(table, row, dict(zip(columns[table], found, strict=True)), evidence)
    except BadInput as error:
        # What goes back is told by the invariant above; the rows of what comes after cannot be made again.
        if told and not any(place.refused and place.refused.event is told for place in facts.folded.values()):
            yield Violation(INV7, told.intent_id or f"event {told.seq}", str(error))
        yield from _refused_steps(facts)
        return
    for table, rows in stored.items():
        for key in rows:
            yield Violation(INV7, _keyed(key), f"{table}: a row without the event that made it")
    for record in evidence.sessions:
        if record.closing is not None and record.closing.sha() != record.closing_sha:
            subject = f"{record.book} {record.session}"
            yield Violation(INV7, subject, "its closing book is not the one that was settled")


def _refused_steps(facts: Facts) -> Iterator[Violation]:
    for intent_id, (_, refused) in facts.folded.items():
        if refused is not None and not refused.goes_back:
            yield Violation(INV7, intent_id, f"event {refused.event.seq}: {refused.why}")


def _by_key(table: str, stored: Stored) -> dict[tuple[Value, ...], tuple[Value, ...]]:
    if not stored.rows:
        return {}
    places = [stored.columns.index(name) for name in KEYS[table]]
    return {tuple([row[place] for place in places]): row for row in stored.rows}


def _unlike(table: str, row: Row, found: Mapping[str, Value], evidence: Evidence) -> Iterator[Violation]:
    """Report each value of a row that is not what its events say."""
    key = tuple(row[name] for name in KEYS[table])
    for name, value in found.items():
        told = row.get(name)
        if value != told:
            begin = _parting(value, told)
            has, says = (_shown(each, evidence.planted_secrets, begin=begin) for each in (value, told))
            yield Violation(INV7, _keyed(key), f"{table}.{name} is {has}, its events say {says}")


def _parting(one: Value, other: Value) -> int:
    """Return from where on two values are shown: of long texts, from just before they part."""
    if not (isinstance(one, str) and isinstance(other, str)) or max(len(one), len(other)) <= SHOWN_MAX:
        return 0
    same = min(len(one), len(other))
    parts = next((at for at in range(same) if one[at] != other[at]), same)
    return max(parts - SHOWN_MAX // 2, 0)


def _keyed(key: tuple[Value, ...]) -> str:
    return " ".join(map(str, key)).rstrip()


def _shown(value: Value, secrets: Iterable[str], *, begin: int = 0) -> str:
    if not isinstance(value, str):
        return repr(value)
    if _holds(value, secrets):
        return "a text with a planted secret"
    end = begin + SHOWN_MAX
    return f"{'…' if begin else ''}{value[begin:end]!r}{'…' if value[end:] else ''}"


def _folded(events: Sequence[JournalEvent]) -> Folded:
    """Return where an intent is after its events, up to the first one that does not follow."""
    place: Place | None = None
    for event in events:
        try:
            body = event.body
            asked = Event(
                _STEPS[event.kind], IntentState(body["to"]), body["version"], body["epoch"], body["quantity"]
            )
            after = transition(place, asked)
        except (KeyError, ValueError, TypeError) as error:
            return Folded(place, Refused(event, f"does not say what was asked ({error})", goes_back=False))
        if place is not None and not place.state.is_open:
            return Folded(place, Refused(event, f"{event.kind} after it was {place.state}", goes_back=True))
        if isinstance(after, Refusal):
            return Folded(place, Refused(event, after.message, after.code in {STALE_VERSION, STALE_EPOCH}))
        place = after
    return Folded(place, None)


def chain_holds(facts: Facts) -> Iterator[Violation]:
    """INV8: each event's hash covers the one before, and the signed checkpoints agree.

    A violation is an event that was changed, taken out or put in after it was written; the first one is
    named, since all that follow stand on it.
    """
    prev_hash = GENESIS
    for event in facts.evidence.events:
        if event.prev_hash != prev_hash:
            yield Violation(INV8, f"event {event.seq}", "prev_hash is not the hash of the event before")
            break
        if not _is_chained(event):
            yield Violation(INV8, f"event {event.seq}", "hash is not that of its content")
            break
        prev_hash = event.hash
    for fault in facts.evidence.checkpoint_faults or ():
        yield Violation(INV8, "checkpoint", fault)


def _is_chained(event: JournalEvent) -> bool:
    try:
        return chained(event.prev_hash, content_of(event)) == event.hash
    except (TypeError, ValueError, BadInput):
        # What no event can say, as a float, was never hashed.
        return False


def log_is_a_prefix(facts: Facts) -> Iterator[Violation]:
    """INV9: the audit log is a byte prefix of the export of the journal's events.

    A violation is a line that is no event of the journal, or one more than it has: the log was changed, is
    another journal's, or ran ahead of a journal that lost what it had. A torn last line is still a prefix,
    and what follows a sector that was never written (it reads as zero bytes) was lost with it.
    """
    if facts.evidence.audit_lines is None:
        return
    events = iter(facts.evidence.events)
    torn = 0
    for number, line in enumerate(facts.evidence.audit_lines, start=1):
        if torn:
            yield Violation(INV9, f"line {torn}", "is not the event of this number")
            return
        if "\0" in line:
            return
        event = next(events, None)
        if event is None:
            if line:
                yield Violation(INV9, f"line {number}", f"the journal has {number - 1} events only")
            return
        expected = _line_of(event)
        if line == expected:
            continue
        if not expected.encode().startswith(line.encode(errors="surrogateescape")):
            yield Violation(INV9, f"line {number}", "is not the event of this number")
            return
        torn = number


def _line_of(event: JournalEvent) -> str:
    """Return an event's line, empty where it says what no line can."""
    try:
        return line_of(event)
    except (TypeError, ValueError):
        return ""


# -------------------------------------------------------------------------------- what may be sent


def guards_passed(facts: Facts) -> Iterator[Violation]:
    """INV10: what was prepared passed every guard on the payload that was decided, and was paid for.

    The money and shares of each book are followed through its events: at no event are open orders promised
    more than there is. A violation is an order that a guard stopped, of another payload than decided, that
    asks for anything but what its intent has left, that was prepared too late, for which the money or the
    shares were not there, or whose reservation is not what is left of its promise; or one that was sent again
    before the broker's answers proved it absent.
    """
    for row in facts.evidence.intents:
        if facts.evidence.judged.get(row.intent_id, True) or row.state is IntentState.REJECTED:
            continue
        yield Violation(INV10, row.intent_id, f"is {_where(row)} though a guard stopped its decision")
    purses = _Purses(facts)
    asked = _Asked(facts)
    for event in facts.evidence.events:
        if event.kind in _PREPARING:
            yield from _unguarded(facts, event)
        if found := asked.after(event):
            yield Violation(INV10, event.intent_id, f"event {event.seq}: {found}")
        if found := purses.after(event):
            yield Violation(INV10, event.intent_id, f"event {event.seq}: {found}")
    yield from purses.unlike_rows()
    for event, why in _unproven(facts, Step.PREPARED_AGAIN):
        yield Violation(INV10, event.intent_id, f"event {event.seq}: sent again, but {why}")


def _unguarded(facts: Facts, event: JournalEvent) -> Iterator[Violation]:
    """Report a prepared event that no guard, or not every guard, passed on the registered payload.

    Every guard are those of the version that wrote it: one that names its term has none of an earlier one's.
    """
    whys = _whys_of(event)
    stopped = [REASONS.get(why.code, str(why.code)) for why in whys if why.code != PASS]
    earlier = NAMED_NO_TERM if "term" in event.body else frozenset()
    if len(whys) not in NAMES_SAID.keys() - earlier:
        looked = f"{len(whys)} of {len(GUARDS)} guards looked" if whys else "no guard looked"
        yield Violation(INV10, event.intent_id, f"event {event.seq}: prepared, but {looked} at it")
    if stopped:
        yield Violation(INV10, event.intent_id, f"event {event.seq}: prepared, though {_listed(stopped)}")
    row = facts.intents.get(event.intent_id)
    last = min([str(event.body.get("send_by")), *([instant_text(row.not_after)] if row else [])])
    if instant_text(event.at) >= last:
        yield Violation(INV10, event.intent_id, f"event {event.seq}: prepared, but to be sent before {last}")
    steps = facts.steps_of.get(event.intent_id, ())
    if event.kind in _MAKING and event.body.get("payload_hash") != steps[0].body.get("payload_hash"):
        yield Violation(INV10, event.intent_id, f"event {event.seq}: another payload than was decided")


class _Asked:
    """Follow what each intent may ask a broker for, event by event."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._generations: Counter[str] = Counter()
        self._filled: Counter[str] = Counter()

    def after(self, event: JournalEvent) -> str:
        """Take one event in; return how what was prepared is not what was left to ask for."""
        if event.kind == Step.FILLED:
            self._filled[event.intent_id] += event.body.get("quantity", 0)
        if event.kind not in _MAKING:
            return ""
        generation = self._generations[event.intent_id]
        self._generations[event.intent_id] += 1
        row = self._facts.intents.get(event.intent_id)
        if row is None:
            return ""
        left = request_payload(
            request_of(replace(row, generation=generation, filled_quantity=self._filled[event.intent_id]))
        )
        request = event.body.get("request", {})
        unlike = [
            f"{name} {_shown(request.get(name), self._facts.evidence.planted_secrets)}, not {value!r}"
            for name, value in left.items()
            if request.get(name) != value
        ]
        if unlike or len(request) != len(left):
            return f"asks for something else than its intent: {', '.join(unlike)}"
        if digest(request) != event.body.get("request_sha"):
            return "request_sha is not that of the request"
        return ""


@dataclass(slots=True, kw_only=True)
class _Promise:
    """Hold what one open order was promised: the shares it may still trade, and a buy's money."""

    client_order_id: ClientOrderId
    side: Side
    symbol: Symbol
    quantity_left: int
    micros_left: int


@dataclass(slots=True, kw_only=True)
class _Purse:
    """Hold what one book has in one lane at one event.

    `overrun_micros` is what fills cost above what was promised for them: a market order has no highest
    price, so that alone is no fault of the guards. `is_exact` says that what the session's corporate
    actions did to the book is known: its closing book tells it.
    """

    cash_micros: int
    shares: dict[Symbol, int]
    is_exact: bool
    overrun_micros: int = 0
    promises: dict[str, _Promise] = field(default_factory=dict)
    promised_micros: int = 0
    promised_sales: dict[Symbol, int] = field(default_factory=dict)

    @property
    def free_micros(self) -> int:
        """Return the cash that no open order was promised."""
        return self.cash_micros - self.promised_micros

    def sellable(self, symbol: Symbol) -> int:
        """Return the shares held that no open sale was promised."""
        return self.shares.get(symbol, 0) - self.promised_sales.get(symbol, 0)

    def promise(self, intent_id: str, promise: _Promise) -> None:
        """Promise an order what it may need."""
        self.promises[intent_id] = promise
        self._count(promise, 1)

    def leave(self, promise: _Promise, *, quantity: int, micros: int) -> None:
        """Leave of a promise what the order may still need."""
        self._count(promise, -1)
        promise.quantity_left, promise.micros_left = quantity, micros
        self._count(promise, 1)

    def end(self, intent_id: str) -> None:
        """Free what the order of an intent was promised, where it has one."""
        promise = self.promises.pop(intent_id, None)
        if promise is not None:
            self.leave(promise, quantity=0, micros=0)

    def trade(self, fill: Fill, *, sign: int) -> None:
        """Take a fill in (`sign` 1), or out again (-1)."""
        way = sign if fill.side is Side.BUY else -sign
        self.cash_micros -= way * fill.notional_micros + sign * fill.commission_micros
        self.shares[fill.symbol] = self.shares.get(fill.symbol, 0) + way * fill.quantity

    def _count(self, promise: _Promise, sign: int) -> None:
        self.promised_micros += sign * promise.micros_left
        if promise.side is Side.SELL:
            held = self.promised_sales.get(promise.symbol, 0)
            self.promised_sales[promise.symbol] = held + sign * promise.quantity_left


class _Purses:
    """Follow what each book has and has promised, event by event."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._purses: dict[tuple[str, str], _Purse] = {}
        self._opened = _books_at_open(facts)
        self._fills = {fill.execution_id: fill for fill in facts.evidence.fills}
        self._promised: dict[ClientOrderId, _Promise] = {}

    def after(self, event: JournalEvent) -> str:
        """Take one event in; return what is wrong once it has happened, empty where nothing is."""
        of = (event.book, event.lane)
        if event.kind == BOOK_OPENED:
            self._purses[of] = self._opening_of(event)
            return ""
        purse = self._purses.get(of)
        if purse is None:
            return ""
        if event.kind in _MAKING:
            # A replacement is promised anew: what the generation before it was promised is free again.
            purse.end(event.intent_id)
            return self._prepared(purse, event)
        if event.kind == Step.PREPARED_AGAIN:
            return self._prepared_again(purse, event)
        if event.kind == Step.FILLED:
            return self._filled(purse, event)
        if event.kind == BUST and (busted := self._fills.get(str(event.body.get("takes_back")))):
            purse.trade(busted, sign=-1)
            if "reserved_micros" in event.body:
                self._reopen(purse, event, busted)
            # Money and shares may lack from here on through no fault of a guard.
            purse.is_exact = False
        elif event.kind in _STEPS and event.body.get("to") in _ENDINGS:
            purse.end(event.intent_id)
        return ""

    def unlike_rows(self) -> Iterator[Violation]:
        """Report reservations that are not what the events leave of a promise."""
        rows = {row.client_order_id: row for row in self._facts.evidence.reservations}
        for client_order_id, promise in self._promised.items():
            row = rows.get(client_order_id)
            left = (promise.quantity_left, promise.micros_left)
            if row is None:
                yield Violation(
                    INV10, client_order_id, "was promised money or shares, but has no reservation"
                )
            elif (row.quantity_left, row.micros_left) != left:
                yield Violation(
                    INV10,
                    client_order_id,
                    f"reserved are {row.quantity_left} shares and {row.micros_left} micro-units,"
                    f" its events leave {left[0]} and {left[1]}",
                )

    def _opening_of(self, event: JournalEvent) -> _Purse:
        at_open = self._opened.get((event.book, event.lane, event.session))
        if at_open is not None:
            return at_open
        opening = event.body.get("opening", {})
        return _Purse(
            cash_micros=opening.get("cash_micros", 0),
            shares={Symbol(row[0]): row[1] for row in opening.get("positions", [])},
            is_exact=False,
        )

    def _prepared(self, purse: _Purse, event: JournalEvent) -> str:
        request = event.body.get("request", {})
        promise = _Promise(
            client_order_id=ClientOrderId(request.get("client_order_id", "")),
            side=Side(request.get("side", Side.BUY)),
            symbol=Symbol(request.get("symbol", "")),
            quantity_left=request.get("quantity", 0),
            micros_left=0,
        )
        if promise.side is Side.BUY:
            at_reference = request.get("reference_price_micros", 0) * promise.quantity_left
            promise.micros_left, found = _promised_micros(purse, event, at_reference=at_reference)
        else:
            seen = _seen_by_guards(event)
            _, sellable_seen = seen.get("shorts", seen.get("symbol_cap", (0, 0)))
            sellable = purse.sellable(promise.symbol)
            sellable = sellable if purse.is_exact else max(sellable, sellable_seen)
            found = (
                f"sells {promise.quantity_left} {promise.symbol}, sellable are {sellable}"
                if (promise.quantity_left > sellable)
                else ""
            )
        purse.promise(event.intent_id, promise)
        self._promised[promise.client_order_id] = promise
        return found

    def _prepared_again(self, purse: _Purse, event: JournalEvent) -> str:
        """Promise a buy anew what it needs by now; earlier versions left it at its first promise."""
        promise, row = purse.promises.get(event.intent_id), self._facts.intents.get(event.intent_id)
        is_promised = "reserved_micros" in event.body
        if promise is None or row is None or promise.side is Side.SELL or not is_promised:
            return ""
        shares = promise.quantity_left
        purse.leave(promise, quantity=shares, micros=0)
        micros, found = _promised_micros(purse, event, at_reference=row.intent.price_micros * shares)
        purse.leave(promise, quantity=shares, micros=micros)
        return found

    def _reopen(self, purse: _Purse, event: JournalEvent, busted: Fill) -> None:
        """Promise anew what a fill that was taken back had used; earlier versions left it used."""
        promise = purse.promises.get(event.intent_id)
        if promise is not None and promise.client_order_id == busted.client_order_id:
            shares, micros = reserved_after_bust(promise.quantity_left, promise.micros_left, busted)
            purse.leave(promise, quantity=shares, micros=micros)

    def _filled(self, purse: _Purse, event: JournalEvent) -> str:
        promise = purse.promises.get(event.intent_id)
        fill = self._fills.get(str(event.body.get("execution_id")))
        if promise is None:
            return "filled, but nothing was promised for it"
        if fill is None:
            return ""
        before = promise.micros_left
        left = max(promise.quantity_left - fill.quantity, 0)
        # What the shares still open need, rounded up: as the reservation itself shrinks.
        micros = -(-before * left // promise.quantity_left) if promise.quantity_left else 0
        purse.leave(promise, quantity=left, micros=micros)
        purse.trade(fill, sign=1)
        if fill.side is Side.BUY:
            cost = fill.notional_micros + fill.commission_micros
            purse.overrun_micros += max(cost - (before - micros), 0)
        if purse.is_exact and purse.shares[fill.symbol] < 0:
            return f"sold {-purse.shares[fill.symbol]} {fill.symbol} more than were held"
        if purse.is_exact and purse.free_micros + purse.overrun_micros < 0:
            return f"{-purse.free_micros} micro-units more are promised than there are"
        return ""


def _promised_micros(purse: _Purse, event: JournalEvent, *, at_reference: int) -> tuple[int, str]:
    """Return what a buy has to be promised by what the guards counted, and how that was not there."""
    counted, free_seen = _seen_by_guards(event).get("buying_power", (0, 0))
    micros = max(at_reference, counted)
    free = purse.free_micros if purse.is_exact else max(purse.free_micros, free_seen)
    return micros, f"needs {micros} micro-units, free are {free}" if micros > free else ""


def _books_at_open(facts: Facts) -> dict[tuple[str, str, str], _Purse]:
    """Return each settled session's book at its open: its closing book without the session's fills.

    The opening book would not do: dividends and splits of the morning are not in it. What was taken back
    before the session was settled is not in the closing book either.
    """
    settled_at: dict[tuple[str, str, str], int] = {}
    busted_at: dict[str, int] = {}
    for event in facts.evidence.events:
        if event.kind == "settled":
            settled_at[event.book, event.lane, event.session] = event.seq
        elif event.kind == BUST:
            busted_at[str(event.body.get("takes_back"))] = event.seq
    opened: dict[tuple[str, str, str], _Purse] = {}
    for record in facts.evidence.sessions:
        if record.closing is not None:
            opened[record.book, record.lane, record.session.isoformat()] = _Purse(
                cash_micros=record.closing.cash_micros,
                shares={position.symbol: position.quantity for position in record.closing.positions},
                is_exact=True,
            )
    for fill in facts.evidence.fills:
        row = facts.intents.get(fill.intent_id)
        if row is None:
            continue
        of = (row.intent.book, row.lane, fill.session.isoformat())
        purse = opened.get(of)
        is_in_closing = busted_at.get(fill.execution_id, NEVER) > settled_at.get(of, NEVER - 1)
        if purse is not None and is_in_closing:
            purse.trade(fill, sign=-1)
    return opened


def nothing_is_sent_while_halted(facts: Facts) -> Iterator[Violation]:
    """INV11: while the kill switch is on only orders of slot `flatten` are prepared.

    Each of those is a sale that one named flatten ordered after its preview, of no more than that showed.
    None is prepared while trading is paused or its account or instrument halted, and no buy while its account
    cools down. None is claimed, prepared, sent again or replaced but in the last executor's term that began,
    once that is reconciled with the broker. A violation is an order that got past a halt.
    """
    gate, flattens = _Gate(), _Flattens()
    for event in facts.evidence.events:
        if event.kind in _FLATTEN_EVENTS:
            yield from flattens.take(event)
        elif event.kind in _PREPARING:
            row = facts.intents.get(event.intent_id)
            if row is not None and (why := flattens.why_not(row)):
                yield Violation(INV11, event.intent_id, f"event {event.seq}: {event.kind} {why}")
        if event.kind in _GATE_EVENTS:
            gate.take(event)
        elif event.kind in _PREPARING or event.kind == Step.CLAIMED:
            row = facts.intents.get(event.intent_id)
            if row is not None and (why := gate.why_closed(row, event)):
                yield Violation(INV11, event.intent_id, f"event {event.seq}: {event.kind} {why}")


@dataclass(slots=True)
class _Flattens:
    """Follow what each flatten showed before, by symbol, and which intents it ordered, event by event."""

    previewed: dict[str, dict[str, int]] = field(default_factory=dict)
    ordered: dict[str, str] = field(default_factory=dict)

    def take(self, event: JournalEvent) -> Iterator[Violation]:
        """Take in a step of a flatten; report an order without its preview, its person or its reason."""
        command_id = str(event.body.get("command_id"))
        if event.kind == FLATTEN_PREVIEWED:
            self.previewed[command_id] = previewed_quantities(str(event.body.get("plan")))
            return
        if command_id not in self.previewed:
            yield Violation(INV11, command_id, f"event {event.seq}: ordered, but never previewed")
        if not event.actor.strip() or not event.reason.strip():
            yield Violation(INV11, command_id, f"event {event.seq}: ordered by nobody, or for no reason")
        for intent_id in event.body.get("intents", ()):
            if intent_id in self.ordered:
                yield Violation(INV11, intent_id, f"event {event.seq}: ordered by two flattens")
            self.ordered[intent_id] = command_id

    def why_not(self, row: JournalIntent) -> str:
        """Return why an intent may not be prepared as a flatten, empty where it may or is none."""
        if row.intent.slot is not Slot.FLATTEN:
            return ""
        if row.intent.side is not Side.SELL:
            return "a flatten that does not reduce"
        if row.intent_id not in self.ordered:
            return "a flatten that nobody ordered"
        most = self.previewed.get(self.ordered[row.intent_id], {}).get(row.intent.symbol, 0)
        if row.quantity > most:
            return f"a flatten of {row.quantity} {row.intent.symbol}, of which its preview showed {most}"
        return ""


class _Term(NamedTuple):
    """Hold an executor's term of an account and lane, and whether it is reconciled."""

    number: int
    is_reconciled: bool = False


NO_TERM = _Term(0)
"""The term of an account for which no executor ever began; the first one has number 1."""


@dataclass(slots=True)
class _Gate:
    """Follow what holds sends back, event by event."""

    is_killed: bool = False
    is_paused: bool = False
    halts: set[tuple[str, str]] = field(default_factory=set)
    cools_until: dict[tuple[str, str], str] = field(default_factory=dict)
    terms: dict[tuple[str, str], _Term] = field(default_factory=dict)
    """The last term that began of an account and lane."""

    def take(self, event: JournalEvent) -> None:
        """Take in an event that opens or closes the gate."""
        body = event.body
        if event.kind == RUN_CONTROL:
            after = body.get("after", {})
            self.is_killed, self.is_paused = bool(after.get("kill_switch_on")), bool(after.get("paused"))
        elif event.kind == HALTED:
            self.halts.add((str(body.get("account")), str(body.get("symbol"))))
        elif event.kind == HALT_LIFTED:
            self.halts.discard((str(body.get("account")), str(body.get("symbol"))))
        elif event.kind in {COOLDOWN_BEGAN, COOLDOWN_ENDED}:
            self.cools_until[str(body.get("account")), event.lane] = str(body.get("until"))
        elif event.kind == EXECUTOR_BEGAN:
            self.terms[str(body.get("account")), event.lane] = _Term(body.get("term", 0))
        else:
            of, told = (str(body.get("account")), event.lane), body.get("term", 0)
            if told == self.terms.get(of, NO_TERM).number:
                self.terms[of] = _Term(told, is_reconciled=True)

    def why_closed(self, row: JournalIntent, event: JournalEvent) -> str:
        """Return what should have held a claim or a send back, empty where nothing does."""
        if found := self._out_of_term(row, event):
            return found
        cools_until = self.cools_until.get((row.account, row.lane), "")
        if row.intent.side is Side.BUY and instant_text(event.at) < cools_until:
            return f"while {row.account} cooled down"
        if self.is_paused:
            return "while paused"
        if self.is_killed and row.intent.slot is not Slot.FLATTEN:
            return "while halted"
        if (row.account, "") in self.halts:
            return f"while {row.account} was halted"
        if (row.account, row.intent.symbol) in self.halts:
            return f"while {row.intent.symbol} was halted"
        return ""

    def _out_of_term(self, row: JournalIntent, event: JournalEvent) -> str:
        """Return how a claim or a send is not of the reconciled term in force, empty where it is.

        Earlier versions did not name the term: first there was none, and then what was sent again or
        replaced did not wait for its reconciliation.
        """
        term = self.terms.get((row.account, row.lane), NO_TERM)
        has_begun = term.number != NO_TERM.number
        if "term" in event.body:
            told = event.body["term"]
            if not has_begun:
                return f"in term {told}, but no executor's term ever began"
            if told != term.number:
                return f"in term {told}, while term {term.number} was in force"
        elif not has_begun or event.kind not in {Step.CLAIMED, Step.PREPARED}:
            return ""
        return "" if term.is_reconciled else "before its executor's term was reconciled"


def approvals_are_persons(facts: Facts) -> Iterator[Violation]:
    """INV12: an approval has an actor and names the hash of the payload that was executed.

    A violation is an intent that waited for a person and went on without one, without the second distinct
    one where two were needed, or on another payload than that person saw; one that was decided as approved
    though a stage of its chain failed or waits; or an approval after its time, or that of a stage before it.
    """
    answers = {(answer.intent_id, answer.nonce): answer for answer in facts.evidence.approvals}
    for answer in facts.evidence.approvals:
        row = facts.intents.get(answer.intent_id)
        if not answer.actor.strip():
            yield Violation(INV12, answer.intent_id, f"{answer.answer} by nobody (nonce {answer.nonce})")
        if row is None or answer.payload_hash != row.payload_hash:
            yield Violation(
                INV12, answer.intent_id, f"{answer.answer} was another payload than the one stored"
            )
        elif answer.answer == Step.APPROVED and (
            sent_payload_hash(row.intent, quantity=row.quantity) != answer.payload_hash
        ):
            yield Violation(INV12, answer.intent_id, "its row's payload is not the one that was approved")
    for intent_id, events in facts.steps_of.items():
        for why in _unapproved(events[0]):
            yield Violation(INV12, intent_id, f"event {events[0].seq}: decided as approved, but {why}")
        until = _approvable_until(events[0])
        for event in events:
            if event.kind in {Step.ENDORSED, Step.APPROVED} and instant_text(event.at) >= until:
                yield Violation(INV12, intent_id, f"event {event.seq}: {event.kind}, but only until {until}")
            if event.kind != Step.APPROVED:
                continue
            needed, given = _approvers(events, event)
            if len(given) < needed:
                yield Violation(
                    INV12, intent_id, f"event {event.seq}: approved by {len(given)}, but {needed} have to"
                )
            stored = answers.get((IntentId(intent_id), str(event.body.get("nonce"))))
            if stored is None or stored.answer != Step.APPROVED or stored.actor != event.actor:
                yield Violation(
                    INV12, intent_id, f"event {event.seq}: approved, but no stored answer says so"
                )


def _unapproved(registered: JournalEvent) -> Iterator[str]:
    """Yield what of its chain holds an intent up that was decided as approved."""
    if registered.body.get("to") != IntentState.APPROVED:
        return
    for stage, verdict, *_ in _stages(registered):
        if verdict in _BARRING:
            yield f"{stage} is {verdict}"


def _approvable_until(registered: JournalEvent) -> str:
    """Return from when on an approval of an intent counts no more: its own time, or a stage's before it."""
    expiries = [str(stage[CHAIN_EXPIRES_AT]) for stage in _stages(registered)]
    return min([str(registered.body.get("not_after")), *expiries])


def _stages(registered: JournalEvent) -> Iterator[Sequence[Any]]:
    """Yield the stages of an intent's chain that count: `shadow` holds nothing up."""
    for stage in registered.body.get("chain", ()):
        if stage[0] != ChainStage.SHADOW:
            yield stage


def _approvers(events: Sequence[JournalEvent], approved: JournalEvent) -> tuple[int, set[str]]:
    """Return how many distinct persons an intent needed, and who of them approved up to an event."""
    chain = events[0].body.get("chain", ())
    needed = max((int(stage[CHAIN_APPROVERS]) for stage in chain), default=1)
    given = {
        person_named(event.actor)
        for event in events
        if event.kind in {Step.ENDORSED, Step.APPROVED} and event.seq <= approved.seq
    }
    return max(needed, 1), given


def resends_are_equal(facts: Facts) -> Iterator[Violation]:
    """INV13: bytes that are sent twice under one client order id are equal.

    A violation is a second attempt that asks for something else under the id of the first, or two orders
    under one id that ask for different things.
    """
    heard: dict[ClientOrderId, set[str]] = defaultdict(set)
    stand: dict[ClientOrderId, set[str]] = defaultdict(set)
    for dump in facts.evidence.dumps:
        for arrival in dump.arrivals:
            heard[arrival.client_order_id].add(arrival.request_sha)
        for told in dump.terms:
            stand[told.client_order_id].add(told.terms_sha)
    for client_order_id, shas in (*heard.items(), *stand.items()):
        if len(shas) > 1 and _is_ours(client_order_id):
            yield Violation(INV13, client_order_id, f"sent as {_listed(sha[:12] for sha in shas)}")


# -------------------------------------------------------------------------------- replays and secrets


def replays_are_identical(facts: Facts) -> Iterator[Violation]:
    """INV14: a session decided again from what it read gives the decisions on record, byte by byte.

    A violation is a session whose decisions cannot be reproduced: an input, a rule or the code changed
    without its name changing.
    """
    for row in facts.evidence.replayed:
        if row.recorded_sha != row.replayed_sha:
            yield Violation(
                INV14,
                f"{row.book} {row.session}",
                f"decisions on record {row.recorded_sha[:12] or 'none'}, made again {row.replayed_sha[:12]}",
            )


def secrets_stay_out(facts: Facts) -> Iterator[Violation]:
    """INV15: no planted secret stands in the journal's events, its incidents or the audit log.

    A violation names the place, never the secret.
    """
    for place in facts.evidence.secrets_shown or ():
        yield Violation(INV15, place, "holds a key of a broker")
    secrets = facts.evidence.planted_secrets
    if not secrets:
        return
    for event in facts.evidence.events:
        if _holds(_line_of(event), secrets):
            yield Violation(INV15, f"event {event.seq}", "holds a planted secret")
    for incident in facts.evidence.incidents:
        if _holds(incident.detail, secrets):
            yield Violation(INV15, f"incident {incident.incident_id}", "holds a planted secret")
    for number, line in enumerate(facts.evidence.audit_lines or (), start=1):
        if _holds(line, secrets):
            yield Violation(INV15, f"line {number}", "holds a planted secret")


def only_live_trades_live(facts: Facts) -> Iterator[Violation]:
    """INV16: only the lane `live` has live orders; replays and backfills never reach a live broker.

    A violation is a live order's row in another lane, or a send to a live broker that comes from one.
    """
    for client_order_id in facts.evidence.live_orders:
        order = facts.orders.get(client_order_id)
        row = facts.intents.get(order.intent_id) if order is not None else None
        if row is None or row.lane != LIVE:
            lane = "no lane" if row is None else row.lane
            yield Violation(INV16, client_order_id, f"a live order of {lane}")
    for dump in facts.evidence.dumps:
        if not dump.is_live:
            continue
        heard = [order.client_order_id for order in dump.orders]
        heard += [arrival.client_order_id for arrival in dump.arrivals]
        for client_order_id in dict.fromkeys(heard):
            order = facts.orders.get(client_order_id)
            row = facts.intents.get(order.intent_id) if order is not None else None
            if row is not None and row.lane != LIVE:
                yield Violation(INV16, client_order_id, f"reached a live broker from lane {row.lane}")


def advice_only_makes_less(facts: Facts) -> Iterator[Violation]:
    """INV17: what advice left of an intent is a part of its unadvised twin, and what reduces risk is whole.

    The twin is what the rules wished and the guards passed, stored with the decision. A violation is a
    quantity or an order over the twin's, a twin that is not what was wished, a sale that advice changed or
    stopped, or an advised decision whose verdicts are not those that were stored with it.
    """
    for row in facts.evidence.intents:
        steps = facts.steps_of.get(row.intent_id, ())
        for found in _unlike_twin(row, steps[0] if steps else None):
            yield Violation(INV17, row.intent_id, found)
    for order in facts.evidence.orders:
        own = facts.intents.get(order.intent_id)
        if own is not None and order.request.quantity > own.unadvised_quantity:
            asked, twin = order.request.quantity, own.unadvised_quantity
            yield Violation(INV17, order.intent_id, f"an order of {asked} shares, its twin has {twin}")


def _unlike_twin(row: JournalIntent, registered: JournalEvent | None) -> Iterator[str]:
    twin, reason = row.unadvised_quantity, "" if registered is None else registered.reason
    is_advised = row.quantity != twin or reason in BY_ADVICE
    if not 0 <= row.quantity <= twin:
        yield f"is for {row.quantity} shares, its twin for {twin}"
    if twin not in {0, row.intent.quantity}:
        yield f"its twin is for {twin} shares, wished were {row.intent.quantity}"
    if is_advised and reduces_risk(row.intent):
        yield f"advice made {row.quantity} of {twin} shares that reduce risk ({reason or 'no reason'})"
    if is_advised and registered is not None and registered.body.get("verdicts"):
        stored = _verdicts_sha_of(row, registered.body["verdicts"])
        if stored != row.verdicts_sha:
            yield f"advised by verdicts {row.verdicts_sha[:12]}, stored with it were {stored[:12]}"


def _verdicts_sha_of(row: JournalIntent, told: Iterable[Sequence[Any]]) -> str:
    """Return the digest of an intent's verdicts as its event tells them."""
    intent = row.intent
    return verdicts_sha(
        [
            Verdict(intent.intent_key, intent.symbol, intent.session, guard, bool(passed), *rest)
            for guard, passed, *rest in told
        ]
    )


def brokers_hold_the_books(facts: Facts) -> Iterator[Violation]:
    """INV19: an account holds at its broker what the book of its last settled session holds, to the share.

    A violation is a share or money that only one of them has: somebody else traded, or a store was changed.
    """
    for row in facts.evidence.held:
        for finding in holdings_findings(row.expected, row.found):
            yield Violation(INV19, f"{row.book} {row.session}", f"{finding.detail} ({row.how})")


def tables_are_what_they_are_named(facts: Facts) -> Iterator[Violation]:
    """INV20: each table of the lake that a pointer names has the content that it is named by.

    A violation is a table that is gone, or of which a byte was changed.
    """
    if facts.evidence.lake is not None:
        for name, why in facts.evidence.lake.altered:
            yield Violation(INV20, name, why)


# -------------------------------------------------------------------------------- small words


def _is_ours(client_order_id: str) -> bool:
    return client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)


def _where(row: JournalIntent) -> str:
    return f"{row.state}/{row.stage}" if row.stage else row.state.value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _holds(text: str, secrets: Iterable[str]) -> bool:
    return any(secret in text for secret in secrets)


def _terms(fill: Fill | BrokerFill) -> tuple[int, int, int]:
    return fill.quantity, fill.price_micros, fill.commission_micros


def _shares(terms: Counter[tuple[int, int, int]]) -> int:
    return sum(quantity * count for (quantity, _, _), count in terms.items())


def _whys_of(event: JournalEvent) -> list[Why]:
    return [Why(*why) for why in event.body.get("whys", [])]


def _seen_by_guards(event: JournalEvent) -> dict[str, tuple[int, int]]:
    """Return what each guard observed and its limit, by name; empty where not all of them looked."""
    whys = _whys_of(event)
    names = NAMES_SAID.get(len(whys), ())
    return {name: (why.observed, why.limit) for name, why in zip(names, whys, strict=False)}


def without_books(evidence: Evidence, others: Collection[str]) -> Evidence:
    """Return evidence without what is some books', to count what was looked at; it is judged by all of it.

    What leads to no book, as an order at a broker that the journal does not know, stays in.
    """
    if not others:
        return evidence
    intents = {row.intent_id for row in evidence.intents if row.intent.book in others}
    orders = {order.client_order_id for order in evidence.orders if order.intent_id in intents}
    accounts = {row.account for row in evidence.intents if row.intent_id in intents}
    accounts -= {row.account for row in evidence.intents if row.intent_id not in intents}
    dumps = [_dump_without(dump, orders) for dump in evidence.dumps]
    return replace(
        evidence,
        intents=tuple(row for row in evidence.intents if row.intent_id not in intents),
        orders=tuple(order for order in evidence.orders if order.intent_id not in intents),
        fills=tuple(fill for fill in evidence.fills if fill.intent_id not in intents),
        approvals=tuple(answer for answer in evidence.approvals if answer.intent_id not in intents),
        sessions=tuple(row for row in evidence.sessions if row.book not in others),
        events=tuple(event for event in evidence.events if event.book not in others),
        # An account of theirs alone is looked at for what no book ordered in it.
        dumps=tuple(dump for dump in dumps if dump.account not in accounts or dump.orders or dump.arrivals),
        replayed=tuple(row for row in evidence.replayed if row.book not in others),
        held=tuple(row for row in evidence.held if row.book not in others),
    )


def _dump_without(dump: BrokerDump, orders: Collection[str]) -> BrokerDump:
    return replace(
        dump,
        orders=tuple(order for order in dump.orders if order.client_order_id not in orders),
        fills=tuple(fill for fill in dump.fills if fill.client_order_id not in orders),
        arrivals=tuple(arrival for arrival in dump.arrivals if arrival.client_order_id not in orders),
        terms=tuple(told for told in dump.terms if told.client_order_id not in orders),
    )


# -------------------------------------------------------------------------------- all of them


def _lacks_nothing(_evidence: Evidence) -> str:
    return ""


def _lacks_dumps(evidence: Evidence) -> str:
    return "" if evidence.dumps else "no broker told what it has"


def _lacks_recovery(evidence: Evidence) -> str:
    if evidence.is_healed or any(row.settled_at is not None for row in evidence.sessions):
        return ""
    return "no session is settled yet, and something may be running"


def _lacks_log(evidence: Evidence) -> str:
    return "" if evidence.audit_lines is not None else "there is no audit log"


def _lacks_replay(evidence: Evidence) -> str:
    return "" if evidence.replayed else "nothing was decided again to compare with"


def _lacks_held(evidence: Evidence) -> str:
    return "" if evidence.held else "no settled book has a paper account to compare with"


def _lacks_lake(evidence: Evidence) -> str:
    return "" if evidence.lake is not None and evidence.lake.tables else "the lake has no table yet"


def _lacks_secrets(evidence: Evidence) -> str:
    is_known = evidence.planted_secrets or evidence.secrets_shown is not None
    return "" if is_known else "no secret is known to look for"


def _intents(evidence: Evidence) -> str:
    return _counted(len(evidence.intents), "intent")


def _events(evidence: Evidence) -> str:
    return _counted(len(evidence.events), "event")


def _chained(evidence: Evidence) -> str:
    is_signed = evidence.checkpoint_faults is not None
    return _events(evidence) + ("" if is_signed else ", no checkpoint looked at")


def _lines(evidence: Evidence) -> str:
    lines = () if evidence.audit_lines is None else evidence.audit_lines
    count = len(lines) if isinstance(lines, Sized) else sum(1 for _ in lines)
    # The next run adds what the log lacks.
    of_all = f" of {_counted(len(evidence.events), 'event')}" if count < len(evidence.events) else ""
    return f"{_counted(count, 'line')}{of_all}"


def _broker_orders(evidence: Evidence) -> str:
    return _counted(sum(len(dump.orders) for dump in evidence.dumps), "broker order")


def _arrivals(evidence: Evidence) -> str:
    return _counted(sum(len(dump.arrivals) + len(dump.terms) for dump in evidence.dumps), "send")


def _fills(evidence: Evidence) -> str:
    account_of = {row.intent_id: row.account for row in evidence.intents}
    dumped = {dump.account for dump in evidence.dumps}
    alone = sum(account_of.get(fill.intent_id) not in dumped for fill in evidence.fills)
    counted = _counted(len(evidence.fills), "fill")
    return f"{counted}, {alone:,} with no broker's to compare" if alone else counted


def _prepared(evidence: Evidence) -> str:
    return _counted(sum(event.kind in _PREPARING for event in evidence.events), "prepared send")


def _answers(evidence: Evidence) -> str:
    return _counted(len(evidence.approvals), "answer")


def _replays(evidence: Evidence) -> str:
    return _counted(len(evidence.replayed), "session")


def _held(evidence: Evidence) -> str:
    return _counted(len({row.account for row in evidence.held}), "account")


def _tables(evidence: Evidence) -> str:
    return _counted(evidence.lake.tables if evidence.lake else 0, "table")


def _orders(evidence: Evidence) -> str:
    return _counted(len(evidence.orders), "order")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        INV1, "one broker order per intent and generation", one_order_an_id, _lacks_dumps, _broker_orders
    ),
    Invariant(
        INV2, "no order of ours that was not prepared", only_prepared_orders, _lacks_dumps, _broker_orders
    ),
    Invariant(INV3, "no intent is lost", nothing_is_lost, _lacks_recovery, _intents),
    Invariant(INV4, "endings agree with the broker", endings_agree, _lacks_dumps, _intents),
    Invariant(INV5, "fills add up, here and at the broker", fills_add_up, _lacks_nothing, _fills),
    Invariant(INV6, "nothing goes back", nothing_goes_back, _lacks_nothing, _events),
    Invariant(INV7, "rows are what their events say", rows_follow_from_events, _lacks_nothing, _intents),
    Invariant(INV8, "the chain of events holds", chain_holds, _lacks_nothing, _chained),
    Invariant(INV9, "the audit log is a copy of the journal", log_is_a_prefix, _lacks_log, _lines),
    Invariant(
        INV10, "guards passed what was sent, and it was paid for", guards_passed, _lacks_nothing, _prepared
    ),
    Invariant(INV11, "nothing was sent past a halt", nothing_is_sent_while_halted, _lacks_nothing, _prepared),
    Invariant(
        INV12, "approvals are a person's, of what was sent", approvals_are_persons, _lacks_nothing, _answers
    ),
    Invariant(INV13, "bytes sent twice are equal", resends_are_equal, _lacks_dumps, _arrivals),
    Invariant(INV14, "a replay gives the same decisions", replays_are_identical, _lacks_replay, _replays),
    Invariant(INV15, "no planted secret shows", secrets_stay_out, _lacks_secrets, _events),
    Invariant(INV16, "only the live lane trades live", only_live_trades_live, _lacks_nothing, _orders),
    Invariant(INV17, "advice only makes less", advice_only_makes_less, _lacks_nothing, _intents),
    Invariant(INV19, "the broker holds what the book holds", brokers_hold_the_books, _lacks_held, _held),
    Invariant(
        INV20, "tables are what they are named by", tables_are_what_they_are_named, _lacks_lake, _tables
    ),
)
"""All that is checked, in order."""
