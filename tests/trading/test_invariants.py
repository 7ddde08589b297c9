"""Each invariant holds for a healthy life of a journal and its broker, and alone reports what breaks it.

The lives are real: a journal on disk, the executor, a scripted broker. What breaks is then altered in the
evidence, chained anew where only the chain would show it, so that no invariant can be vacuous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.evidence import gather
from resources.journal.store import SqlJournal
from trading.approvals import ChainStage, StageRecord, StageVerdict
from trading.audit import GENESIS, chained, content_of, instant_text, line_of
from trading.brokers import Arrival, BrokerDump, DedupScope, Holdings
from trading.decisions import Outcome
from trading.executions import Desk, execute_session, settle_orders
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.invariants import (
    INVARIANTS,
    Evidence,
    Held,
    LakeRead,
    Replayed,
    Stored,
    Violation,
    violations,
)
from trading.journal import CancelKind, Halt, Incident, JournalEvent, RunControlAction
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, OrderStatus
from trading.positions import Book, Position, with_fills
from trading.rebuild import KEYS, rebuild
from trading.testing import (
    REMEMBERS,
    FakeBroker,
    NoAuditLog,
    OpenLock,
    SendOutcome,
    example_decision,
    example_intent,
)
from trading.values import ClientOrderId, Side, Slot, Symbol, digest

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
THERE = Book(currency="USD", cash_micros=10**9, deposits_micros=10**9)
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
PRICE = 100_000_000
OPENING = Book(
    currency="USD",
    cash_micros=10**12,
    deposits_micros=10**12 + 5 * PRICE,
    positions=(Position(Symbol("IBM"), 5, 5 * PRICE),),
)
OPENED = Holdings(quantities={Symbol("IBM"): 5}, cash_micros=10**12)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
FORGETS = replace(REMEMBERS, dedup_scope=DedupScope.NONE)
SECRET = "hunter2-in-plain-sight"


@dataclass(slots=True, kw_only=True)
class Life:
    """Run one session of a journal and a broker as far as a test wants, and give its evidence."""

    journal: SqlJournal
    broker: FakeBroker

    def decide(self, *asked: tuple[Any, Outcome]) -> None:
        decisions = [example_decision(intent, not_after=CLOSE, outcome=outcome) for intent, outcome in asked]
        self.journal.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        self.journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)

    def execute(self, review=lambda *_: PASSED) -> None:
        execute_session(
            self.desk(NOW),
            book=BOOK,
            session=SESSION,
            since=SESSION,
            book_at_open=OPENING,
            review=review,
            send_by=CLOSE,
        )

    def settle(self) -> None:
        settle_orders(
            self.desk(CLOSE), book=BOOK, session=SESSION, since=SESSION, expected=None, actor="test"
        )

    def desk(self, now: datetime) -> Desk:
        return Desk(
            journal=self.journal,
            broker=self.broker,
            lock=OpenLock(),
            audit=NoAuditLog(),
            clock=lambda: now,
            account=ACCOUNT,
            lane=LANE,
            holder="test",
        )

    def close_the_book(self) -> None:
        closing = with_fills(OPENING, self.journal.fills(**OF))
        self.journal.settle(**OF, closing=closing, carried_by="", now=CLOSE)

    def approve(self, symbol: str) -> None:
        row = next(row for row in self.journal.intents(**OF) if row.intent.symbol == symbol)
        self.journal.approve(
            row.intent_id,
            version=row.version,
            payload_hash=row.payload_hash,
            nonce=f"nonce-{symbol}",
            actor="ann",
            reason="looked at it",
            now=NOW,
        )

    def evidence(self, *, at: datetime = CLOSE, is_healed: bool = True) -> Evidence:
        found = gather(
            self.journal,
            dumps=(self.broker.dump(),),
            is_healed=is_healed,
            as_of=at,
            checkpoint_faults=(),
            replayed=(Replayed(BOOK, SESSION, "d", "d"),),
            planted_secrets=(SECRET,),
        )
        held = Held(ACCOUNT, BOOK, SESSION, THERE, Holdings(cash_micros=THERE.cash_micros), "whole")
        found = replace(found, held=(held,), lake=LakeRead(2, ()))
        return replace(found, audit_lines=tuple(line_of(event) for event in found.events))


@pytest.fixture
def life(tmp_path) -> Iterable[Life]:
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        yield Life(journal=journal, broker=FakeBroker(opened=OPENED))


def lived(path: Path) -> Evidence:
    """Give a whole session: halted and resumed, approved, filled in parts, refused, timed out, adopted."""
    with SqlJournal(f"sqlite:///{path}") as journal:
        # As they execute: IBM is refused, AAPL fills in parts, GOOG is not heard of, MSFT lost, YHOO cut.
        script = [
            SendOutcome.REFUSE,
            SendOutcome.ACCEPT,
            SendOutcome.ACCEPT_THEN_TIME_OUT,
            SendOutcome.TIME_OUT,
        ]
        whole = Life(journal=journal, broker=FakeBroker(opened=OPENED, outcomes=script))
        whole.decide(
            (example_intent("IBM", side=Side.SELL, quantity=5), Outcome.APPROVED),
            (example_intent("AAPL"), Outcome.PENDING_APPROVAL),
            (example_intent("GOOG"), Outcome.APPROVED),
            (example_intent("MSFT"), Outcome.APPROVED),
            (example_intent("ORCL"), Outcome.BLOCKED),
            (example_intent("PEP"), Outcome.PENDING_APPROVAL),
            (example_intent("YHOO"), Outcome.APPROVED),
        )
        whole.approve("AAPL")
        journal.set_run_control(RunControlAction.HALT, actor="ann", reason="stop", now=NOW)
        whole.execute()
        journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="go", now=NOW)
        whole.execute()
        whole.execute()
        broker = whole.broker
        for order in broker.dump().orders:
            broker.fill(order.client_order_id, 4, PRICE - 1, now=NOW)
        whole.execute()
        for order in broker.dump().orders:
            if order.symbol == "YHOO":
                broker.end(order.client_order_id, OrderStatus.CANCELLED, "session_over")
            else:
                broker.fill(order.client_order_id, 6, PRICE + 1, now=NOW)
        whole.settle()
        whole.close_the_book()
        return whole.evidence()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Evidence:
    return lived(tmp_path_factory.mktemp("life") / "journal.db")


# -------------------------------------------------------------------------------- altering evidence


def with_events(evidence: Evidence, events: Iterable[JournalEvent]) -> Evidence:
    """Give evidence with other events, chained anew and copied to the log: a forger who knows the chain."""
    prev_hash, forged = GENESIS, []
    for event in events:
        hashed = chained(prev_hash, content_of(event))
        forged.append(event._replace(prev_hash=prev_hash, hash=hashed))
        prev_hash = hashed
    return replace(evidence, events=tuple(forged), audit_lines=tuple(map(line_of, forged)))


def with_event(evidence: Evidence, kind: str, change: Callable[[JournalEvent], JournalEvent]) -> Evidence:
    """Give evidence with the first event of a kind changed."""
    at = next(at for at, event in enumerate(evidence.events) if event.kind == kind)
    events = list(evidence.events)
    events[at] = change(events[at])
    return with_events(evidence, events)


def with_body(evidence: Evidence, kind: str, **changes: Any) -> Evidence:
    """Give evidence with other values in the body of the first event of a kind."""
    return with_event(evidence, kind, lambda event: event._replace(body={**event.body, **changes}))


def with_resume_last(evidence: Evidence) -> Evidence:
    """Give evidence in which the halt was lifted only after everything was sent."""
    controls = [event for event in evidence.events if event.kind == "run_control"]
    others = [event for event in evidence.events if event is not controls[-1]]
    moved = [*others, controls[-1]]
    return with_events(evidence, [event._replace(seq=at) for at, event in enumerate(moved, start=1)])


def with_reconciled_last(evidence: Evidence) -> Evidence:
    """Give evidence in which the reconciliation of every term but the last was told only at the end."""
    told = [event for event in evidence.events if event.kind == "reconciled"]
    early = [event for event in evidence.events if event not in told[:-1]]
    at = early.index(told[-1])
    moved = [*early[:at], *told[:-1], *early[at:]]
    return with_events(evidence, [event._replace(seq=at) for at, event in enumerate(moved, start=1)])


def with_halt_first(evidence: Evidence, *, symbol: str) -> Evidence:
    """Give evidence in which the account or an instrument was halted at first, and let go at last."""
    first, last = evidence.events[0], evidence.events[-1]
    body = {"account": ACCOUNT, "symbol": symbol}
    bare = {"book": "", "session": "", "intent_id": "", "body": body}
    halted = first._replace(kind="halted", **bare)
    lifted = last._replace(kind="halt_lifted", **bare)
    moved = [halted, *evidence.events, lifted]
    told = with_events(evidence, [event._replace(seq=at) for at, event in enumerate(moved, start=1)])
    return with_rows_told(told)


def with_dump(evidence: Evidence, **changes: Any) -> Evidence:
    (dump,) = evidence.dumps
    return replace(evidence, dumps=(replace(dump, **changes),))


def with_held(evidence: Evidence, **changes: Any) -> Evidence:
    (held,) = evidence.held
    return replace(evidence, held=(held._replace(found=replace(held.found, **changes)),))


def order_at_broker(evidence: Evidence, symbol: str) -> BrokerOrder:
    return next(order for order in evidence.dumps[0].orders if order.symbol == symbol)


def with_broker_order(evidence: Evidence, symbol: str, **changes: Any) -> Evidence:
    orders = evidence.dumps[0].orders
    return with_dump(
        evidence, orders=tuple(replace(o, **changes) if o.symbol == symbol else o for o in orders)
    )


def with_row(evidence: Evidence, symbol: str, **changes: Any) -> Evidence:
    rows = (replace(r, **changes) if r.intent.symbol == symbol else r for r in evidence.intents)
    return replace(evidence, intents=tuple(rows))


def with_cell(evidence: Evidence, table: str, column: str, value: Any, *, at: int = 0) -> Evidence:
    """Give evidence with one value of one stored row changed, as nobody but the database's owner can."""
    columns, rows = evidence.tables[table]
    place = columns.index(column)
    changed = (*rows[at][:place], value, *rows[at][place + 1 :])
    return with_rows(evidence, table, (*rows[:at], changed, *rows[at + 1 :]))


def with_rows(evidence: Evidence, table: str, rows: Iterable[tuple[Any, ...]]) -> Evidence:
    """Give evidence with other stored rows in one table."""
    stored = Stored(evidence.tables[table].columns, tuple(rows))
    return replace(evidence, tables={**evidence.tables, table: stored})


def with_registered(
    evidence: Evidence, symbol: str, *, reason: str | None = None, **changes: Any
) -> Evidence:
    """Give evidence in which an intent was decided with something else, in its event and its row alike."""
    row = next(row for row in evidence.intents if row.intent.symbol == symbol)
    events = [
        event._replace(body={**event.body, **changes}, reason=event.reason if reason is None else reason)
        if event.kind == "registered" and event.intent_id == row.intent_id
        else event
        for event in evidence.events
    ]
    intents = tuple(replace(one, **changes) if one is row else one for one in evidence.intents)
    return with_rows_told(with_events(replace(evidence, intents=intents), events))


def at_of(evidence: Evidence, table: str, **values: Any) -> int:
    """Give the place of the first stored row with these values."""
    columns, rows = evidence.tables[table]
    named = (dict(zip(columns, row, strict=True)) for row in rows)
    return next(at for at, row in enumerate(named) if values.items() <= row.items())


def with_rows_told(evidence: Evidence) -> Evidence:
    """Give evidence with the rows that its events tell: a forger who changed both."""
    tables = {}
    for table, rows in rebuild(evidence.events).items():
        columns = tuple(rows[0]) if rows else ()
        tables[table] = Stored(columns, tuple(tuple(row.values()) for row in rows))
    return replace(evidence, tables=tables)


def with_asked(evidence: Evidence, *, sha: str = "", **changes: Any) -> Evidence:
    """Give evidence in which the first order was prepared, stored and sent with something else in it."""
    event = next(event for event in evidence.events if event.kind == "prepared")
    request = {**event.body["request"], **changes}
    sha = sha or digest(request)
    told = with_rows_told(with_body(evidence, "prepared", request=request, request_sha=sha))
    return with_sent(told, ClientOrderId(request["client_order_id"]), sha)


def with_sent(evidence: Evidence, client_order_id: ClientOrderId, sha: str) -> Evidence:
    """Give evidence in which the order under an id was stored and sent with these bytes."""
    arrivals = (
        arrival._replace(request_sha=sha) if arrival.client_order_id == client_order_id else arrival
        for arrival in evidence.dumps[0].arrivals
    )
    orders = (
        replace(order, request_sha=sha) if order.client_order_id == client_order_id else order
        for order in evidence.orders
    )
    return with_dump(replace(evidence, orders=tuple(orders)), arrivals=tuple(arrivals))


def with_arrival(evidence: Evidence, *arrivals: Arrival) -> Evidence:
    return with_dump(evidence, arrivals=evidence.dumps[0].arrivals + arrivals)


def first_arrival(evidence: Evidence, *, is_refused: bool = False) -> Arrival:
    return next(a for a in evidence.dumps[0].arrivals if (a.broker_order_id == "") is is_refused)


def with_less_cash(evidence: Evidence) -> Evidence:
    """Give evidence of a book that ended a session with so little that it cannot have begun with enough."""
    (record,) = evidence.sessions
    closing = replace(record.closing, cash_micros=0)
    changed = replace(record, closing=closing, closing_sha=closing.sha())
    told = with_body(evidence, "settled", closing=closing.payload(), closing_sha=closing.sha())
    return with_rows_told(replace(told, sessions=(changed,)))


def an_order(client_order_id: str, status: OrderStatus = OrderStatus.WORKING) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="stray",
        client_order_id=ClientOrderId(client_order_id),
        symbol=Symbol("AAPL"),
        side=Side.BUY,
        quantity=1,
        filled_quantity=0,
        status=status,
    )


def appended(events: Sequence[JournalEvent], event: JournalEvent) -> list[JournalEvent]:
    return [*events, event._replace(seq=len(events) + 1)]


def a_late_event(evidence: Evidence) -> Evidence:
    """Give evidence in which a cancel was asked of what had ended."""
    closed = next(event for event in reversed(evidence.events) if event.kind == "closed")
    body = {**closed.body, "to": "executing", "version": closed.body["version"] + 1}
    late = closed._replace(kind="cancel_asked", body=body)
    return with_events(evidence, appended(evidence.events, late))


def with_a_gap(evidence: Evidence) -> Evidence:
    return with_events(evidence, [e._replace(seq=e.seq + 1) if e.seq > 5 else e for e in evidence.events])


def with_fill_at_broker(evidence: Evidence, **changes: Any) -> Evidence:
    first, *rest = evidence.dumps[0].fills
    return with_dump(evidence, fills=(first._replace(**changes), *rest))


def with_approval(evidence: Evidence, **changes: Any) -> Evidence:
    (answer,) = evidence.approvals
    return replace(evidence, approvals=(answer._replace(**changes),))


def without_chaining(evidence: Evidence, at: int, **changes: Any) -> Evidence:
    """Give evidence with one event changed in the journal and in the log, but not chained anew."""
    events = list(evidence.events)
    events[at] = events[at]._replace(**changes)
    lines = tuple(evidence.audit_lines)
    told = line_of(events[at]) if "body" not in changes else lines[at]
    lines = (*lines[:at], told, *lines[at:][1:])
    return replace(evidence, events=tuple(events), audit_lines=lines)


def with_line(evidence: Evidence, at: int, line: str) -> Evidence:
    lines = list(evidence.audit_lines)
    lines[at] = line
    return replace(evidence, audit_lines=tuple(lines))


FAILING = [list(PASSED[0]), [9, 2, 1, 0]]

TAMPERED: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "a second order under an id": (
        "INV1",
        lambda e: with_dump(
            e,
            orders=(*e.dumps[0].orders, replace(order_at_broker(e, "AAPL"), broker_order_id="fake-2")),
        ),
    ),
    "an order listed twice": (
        "INV1",
        lambda e: with_dump(e, orders=(*e.dumps[0].orders, order_at_broker(e, "AAPL"))),
    ),
    "a send that made a second order, which is gone": (
        "INV1",
        lambda e: with_arrival(e, first_arrival(e)._replace(broker_order_id="fake-2")),
    ),
    "an order of ours that the journal never prepared": (
        "INV2",
        lambda e: with_dump(e, orders=(*e.dumps[0].orders, an_order("ta-" + "0" * 32))),
    ),
    "a send that the journal never prepared": (
        "INV2",
        lambda e: with_arrival(e, Arrival(ClientOrderId("ta-" + "0" * 32), "sha", "")),
    ),
    "an order of other bytes than prepared": (
        "INV2",
        lambda e: with_dump(
            e,
            arrivals=tuple(
                a._replace(request_sha="f" * 64)
                if a.client_order_id == first_arrival(e).client_order_id
                else a
                for a in e.dumps[0].arrivals
            ),
        ),
    ),
    "an order still open behind an ended intent": (
        "INV4",
        lambda e: with_broker_order(e, "AAPL", status=OrderStatus.PARTIAL_FILL),
    ),
    "an order that ended otherwise at the broker": (
        "INV4",
        lambda e: with_broker_order(e, "AAPL", status=OrderStatus.CANCELLED),
    ),
    "an acknowledged order that the broker does not have": (
        "INV4",
        lambda e: with_dump(e, orders=tuple(o for o in e.dumps[0].orders if o.symbol != "GOOG")),
    ),
    "an order of another quantity at the broker": (
        "INV4",
        lambda e: with_broker_order(e, "GOOG", quantity=11),
    ),
    "more filled at the broker than booked": (
        "INV5",
        lambda e: with_broker_order(e, "YHOO", filled_quantity=7),
    ),
    "less filled at the broker than booked": (
        "INV5",
        lambda e: with_broker_order(e, "AAPL", filled_quantity=9),
    ),
    "a fill at another price than the broker's": (
        "INV5",
        lambda e: with_fill_at_broker(e, price_micros=PRICE),
    ),
    "fills of an order that the broker never had": (
        "INV5",
        lambda e: replace(
            with_dump(e, orders=tuple(o for o in e.dumps[0].orders if o.symbol != "GOOG")),
            orders=tuple(
                replace(o, broker_order_id="") if o.request.symbol == "GOOG" else o for o in e.orders
            ),
        ),
    ),
    "an order's count that is not the sum of its fills": (
        "INV5",
        lambda e: replace(e, orders=(replace(e.orders[0], filled_quantity=1), *e.orders[1:])),
    ),
    "a gap in the sequence": ("INV6", with_a_gap),
    "an event after an ending": ("INV6", a_late_event),
    "an event of a holder that was taken over": ("INV6", lambda e: with_body(e, "acknowledged", epoch=0)),
    "an event on an old version": ("INV6", lambda e: with_body(e, "acknowledged", version=1)),
    "a row at a version that no event made": ("INV7", lambda e: with_cell(e, "intents", "version", 99)),
    "a row that skipped its ending": (
        "INV7",
        lambda e: with_cell(e, "intents", "state", "expired", at=at_of(e, "intents", symbol="ORCL")),
    ),
    "a row of another payload than registered": (
        "INV7",
        lambda e: with_cell(e, "intents", "payload_hash", "0"),
    ),
    "a row that nobody made": (
        "INV7",
        lambda e: with_rows(
            e, "halts", [*e.tables["halts"].rows, (ACCOUNT, "", 1, "x", "y", instant_text(NOW))]
        ),
    ),
    "a row taken out": ("INV7", lambda e: with_rows(e, "orders", e.tables["orders"].rows[1:])),
    "a table emptied": ("INV7", lambda e: with_rows(e, "run_control", ())),
    "an event that this version does not know": (
        "INV7",
        lambda e: with_event(e, "run_control", lambda event: event._replace(kind="coup")),
    ),
    "a step that no edge allows": ("INV7", lambda e: with_body(e, "acknowledged", to="approved")),
    "an event that does not say what was asked": (
        "INV7",
        lambda e: with_event(e, "closed", lambda event: event._replace(body={})),
    ),
    "run control switched without an event": ("INV7", lambda e: with_cell(e, "run_control", "paused", 1)),
    "decisions of a session changed without an event": (
        "INV7",
        lambda e: with_cell(e, "book_sessions", "decisions_sha", "other"),
    ),
    "a closing book that is not the one settled": (
        "INV7",
        lambda e: replace(
            e,
            sessions=(
                replace(
                    e.sessions[0],
                    closing=replace(e.sessions[0].closing, cash_micros=e.sessions[0].closing.cash_micros + 1),
                ),
            ),
        ),
    ),
    "an event changed after it was written": ("INV8", lambda e: without_chaining(e, 4, actor="mallory")),
    "an end of the chain that is not its content's": (
        "INV8",
        lambda e: without_chaining(e, -1, hash="0" * 64),
    ),
    "a checkpoint that does not verify": (
        "INV8",
        lambda e: replace(e, checkpoint_faults=("event 12: signature is not its key's",)),
    ),
    "a line of the log changed": (
        "INV9",
        lambda e: with_line(e, 3, tuple(e.audit_lines)[3].replace("us_five", "us_fife")),
    ),
    "a line taken out of the log": (
        "INV9",
        lambda e: replace(e, audit_lines=tuple(e.audit_lines)[:3] + tuple(e.audit_lines)[4:]),
    ),
    "a log ahead of the journal": (
        "INV9",
        lambda e: replace(e, audit_lines=(*e.audit_lines, tuple(e.audit_lines)[-1])),
    ),
    "a torn line within the log": ("INV9", lambda e: with_line(e, 3, tuple(e.audit_lines)[3][:20])),
    "prepared though a guard stopped it": ("INV10", lambda e: with_body(e, "prepared", whys=FAILING)),
    "prepared though no guard looked": ("INV10", lambda e: with_body(e, "prepared", whys=[])),
    "prepared though a guard did not look": (
        "INV10",
        lambda e: with_body(e, "prepared", whys=[list(why) for why in PASSED[2:]]),
    ),
    "prepared on another payload than decided": (
        "INV10",
        lambda e: with_body(e, "prepared", payload_hash="0" * 64),
    ),
    "a request of another kind than decided": ("INV10", lambda e: with_asked(e, order_type="limit")),
    "a request at another price than decided": ("INV10", lambda e: with_asked(e, reference_price_micros=1)),
    "a request with more in it than was decided": ("INV10", lambda e: with_asked(e, note="x")),
    "a request under the digest of another one": ("INV10", lambda e: with_asked(e, sha="f" * 64)),
    "decided though a guard stopped it": (
        "INV10",
        lambda e: replace(e, judged={row.intent_id: False for row in e.intents}),
    ),
    "money still reserved for what has ended": (
        "INV10",
        lambda e: replace(e, reservations=(e.reservations[0]._replace(micros_left=1), *e.reservations[1:])),
    ),
    "a promise without its reservation": ("INV10", lambda e: replace(e, reservations=e.reservations[1:])),
    "more bought than there was money": ("INV10", with_less_cash),
    "sent while halted": ("INV11", with_resume_last),
    "sent while paused": (
        "INV11",
        lambda e: with_resume_last(
            with_body(e, "run_control", after={"kill_switch_on": False, "paused": True})
        ),
    ),
    "an approval that nobody gave": ("INV12", lambda e: replace(e, approvals=())),
    "an approval without an actor": ("INV12", lambda e: with_approval(e, actor="")),
    "an approval of another payload": ("INV12", lambda e: with_approval(e, payload_hash="0" * 64)),
    "an approval that was a rejection": ("INV12", lambda e: with_approval(e, answer="rejected")),
    "other bytes at the second attempt": (
        "INV13",
        lambda e: with_arrival(e, first_arrival(e)._replace(request_sha="f" * 64, broker_order_id="")),
    ),
    "other bytes after a refusal": (
        "INV13",
        lambda e: with_arrival(e, first_arrival(e, is_refused=True)._replace(request_sha="f" * 64)),
    ),
    "a replay that decides otherwise": (
        "INV14",
        lambda e: replace(e, replayed=(Replayed(BOOK, SESSION, "d", "other"),)),
    ),
    "one replay of two that decides otherwise": (
        "INV14",
        lambda e: replace(e, replayed=(*e.replayed, Replayed("crypto", SESSION, "c", ""))),
    ),
    "a secret in an event": (
        "INV15",
        lambda e: with_event(e, "run_control", lambda event: event._replace(reason=f"key {SECRET}")),
    ),
    "a secret in an incident": (
        "INV15",
        lambda e: replace(e, incidents=(Incident(1, "parked", ACCOUNT, "", f"key={SECRET}", NOW),)),
    ),
    "a claim before its executor's term was reconciled": (
        "INV11",
        with_reconciled_last,
    ),
    "sent while its account was halted": ("INV11", lambda e: with_halt_first(e, symbol="")),
    "sent while its instrument was halted": ("INV11", lambda e: with_halt_first(e, symbol="GOOG")),
    "a term that came before": ("INV6", lambda e: with_body(e, "executor_began", term=2)),
    "a term that nobody began": ("INV7", lambda e: with_cell(e, "executors", "term", 99)),
    "a live order of another lane": (
        "INV16",
        lambda e: replace(e, live_orders=frozenset({e.orders[0].client_order_id})),
    ),
    "a simulated order at a live broker": ("INV16", lambda e: with_dump(e, is_live=True)),
    "an order over its unadvised twin": (
        "INV17",
        lambda e: with_registered(e, "AAPL", unadvised_quantity=9),
    ),
    "a twin of more than was wished": (
        "INV17",
        lambda e: with_registered(e, "AAPL", unadvised_quantity=11),
    ),
    "a sale that waits for a person by advice": (
        "INV17",
        lambda e: with_registered(e, "IBM", reason="advisor_escalated"),
    ),
    "a share more at the broker": ("INV19", lambda e: with_held(e, quantities={"IBM": 1})),
    "money more at the broker": (
        "INV19",
        lambda e: with_held(e, cash_micros=e.held[0].found.cash_micros + 1),
    ),
    "a table of which a byte was changed": (
        "INV20",
        lambda e: replace(e, lake=LakeRead(2, (("us_five/quotes 2013-02-28", "altered"),))),
    ),
    "two tables that are gone": (
        "INV20",
        lambda e: replace(e, lake=LakeRead(2, (("a", "gone"), ("b", "gone")))),
    ),
}


@pytest.mark.parametrize(("invariant", "tamper"), TAMPERED.values(), ids=TAMPERED)
def test_what_breaks_one_invariant_is_reported_by_it_alone(healthy, invariant, tamper):
    found = violations(tamper(healthy))

    assert found, "nobody saw it"
    assert {violation.invariant for violation in found} == {invariant}
    assert all(violation.subject and violation.detail for violation in found)


def test_a_whole_healthy_life_violates_nothing_and_lacks_nothing(healthy):
    assert violations(healthy) == ()
    assert [invariant.lacks(healthy) for invariant in INVARIANTS] == [""] * 19
    states = Counter(row.state.value for row in healthy.intents)
    assert states == {"executed": 4, "failed": 1, "rejected": 1, "expired": 1}
    kinds = {event.kind for event in healthy.events}
    assert kinds >= {"approved", "refused_by_broker", "outcome_unknown", "found", "prepared_again", "filled"}
    assert {"run_control", "closed", "settled"} <= kinds


def test_what_was_not_there_to_compare_with_is_said(healthy):
    def looked_at(evidence: Evidence, name: str) -> str:
        (invariant,) = (each for each in INVARIANTS if each.name == name)
        assert invariant.lacks(evidence) == ""
        return invariant.looks_at(evidence)

    fills, events = f"{len(healthy.fills)} fills", f"{len(healthy.events)} events"
    elsewhere = replace(healthy.dumps[0], account="OTHER")

    assert (looked_at(healthy, "INV5"), looked_at(healthy, "INV8")) == (fills, events)
    for dumps in ((), (elsewhere,)):
        told = looked_at(replace(healthy, dumps=dumps), "INV5")
        assert told == f"{fills}, {len(healthy.fills)} with no broker's to compare"
    unsigned = looked_at(replace(healthy, checkpoint_faults=None), "INV8")
    assert unsigned == f"{events}, no checkpoint looked at"


def flattened(path: Path) -> Evidence:
    """Give a session that was halted and flattened, and one of whose buys took two to approve."""
    with SqlJournal(f"sqlite:///{path}") as journal:
        life = Life(journal=journal, broker=FakeBroker(opened=OPENED))
        buy = example_decision(example_intent("AAPL"), not_after=CLOSE, outcome=Outcome.PENDING_APPROVAL)
        waiting = StageRecord(
            ChainStage.PERSON, StageVerdict.WAITING, "auto", "above_auto_approval", "", 2, CLOSE, NOW
        )
        journal.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        decisions = [replace(buy, chain=(waiting,))]
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
        for actor in ("ann", "bob"):
            (row,) = journal.intents(**OF)
            journal.approve(
                row.intent_id,
                version=row.version,
                payload_hash=row.payload_hash,
                nonce=f"nonce-{actor}",
                actor=actor,
                reason="looked at it",
                now=NOW,
            )
        said = {"actor": "ann", "reason": "out"}
        journal.set_run_control(RunControlAction.HALT, **said, now=NOW)
        sale = example_intent("IBM", side=Side.SELL, quantity=5, slot=Slot.FLATTEN)
        of = {"book": BOOK, "lane": LANE, "account": ACCOUNT, "session": SESSION}
        journal.preview_flatten(
            command_id="f-1", **of, plan='{"lines":[["IBM",5,0,5,1]]}', actor="bob", now=NOW
        )
        journal.order_flatten(
            command_id="f-1",
            decisions=[example_decision(sale, not_after=CLOSE)],
            verdicts=[],
            **said,
            now=NOW,
        )
        life.execute()
        return life.evidence(at=NOW, is_healed=False)


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> Evidence:
    return flattened(tmp_path_factory.mktemp("flat") / "journal.db")


def test_a_named_flatten_is_what_goes_out_while_halted_and_nothing_else(flat):
    assert violations(flat) == ()
    prepared = [event.body["request"] for event in flat.events if event.kind == "prepared"]
    assert [(request["symbol"], request["side"]) for request in prepared] == [("IBM", "SELL")]


def flipped(evidence: Evidence, **changes: Any) -> Evidence:
    """Give evidence whose sold intent was another one."""
    rows = [
        replace(row, intent=replace(row.intent, **changes)) if row.intent.symbol == "IBM" else row
        for row in evidence.intents
    ]
    return replace(evidence, intents=tuple(rows))


@pytest.mark.parametrize(
    ("invariant", "tamper", "says"),
    [
        ("INV11", lambda e: with_body(e, "flatten_ordered", intents=[]), "that nobody ordered"),
        ("INV11", lambda e: with_body(e, "flatten_previewed", command_id="f-2"), "never previewed"),
        (
            "INV11",
            lambda e: with_body(e, "flatten_previewed", plan='{"lines":[["IBM",4,0,4,1]]}'),
            "of which its preview showed 4",
        ),
        (
            "INV11",
            lambda e: with_event(e, "flatten_ordered", lambda event: event._replace(reason=" ")),
            "for no reason",
        ),
        ("INV11", lambda e: flipped(e, side=Side.BUY), "does not reduce"),
        ("INV11", lambda e: flipped(e, slot=Slot.REBALANCE), "while halted"),
        (
            "INV12",
            lambda e: with_event(e, "endorsed", lambda event: event._replace(actor="Bob ")),
            "approved by 1, but 2 have to",
        ),
    ],
)
def test_a_flatten_without_its_steps_or_an_approval_without_its_second_person_is_seen(
    flat, invariant, tamper, says
):
    found = [violation for violation in violations(tamper(flat)) if violation.invariant == invariant]

    assert says in "; ".join(violation.detail for violation in found)


def test_every_invariant_but_the_third_has_two_ways_to_break_it():
    counts = Counter(invariant for invariant, _ in TAMPERED.values())
    others = [invariant.name for invariant in INVARIANTS if invariant.name != "INV3"]

    assert all(counts[name] >= 2 for name in others), counts


def test_any_value_of_any_row_that_no_event_made_is_named_with_what_the_events_say(healthy):
    other = {int: -1, str: "other", type(None): "something"}
    for table, (columns, rows) in healthy.tables.items():
        for at, row in enumerate(rows[:3]):
            for column, value in zip(columns, row, strict=True):
                changed = with_cell(healthy, table, column, other[type(value)], at=at)
                found = violations(changed)

                assert names(found) == {"INV7"}, (table, column)
                if column not in KEYS[table]:
                    (only,) = found
                    assert f"{table}.{column} is {other[type(value)]!r}, its events say" in only.detail
                else:
                    assert {f"{table}: {said}" for said in GONE_AND_NEW} == {row.detail for row in found}


GONE_AND_NEW = ("its row is gone, but its events are here", "a row without the event that made it")


def test_of_a_long_text_the_part_that_differs_is_shown(healthy):
    at = at_of(healthy, "orders", quantity=10)
    columns, rows = healthy.tables["orders"]
    request = rows[at][columns.index("request")]
    changed = with_cell(
        healthy, "orders", "request", request.replace('"quantity":10', '"quantity":9999'), at=at
    )
    (found,) = violations(changed)

    assert found.subject == rows[at][columns.index("client_order_id")]
    assert '"quantity":9999' in found.detail.partition("its events say")[0]
    assert '"quantity":10' in found.detail.partition("its events say")[2]


def test_a_value_with_a_secret_is_not_shown(healthy):
    (found,) = violations(with_cell(healthy, "run_control", "reason", f"key {SECRET}"))

    assert found.detail == "run_control.reason is a text with a planted secret, its events say 'go'"


@pytest.mark.parametrize("garbage", [None, "x", 1.5, [], {}], ids=repr)
def test_no_event_can_be_changed_into_something_that_stops_the_proof(healthy, garbage):
    for at, event in enumerate(healthy.events):
        for body in (garbage, dict.fromkeys(event.body, garbage)):
            if body != event.body:
                assert "INV8" in names(violations(without_chaining(healthy, at, body=body)))


# -------------------------------------------------------------------------------- what is lost


def names(found: Sequence[Violation]) -> set[str]:
    return {violation.invariant for violation in found}


def test_an_intent_that_waits_is_lost_once_its_time_has_passed(life):
    life.decide(
        (example_intent("AAPL"), Outcome.APPROVED), (example_intent("GOOG"), Outcome.PENDING_APPROVAL)
    )

    assert violations(life.evidence(at=NOW)) == ()
    assert names(violations(life.evidence(at=CLOSE))) == {"INV3"}
    assert violations(life.evidence(at=CLOSE, is_healed=False)) == ()


@pytest.mark.parametrize("step", ["claim", "prepare"])
def test_an_intent_that_a_dead_process_left_is_lost_unless_recovery_ran(life, step):
    class Killed(BaseException):
        """End the run at a step."""

    def killed(*_args, **_options):
        raise Killed

    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    dies_at = "prepare" if step == "claim" else "submit"
    whole = life.journal.prepare if step == "claim" else life.broker.submit
    dying = life.journal if step == "claim" else life.broker
    setattr(dying, dies_at, killed)
    with pytest.raises(Killed):
        life.execute()
    setattr(dying, dies_at, whole)

    assert violations(life.evidence(at=NOW, is_healed=False)) == ()
    assert names(violations(life.evidence(at=NOW))) == {"INV3"}
    life.execute()
    assert violations(life.evidence(at=NOW)) == ()


def test_a_parked_intent_is_lost_where_nobody_was_told(tmp_path):
    broker = FakeBroker(opened=OPENED, outcomes=[SendOutcome.TIME_OUT], capabilities=FORGETS)
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        life = Life(journal=journal, broker=broker)
        life.decide((example_intent("AAPL"), Outcome.APPROVED))
        life.execute()
        life.execute()
        told = life.evidence()

    assert [(row.state, row.stage) for row in told.intents] == [(IntentState.UNKNOWN, Stage.PARKED)]
    assert violations(told) == ()
    assert names(violations(replace(told, incidents=()))) == {"INV3"}


def an_incident(row, detail: str, *, kind: str = "order_mismatch") -> Incident:
    return Incident(99, kind, row.account, row.intent_id, detail, NOW)


def a_halt(symbol: str = "") -> Halt:
    return Halt(account=ACCOUNT, symbol=symbol, actor="executor", reason="look", changed_at=NOW)


def test_an_incident_excuses_its_own_order_alone_and_only_while_its_halt_stands(healthy):
    row = next(row for row in healthy.intents if row.intent.symbol == "GOOG")
    other = next(row for row in healthy.intents if row.intent.symbol == "AAPL")
    (order,) = (order for order in healthy.orders if order.intent_id == row.intent_id)
    broken = with_broker_order(healthy, "GOOG", status=OrderStatus.CANCELLED, filled_quantity=9)
    told = an_incident(row, f"{order.client_order_id}: other")

    def found(incident: Incident, *halts: Halt) -> set[str]:
        both = replace(broken, incidents=(incident,), halts=halts)
        return {violation.invariant for violation in violations(both)} - {"INV7"}

    assert found(told) == {"INV4", "INV5"}
    assert found(told, a_halt("AAPL")) == {"INV4", "INV5"}
    assert found(told, replace(a_halt(), account="OTHER")) == {"INV4", "INV5"}
    assert found(told, a_halt()) == found(told, a_halt("GOOG")) == set()
    assert found(an_incident(row, "nothing of an id"), a_halt()) == set()
    assert found(an_incident(row, "x", kind="fill_refused"), a_halt()) == {"INV4"}
    assert found(an_incident(row, "x", kind="foreign_order"), a_halt()) == {"INV4", "INV5"}
    assert found(an_incident(other, "x"), a_halt()) == {"INV4", "INV5"}


def test_an_incident_about_a_generation_excuses_no_other_one(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    (row,) = life.journal.intents(**OF)
    (first,) = life.broker.dump().orders
    life.journal.ask_cancel(
        row.intent_id, epoch=row.epoch, kind=CancelKind.REPLACE, actor="ann", reason="again", now=NOW
    )
    life.broker.end(first.client_order_id, OrderStatus.CANCELLED)
    life.execute()
    (_, second) = life.broker.dump().orders
    life.broker.fill(second.client_order_id, 10, PRICE, now=NOW)
    life.settle()
    ended = life.evidence()
    lying = with_dump(
        ended, orders=(replace(ended.dumps[0].orders[0], filled_quantity=3), ended.dumps[0].orders[1])
    )

    def found(detail: str) -> set[str]:
        told = replace(lying, incidents=(an_incident(row, detail),), halts=(a_halt(),))
        return {violation.invariant for violation in violations(told)} - {"INV7"}

    assert violations(ended) == ()
    assert found(f"({first.client_order_id})") == set()
    assert found(f"({second.client_order_id})") == {"INV5"}
    # One that names no order is about the last.
    assert found("x") == {"INV5"}


def test_an_intent_is_lost_whatever_else_a_person_was_told_of_it(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    gone = replace(life.evidence(at=NOW), dumps=(BrokerDump(account=ACCOUNT, is_live=False),))
    (row,) = gone.intents

    def found(kind: str, *halts: Halt) -> set[str]:
        told = replace(gone, incidents=(an_incident(row, "x", kind=kind),), halts=halts)
        return {violation.invariant for violation in violations(told)}

    assert found("foreign_order", a_halt()) == {"INV3"}
    assert found("parked", a_halt()) == {"INV3"}
    assert found("order_mismatch") == {"INV3"}
    assert found("order_mismatch", a_halt()) == set()


def test_an_unknown_intent_is_lost_unless_a_halt_holds_it(life):
    life.broker = FakeBroker(opened=OPENED, outcomes=[SendOutcome.TIME_OUT])
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    assert names(violations(life.evidence(at=NOW))) == {"INV3"}
    life.journal.set_run_control(RunControlAction.HALT, actor="ann", reason="stop", now=NOW)

    assert violations(life.evidence(at=NOW)) == ()


def test_a_working_intent_is_lost_once_its_order_has_ended(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    assert violations(life.evidence(at=NOW)) == ()
    (order,) = life.broker.dump().orders
    life.broker.end(order.client_order_id, OrderStatus.CANCELLED)

    assert names(violations(life.evidence(at=NOW))) == {"INV3"}
    assert violations(replace(life.evidence(at=NOW), dumps=())) == ()


def test_a_working_intent_is_lost_where_the_broker_has_no_order_of_it(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    found = life.evidence(at=NOW)

    assert names(violations(replace(found, dumps=(BrokerDump(account=ACCOUNT, is_live=False),)))) == {"INV3"}


def test_an_open_intent_of_a_settled_session_is_lost_at_any_time(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    found = life.evidence(is_healed=False)
    assert violations(found) == ()
    closed = replace(found.sessions[0], settled_at=CLOSE)

    assert names(violations(replace(found, sessions=(closed,)))) == {"INV3"}


# -------------------------------------------------------------------------------- what is no violation


LIVES: dict[str, tuple[list[SendOutcome], Any]] = {
    "nothing goes wrong": ([], REMEMBERS),
    "a send is lost": ([SendOutcome.TIME_OUT], REMEMBERS),
    "an answer is lost": ([SendOutcome.ACCEPT_THEN_TIME_OUT], REMEMBERS),
    "an order is refused": ([SendOutcome.REFUSE], REMEMBERS),
    "every send is lost": ([SendOutcome.TIME_OUT] * 9, REMEMBERS),
    "a send is lost at a broker that forgets": ([SendOutcome.TIME_OUT], FORGETS),
    "an answer is lost at a broker that forgets": ([SendOutcome.ACCEPT_THEN_TIME_OUT], FORGETS),
    "the broker takes another quantity": ([SendOutcome.ACCEPT_OTHER_QUANTITY], REMEMBERS),
}


@pytest.mark.parametrize(("outcomes", "capabilities"), LIVES.values(), ids=LIVES)
def test_no_fault_that_the_executor_heals_violates_anything(tmp_path, outcomes, capabilities):
    broker = FakeBroker(opened=OPENED, outcomes=outcomes, capabilities=capabilities, fills_at_micros=PRICE)
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        life = Life(journal=journal, broker=broker)
        life.decide(
            (example_intent("IBM", side=Side.SELL, quantity=5), Outcome.APPROVED),
            (example_intent("AAPL"), Outcome.APPROVED),
        )
        life.execute()
        running = life.evidence(at=NOW, is_healed=False)
        life.execute()
        life.settle()

        assert violations(running) == ()
        assert violations(life.evidence()) == ()


@pytest.mark.parametrize("kept", [0, 1, 7])
@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_log_that_lags_or_is_torn_at_its_end_is_still_a_prefix(healthy, kept, torn):
    lines = tuple(healthy.audit_lines)
    cut = (*lines[:kept], *([lines[kept][:torn]] if torn else []))

    assert violations(replace(healthy, audit_lines=cut)) == ()


def test_not_even_a_flatten_is_sent_while_paused(flat):
    paused = with_body(flat, "run_control", after={"kill_switch_on": False, "paused": True})

    assert names(violations(with_rows_told(paused))) == {"INV11"}


def test_a_replaced_order_is_one_order_a_generation(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    (row,) = life.journal.intents(**OF)
    (first,) = life.broker.dump().orders
    life.broker.fill(first.client_order_id, 4, PRICE, now=NOW)
    life.execute()
    life.journal.ask_cancel(
        row.intent_id, epoch=row.epoch, kind=CancelKind.REPLACE, actor="ann", reason="again", now=NOW
    )
    life.broker.end(first.client_order_id, OrderStatus.CANCELLED)
    life.execute()
    both = life.evidence(at=NOW)

    assert [(order.generation, order.request.quantity) for order in both.orders] == [(0, 10), (1, 6)]
    assert violations(both) == ()
    assert names(violations(with_broker_order(both, "AAPL", status=OrderStatus.WORKING))) == {"INV1"}
    for quantity, reserved in ((10, 10 * PRICE), (5, 5 * PRICE)):
        assert names(violations(with_second_of(both, quantity, reserved))) == {"INV10"}
    life.broker.fill(both.orders[1].client_order_id, 6, PRICE, now=NOW)
    life.settle()
    life.close_the_book()
    assert violations(life.evidence()) == ()


def with_second_of(evidence: Evidence, quantity: int, reserved_micros: int) -> Evidence:
    """Give evidence in which the next generation was prepared, stored and sent with another quantity."""
    (event,) = (event for event in evidence.events if event.kind == "replaced")
    request = {**event.body["request"], "quantity": quantity}
    body = {"request": request, "request_sha": digest(request), "reserved_micros": reserved_micros}
    told = with_rows_told(with_body(evidence, "replaced", **body))
    second = evidence.orders[1].client_order_id
    left = (
        row._replace(quantity_left=quantity, micros_left=reserved_micros)
        if row.client_order_id == second
        else row
        for row in told.reservations
    )
    return with_sent(replace(told, reservations=tuple(left)), second, digest(request))


def test_an_execution_that_the_broker_took_back_still_adds_up(life):
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute()
    (order,) = life.broker.dump().orders
    fill = life.broker.fill(order.client_order_id, 10, PRICE, now=NOW)
    life.execute()
    (row,) = life.journal.intents(**OF)
    life.journal.record_bust(
        execution_id="bust-1", takes_back=fill.execution_id, intent_id=row.intent_id, now=NOW
    )
    life.close_the_book()
    booked = life.evidence()
    bust = fill._replace(execution_id="bust-1", takes_back=fill.execution_id)
    told = with_dump(
        with_broker_order(booked, "AAPL", filled_quantity=0, status=OrderStatus.CANCELLED), fills=(fill, bust)
    )

    assert violations(told) == ()
    assert names(violations(booked)) == {"INV5"}
    assert names(violations(replace(told, busts=()))) == {"INV4", "INV5"}


def test_orders_of_others_in_the_account_are_none_of_ours(healthy):
    foreign = an_order("their-own-id")
    doubled = with_dump(healthy, orders=(*healthy.dumps[0].orders, foreign, foreign))

    assert violations(doubled) == ()


# -------------------------------------------------------------------------------- what is promised


def seen(name: str, *, observed: int, limit: int) -> tuple[Why, ...]:
    """Give what every guard says, all of them passing, with what one of them saw."""
    return tuple(
        Why(PASS, observed, limit, NO_LIMIT) if guard == name else Why(PASS, 0, 0, NO_LIMIT)
        for guard, _ in GUARDS
    )


def test_two_orders_may_not_be_promised_the_same_money(life):
    most = 6_000 * PRICE
    costs = {"AAPL": 6_000, "GOOG": 6_000}
    life.decide(*((example_intent(symbol, quantity=n), Outcome.APPROVED) for symbol, n in costs.items()))
    life.execute(review=lambda *_: seen("buying_power", observed=most, limit=0))

    assert names(violations(life.evidence(at=NOW))) == {"INV10"}


def test_what_an_open_session_is_paid_in_the_morning_is_taken_on_the_guards_word(life):
    life.decide((example_intent("AAPL", quantity=11_000), Outcome.APPROVED))
    life.execute(review=lambda *_: seen("buying_power", observed=11_000 * PRICE, limit=12_000 * PRICE))

    assert violations(life.evidence(at=NOW)) == ()


def test_two_sales_may_not_sell_the_same_shares(life):
    life.decide(
        (example_intent("IBM", side=Side.SELL, quantity=5), Outcome.APPROVED),
        (example_intent("IBM", side=Side.SELL, quantity=1, slot=Slot.STOP), Outcome.APPROVED),
    )
    life.execute()

    assert names(violations(life.evidence(at=NOW))) == {"INV10"}


def test_a_fill_above_its_promise_is_the_markets_and_no_violation(life):
    all_of_it = 10_000
    life.decide((example_intent("AAPL", quantity=all_of_it), Outcome.APPROVED))
    life.execute()
    (order,) = life.broker.dump().orders
    life.broker.fill(order.client_order_id, all_of_it, PRICE + 1, now=NOW)
    life.settle()
    life.close_the_book()
    found = life.evidence()

    assert found.sessions[0].closing.cash_micros < 0
    assert violations(found) == ()


def counted(micros: int) -> tuple[Why, ...]:
    """Give what all guards say who let a buy pass that needs so much money."""
    return tuple(Why(PASS, micros if name == "buying_power" else 0, 10**12, NO_LIMIT) for name, _ in GUARDS)


def test_what_is_sent_again_is_promised_its_money_anew_and_no_more_than_there_is(life):
    life.broker = FakeBroker(opened=OPENED, outcomes=[SendOutcome.TIME_OUT])
    life.decide((example_intent("AAPL"), Outcome.APPROVED))
    life.execute(review=lambda *_: counted(10 * PRICE + 1))
    life.execute(review=lambda *_: counted(10 * PRICE + 7))
    evidence = life.evidence(is_healed=False)

    assert [row.micros_left for row in evidence.reservations] == [10 * PRICE + 7]
    assert violations(evidence) == ()
    whys = [list(why) for why in counted(2 * 10**12)]
    found = violations(with_body(evidence, "prepared_again", whys=whys))
    assert {each.invariant for each in found} == {"INV10"}
    told = [each.detail for each in found]
    assert any("needs 2000000000000 micro-units, free are 1000000000000" in each for each in told)
    assert any("reserved are 10 shares and 1000000007 micro-units" in each for each in told)
