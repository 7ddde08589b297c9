"""Gathers what the invariants are checked on: all of a journal at one moment, its log, the brokers' dumps.

What must be true of it is trading/invariants.py. Imports no database: the store and the plain reader both
answer the questions asked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Any, Protocol

from resources.journal import records
from resources.paper_broker.statement import read_only
from trading.audit import instant_from_text
from trading.brokers import Arrival, BrokerDump, BrokerFill
from trading.errors import JournalUnavailable
from trading.invariants import NO_ROWS, Approval, Bust, Evidence, Replayed, Reservation, Stored
from trading.journal import JournalEvent, JournalIntent
from trading.orders import BrokerOrder, OrderStatus
from trading.values import ClientOrderId, IntentId, Side, Symbol
from trading.verdicts import Verdict

QUESTION_OF = {
    "approval_stages": "find_all_stages",
    "approvals": "find_all_approvals",
    "book_sessions": "find_all_sessions",
    "breakers": "find_breakers",
    "busts": "find_all_busts",
    "cooldowns": "find_cooldowns",
    "deliveries": "find_all_deliveries",
    "endorsements": "find_all_endorsements",
    "evidence": "find_all_evidence",
    "executors": "find_all_executors",
    "fills": "find_all_fills",
    "flatten_commands": "find_all_flattens",
    "halts": "find_all_halts",
    "incidents": "find_incidents",
    "intents": "find_all_intents",
    "modes": "find_modes",
    "orders": "find_all_orders",
    "outbox": "find_outbox",
    "quote_releases": "find_all_releases",
    "reservations": "find_all_reservations",
    "run_control": "find_all_run_controls",
    "verdicts": "find_all_verdicts",
    "watch_list": "find_all_watched",
}
"""What is asked for each table that events tell of: every row, every column."""

QUESTIONS = (*QUESTION_OF.values(), "find_judged_intents", "find_all_events")

MANY_EVENTS = 50_000
"""From so many events on their bodies are read when asked for: as dictionaries they would take gigabytes."""


_PART_BYTES = 2**20
"""Bytes of a log read at a time, to count its lines."""


class Answering(Protocol):
    """Answer questions about a journal, all as of one moment: `SqlJournal` and `JournalReader` do."""

    def answers(self, questions: Sequence[str]) -> Mapping[str, Sequence[records.Row]]:
        """Return the rows of each question (a file of `sql/` that binds nothing), read in one transaction."""
        ...


class LogLines:
    """Give a log file's lines without their ends, up to where it ended when this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = path.stat().st_size

    def __len__(self) -> int:
        """Count the lines, a torn last one among them."""
        left, count, last = self._bytes, 0, b"\n"
        with self._path.open("rb") as log:
            while left > 0 and (part := log.read(min(left, _PART_BYTES))):
                left -= len(part)
                count += part.count(b"\n")
                last = part[-1:]
        return count + (last != b"\n")

    def __iter__(self) -> Iterator[str]:
        """Read the file anew; a torn last line comes as far as it goes."""
        left = self._bytes
        with self._path.open("rb") as log:
            while left > 0 and (line := log.readline(left)):
                left -= len(line)
                yield line.removesuffix(b"\n").decode(errors="surrogateescape")


def paper_dump(path: Path, *, account: str) -> BrokerDump | None:
    """Return what a paper broker's ledger holds, `None` where there is no ledger; changes nothing.

    Raises `BrokerUnavailable` where it cannot be read.
    """
    if not path.exists():
        return None
    with read_only(path) as ledger:
        orders, fills, arrivals = (ledger.execute(question).fetchall() for question in _LEDGER)
    return BrokerDump(
        account=account,
        is_live=False,
        orders=tuple(_broker_order_of(row) for row in orders),
        fills=tuple(_broker_fill_of(row) for row in fills),
        arrivals=tuple(
            Arrival(ClientOrderId(row["client_order_id"]), row["request_sha"], row["broker_order_id"])
            for row in arrivals
        ),
    )


_LEDGER = (
    """
    select broker_order_id, client_order_id, symbol, side, quantity, filled_quantity, status, reason
    from orders
    order by seq
    """,
    """
    select f.execution_id, o.client_order_id, f.quantity, f.price_micros, f.commission_micros, f.filled_at,
      f.takes_back
    from fills f
    join orders o on o.seq = f.order_seq
    order by f.filled_at, f.seq
    """,
    """
    select client_order_id, request_sha, broker_order_id
    from arrivals
    order by seq
    """,
)
"""What is asked of a ledger: its orders, its executions, and every send that arrived."""


def stored_verdicts(journal: Answering, intents: Iterable[JournalIntent]) -> dict[IntentId, list[Verdict]]:
    """Return the verdicts that a journal holds of intents, each intent's in the order of precedence."""
    of = {row.intent_id: row.intent for row in intents}
    found: dict[IntentId, list[Verdict]] = {}
    for row in journal.answers(("find_all_verdicts",))["find_all_verdicts"]:
        intent_id = IntentId(row["intent_id"])
        if intent_id in of:
            found.setdefault(intent_id, []).append(records.verdict_of(row, intent=of[intent_id]))
    return found


def gather(
    journal: Answering,
    *,
    audit_path: Path | None = None,
    dumps: Iterable[BrokerDump] = (),
    is_healed: bool = False,
    as_of: datetime | None = None,
    checkpoint_faults: tuple[str, ...] | None = None,
    replayed: Iterable[Replayed] = (),
    planted_secrets: Iterable[str] = (),
) -> Evidence:
    """Return all that a journal, its log and brokers hold, ready for `trading.invariants.violations`.

    The log is measured before the journal is read, since it is never ahead of it. `audit_path` is `None`
    where there is no log to look at; a missing file is an empty log. Raises `JournalUnavailable` where the
    journal cannot be read or holds a row that is none.
    """
    lines: Iterable[str] | None = None
    if audit_path is not None:
        lines = LogLines(audit_path) if audit_path.exists() else ()
    found = journal.answers(QUESTIONS)
    try:
        controls = found["find_all_run_controls"]
        return Evidence(
            intents=tuple(records.intent_of(row) for row in found["find_all_intents"]),
            judged={IntentId(row["intent_id"]): bool(row["passed"]) for row in found["find_judged_intents"]},
            orders=tuple(records.order_of(row) for row in found["find_all_orders"]),
            live_orders=frozenset(
                ClientOrderId(row["client_order_id"]) for row in found["find_all_orders"] if row["is_live"]
            ),
            fills=tuple(records.fill_of(row) for row in found["find_all_fills"]),
            busts=tuple(
                Bust(row["execution_id"], row["takes_back"], IntentId(row["intent_id"]))
                for row in found["find_all_busts"]
            ),
            approvals=tuple(_approval_of(row) for row in found["find_all_approvals"]),
            reservations=tuple(_reservation_of(row) for row in found["find_all_reservations"]),
            sessions=tuple(records.session_record_of(row) for row in found["find_all_sessions"]),
            incidents=tuple(records.incident_of(row) for row in found["find_incidents"]),
            run_control=records.run_control_of(controls[0] if controls else None, found["find_modes"]),
            halts=tuple(records.halt_of(row) for row in found["find_all_halts"] if row["is_on"]),
            terms=tuple(records.executor_term_of(row) for row in found["find_all_executors"]),
            events=_events_of(found["find_all_events"]),
            tables={table: _table(found[question]) for table, question in QUESTION_OF.items()},
            audit_lines=lines,
            checkpoint_faults=checkpoint_faults,
            dumps=tuple(dumps),
            is_healed=is_healed,
            as_of=as_of,
            replayed=tuple(replayed),
            planted_secrets=tuple(planted_secrets),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise JournalUnavailable(
            f"journal: holds a row that cannot be read ({error}); keep it, and restore the last copy"
        ) from error


def _table(rows: Sequence[records.Row]) -> Stored:
    """Return a table's rows as they are stored; as tuples, since a journal has thirty verdicts an intent."""
    if not rows:
        return NO_ROWS
    columns = tuple(rows[0].keys())
    return Stored(columns, tuple(tuple(map(row.__getitem__, columns)) for row in rows))


class _Told(Mapping[str, Any]):
    """Read an event's body when asked for it: many events do not fit in memory as dictionaries.

    Text that is no JSON object says nothing; that it was changed shows in the chain.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __getitem__(self, name: str) -> Any:
        return _object_of(self._text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_object_of(self._text))

    def __len__(self) -> int:
        return len(_object_of(self._text))


@lru_cache(maxsize=1)
def _object_of(text: str) -> dict[str, Any]:
    """Return a body's object; kept until another one is asked for, since each is asked for several times."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _events_of(rows: Sequence[records.Row]) -> tuple[JournalEvent, ...]:
    return tuple(map(records.event_of if len(rows) < MANY_EVENTS else _thin_event_of, rows))


def _thin_event_of(row: records.Row) -> JournalEvent:
    """Return the record of one row of `events` that shares its words with others and reads its body late."""
    return JournalEvent(
        seq=row["seq"],
        at=instant_from_text(row["at"]),
        kind=intern(row["kind"]),
        book=intern(row["book"]),
        lane=intern(row["lane"]),
        session=intern(row["session"]),
        intent_id=intern(row["intent_id"]),
        actor=intern(row["actor"]),
        reason=intern(row["reason"]),
        body=_Told(row["body"]),
        prev_hash=row["prev_hash"],
        hash=row["hash"],
    )


def _broker_order_of(row: records.Row) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=row["broker_order_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        filled_quantity=row["filled_quantity"],
        status=OrderStatus(row["status"]),
        reason=row["reason"],
    )


def _broker_fill_of(row: records.Row) -> BrokerFill:
    return BrokerFill(
        execution_id=row["execution_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        quantity=row["quantity"],
        price_micros=row["price_micros"],
        commission_micros=row["commission_micros"],
        filled_at=instant_from_text(row["filled_at"]),
        takes_back=row["takes_back"],
    )


def _approval_of(row: records.Row) -> Approval:
    return Approval(
        nonce=row["nonce"],
        intent_id=IntentId(row["intent_id"]),
        answer=row["answer"],
        actor=row["actor"],
        reason=row["reason"],
        payload_hash=row["payload_hash"],
        version=row["version"],
        at=instant_from_text(row["at"]),
    )


def _reservation_of(row: records.Row) -> Reservation:
    return Reservation(
        client_order_id=ClientOrderId(row["client_order_id"]),
        quantity_left=row["quantity_left"],
        micros_left=row["micros_left"],
    )
