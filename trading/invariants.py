"""The invariants: what must be true of journal, audit log and brokers together, whatever has happened.

One pure function over evidence: run after every fault of every test, and by `trading verify`. Each invariant
says what it means and how a violation looks; what gathers the evidence is resources/evidence.py. What the
executor itself does about a disagreement is reconciliation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from trading.brokers import BrokerDump
from trading.intents import CLIENT_ORDER_ID_PREFIX
from trading.journal import (
    Incident,
    JournalEvent,
    JournalIntent,
    JournalOrder,
    RunControl,
    SessionRecord,
)
from trading.lifecycle import (
    Step,
)
from trading.orders import BrokerOrder, Fill
from trading.values import ClientOrderId, IntentId


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


class Replayed(NamedTuple):
    """Hold the digest of a session's decisions as recorded, and as made again from the same inputs."""

    book: str
    session: date
    recorded_sha: str
    replayed_sha: str


class Violation(NamedTuple):
    """Name an invariant that does not hold, whose it is (an id, a session, a line), and what was found."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Hold all that the invariants are checked on; `events` are all of them, ascending.

    `judged` says of each intent with stored verdicts whether all of them passed. `live_orders` are those
    sent for real money. `audit_lines` are the log's lines in order, the last one maybe torn; `None` where
    there is no log to compare. `checkpoint_faults` says what the signed checkpoints find wrong, `None`
    where they were not looked at. `dumps` holds one dump a broker account. `is_healed` says that recovery
    has run to its end and nothing runs now; `as_of` is then its time. `replayed` and `planted_secrets` are
    what a replay and a test bring along.
    """

    intents: tuple[JournalIntent, ...] = ()
    judged: Mapping[IntentId, bool] = field(default_factory=dict)
    orders: tuple[JournalOrder, ...] = ()
    live_orders: frozenset[ClientOrderId] = frozenset()
    fills: tuple[Fill, ...] = ()
    approvals: tuple[Approval, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    incidents: tuple[Incident, ...] = ()
    run_control: RunControl | None = None
    events: tuple[JournalEvent, ...] = ()
    audit_lines: Iterable[str] | None = None
    checkpoint_faults: tuple[str, ...] | None = None
    dumps: tuple[BrokerDump, ...] = ()
    is_healed: bool = False
    as_of: datetime | None = None
    replayed: tuple[Replayed, ...] = ()
    planted_secrets: tuple[str, ...] = ()


def violations(evidence: Evidence) -> tuple[Violation, ...]:
    """Return every violation of every invariant, in the order of invariants; empty where all hold."""
    facts = facts_of(evidence)
    return tuple(found for invariant in INVARIANTS for found in invariant.check(facts))


class Invariant(NamedTuple):
    """Hold one invariant: its name, its sentence, its check, and what it cannot be checked without.

    `lacks` says why evidence does not suffice to judge it, empty where it does; `looks_at` names and counts
    what is judged.
    """

    name: str
    says: str
    check: Callable[[Facts], Iterator[Violation]]
    lacks: Callable[[Evidence], str]
    looks_at: Callable[[Evidence], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Hold evidence with what several invariants look up in it, each made once."""

    evidence: Evidence
    intents: Mapping[str, JournalIntent]
    orders: Mapping[ClientOrderId, JournalOrder]
    orders_of: Mapping[str, Sequence[JournalOrder]]
    fills_of: Mapping[ClientOrderId, Sequence[Fill]]
    steps_of: Mapping[str, Sequence[JournalEvent]]
    alarmed: frozenset[str]
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
        alarmed=frozenset(incident.intent_id for incident in evidence.incidents if incident.intent_id),
        at_brokers=at_brokers,
        dumped_accounts=frozenset(dump.account for dump in evidence.dumps),
    )


_STEPS = {step.value: step for step in Step}


def one_order_an_id(facts: Facts) -> Iterator[Violation]:
    """INV1: a broker has at most one order per intent and generation.

    A violation is a client order id of ours under which a broker holds two orders.
    """
    made: dict[ClientOrderId, set[str]] = defaultdict(set)
    for dump in facts.evidence.dumps:
        counts = Counter(order.client_order_id for order in dump.orders)
        for order in dump.orders:
            made[order.client_order_id].add(f"{dump.account}/{order.broker_order_id}")
        for arrival in dump.arrivals:
            if arrival.broker_order_id:
                made[arrival.client_order_id].add(f"{dump.account}/{arrival.broker_order_id}")
        for client_order_id, count in counts.items():
            if count > len(made[client_order_id]):
                made[client_order_id].add(f"{dump.account}: {count} orders of one id")
    for client_order_id, names in made.items():
        if len(names) > 1 and client_order_id.startswith(CLIENT_ORDER_ID_PREFIX):
            yield Violation(
                "INV1", client_order_id, f"{len(names)} orders at the broker: {', '.join(sorted(names))}"
            )


def nothing_lacking(_evidence: Evidence) -> str:
    """Return no reason: the journal alone suffices."""
    return ""


def _lacks_dumps(evidence: Evidence) -> str:
    return "" if evidence.dumps else "no broker told what it has"


def _broker_orders(evidence: Evidence) -> str:
    return f"{sum(len(dump.orders) for dump in evidence.dumps)} broker orders"


INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "INV1",
        "A broker has at most one order per intent and generation.",
        one_order_an_id,
        _lacks_dumps,
        _broker_orders,
    ),
)
"""All that is checked, in order."""
