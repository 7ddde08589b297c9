"""The desk that every suite stands on: a journal, an audit log, a broker's ledger and a lock in one folder.

A scenario says what the process under test does (`act`), in eight ways; whatever ends that process,
`recover` is what the next one does, and `check` says what of the promise does not hold then. The files are
the product's own; the broker is the embedded one, behind a line that can lose and repeat. How a process is
ended is the suites' business: kills.py, system_calls.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from resources import audit_log
from resources.evidence import gather
from resources.journal.lock import executor_lock
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.paper_broker.broker import PaperBroker
from trading.actions import CorporateAction
from trading.brokers import (
    Broker,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    Holdings,
)
from trading.decisions import Outcome
from trading.errors import OutcomeUnknown
from trading.executions import Desk as ExecutorDesk
from trading.executions import ExecutorLock, ask_cancel, execute_session, settle_orders
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.intents import Intent
from trading.invariants import Evidence, violations
from trading.journal import CancelKind, FundsView, JournalIntent
from trading.orders import BrokerOrder, OrderRequest
from trading.positions import Book, opened_book, with_fills
from trading.quotes import Quote
from trading.reconciliation import Expected, Outcomes
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.testing import example_decision, example_intent
from trading.values import ClientOrderId, Side, Symbol

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
BEFORE, SESSION = date(2013, 2, 27), date(2013, 2, 28)
CALENDAR = Calendar(
    name="XNYS",
    timezone="America/New_York",
    open_time=time(9, 30),
    close_time=time(16, 0),
    sessions=(BEFORE, SESSION, date(2013, 3, 1)),
)
OPEN, CLOSE = CALENDAR.opens_at(SESSION), CALENDAR.closes_at(SESSION)
DECIDED_AT = OPEN - timedelta(hours=2)
A_DAY, A_SECOND = timedelta(days=1), timedelta(seconds=1)
EARLY = OPEN - timedelta(hours=1)
"""Before the open, when an order rests and can be cancelled or replaced."""
IN_TIME = OPEN + timedelta(seconds=10)
"""After the open, when an order fills as soon as it is sent."""
SEND_WITHIN = timedelta(minutes=5)
"""How long after the open an order may be sent."""
LATER = timedelta(seconds=30)
"""How long after the process under test the next one begins."""

PRICE = 100_000_000
DEPOSIT_MICROS = 10**12
HELD = (example_intent("IBM", quantity=5, session=BEFORE),)
"""What is bought the day before, so that there is something to sell."""
INTENTS = (example_intent("AAPL", quantity=10), example_intent("IBM", side=Side.SELL, quantity=5))
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
MODEL = FillModel(slippage_bps=5, commission_bps=1, participation_bps=500)
MUCH, LITTLE = 1_000_000, 120
"""Shares traded in the session: every order fills whole, or six shares of it do."""

ROUNDS = 4
"""How often a recovery may run before it has to have come to rest."""

End = tuple[str, int]
"""How an intent ends: its state, and the shares filled."""

WHOLE: dict[Symbol, frozenset[End]] = {
    Symbol("AAPL"): frozenset({("executed", 10)}),
    Symbol("IBM"): frozenset({("executed", 5)}),
}


class Fault(StrEnum):
    """Say what the line to the broker does to the first send of the process under test."""

    NONE = "none"
    RESET = "reset"
    """The order arrives, its answer does not."""
    LOST = "lost"
    """Neither arrives."""
    REPEATED = "repeated"
    """The order arrives twice, and the second answer is the one that is heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Hold one way in which an executor is used.

    `steps` are what the process under test does, in order. Whoever comes after it comes at `recovers_at`.
    `ends` are the ways in which an intent may end, wherever the process was ended: with nothing lost and
    nothing parked, since this broker remembers every client order id for good.
    """

    name: str
    steps: tuple[Callable[[Desk, Scenario], None], ...]
    ends: Mapping[Symbol, frozenset[End]]
    acts_at: datetime = IN_TIME
    recovers_at: datetime = IN_TIME + LATER
    outcome: Outcome = Outcome.APPROVED
    volume: int = MUCH
    fault: Fault = Fault.NONE


@dataclass(frozen=True, slots=True)
class Desk:
    """Name the files of one desk, below `folder`."""

    folder: Path

    @property
    def journal(self) -> Path:
        """Return the journal's database."""
        return self.folder / "journal.db"

    @property
    def journal_url(self) -> str:
        """Return where the journal is, as the store wants it."""
        return f"sqlite:///{self.journal}"

    @property
    def audit(self) -> Path:
        """Return the audit log."""
        return self.folder / "audit.jsonl"

    @property
    def ledger(self) -> Path:
        """Return the broker's own file."""
        return self.folder / "paper_broker.db"

    def broker(self, *, volume: int) -> Telling:
        """Return the way to the broker, in a market of that volume."""
        return self.paper_broker(volume=volume)

    def paper_broker(self, *, volume: int) -> PaperBroker:
        """Return the broker itself, on its ledger."""
        return PaperBroker(
            self.ledger,
            account=ACCOUNT,
            deposit_micros=DEPOSIT_MICROS,
            market=Market(volume),
            fill_model=MODEL,
            calendar=CALENDAR,
        )

    def copy_to(self, folder: Path) -> Desk:
        """Return the same desk in another folder, which must not be there yet."""
        return Desk(Path(shutil.copytree(self.folder, folder)))

    def remove(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.folder)


class Market:
    """Trade every symbol at one price, in the session at one volume, and before it in plenty."""

    def __init__(self, volume: int) -> None:
        self._volume = volume

    def actions(self) -> Iterable[CorporateAction]:
        """Return no splits and no dividends."""
        return ()

    def bar(self, symbol: Symbol, session: date) -> Quote | None:
        """Return the bar, the same for all."""
        return Quote(
            symbol=symbol,
            session=session,
            open_micros=PRICE,
            high_micros=PRICE,
            low_micros=PRICE,
            close_micros=PRICE,
            volume=self._volume if session == SESSION else MUCH,
            source="proof",
            source_sha="0",
            known_at=CLOSE,
        )


class Telling(Broker, Protocol):
    """Be a broker that also tells all it knows, for the proof."""

    def dump(self) -> BrokerDump:
        """Return everything the broker knows of the account."""
        ...


class Line:
    """Reach a broker over a line that does `fault` to the first send."""

    def __init__(self, broker: Telling, *, fault: Fault = Fault.NONE) -> None:
        self._broker = broker
        self._fault = fault

    @property
    def capabilities(self) -> Capabilities:
        """Return what is proven of the broker."""
        return self._broker.capabilities

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Pass a send on, as the fault says."""
        fault, self._fault = self._fault, Fault.NONE
        if fault is Fault.LOST:
            raise OutcomeUnknown("the line was lost before the order arrived")
        answer = self._broker.submit(request, now=now)
        if fault is Fault.RESET:
            raise OutcomeUnknown("the line was reset after the order had arrived")
        return self._broker.submit(request, now=now) if fault is Fault.REPEATED else answer

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Pass the question on."""
        return self._broker.order_by_client_order_id(client_order_id, now=now)

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Pass the question on."""
        return self._broker.fills(client_order_id, now=now)

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Pass the cancel on."""
        self._broker.cancel(client_order_id, now=now)

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Pass the question on."""
        return self._broker.orders(since=since, now=now)

    def holdings(self, *, now: datetime) -> Holdings:
        """Pass the question on."""
        return self._broker.holdings(now=now)

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Pass a replacement on."""
        return self._broker.replace(client_order_id, request, now=now)

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Pass the question on."""
        return self._broker.positions(now=now)

    def account(self, *, now: datetime) -> BrokerAccount:
        """Pass the question on."""
        return self._broker.account(now=now)

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Pass the question on."""
        return self._broker.activities(since=since, now=now)

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Pass the question on."""
        return self._broker.quote(symbol, now=now)

    def clock(self, *, now: datetime) -> BrokerClock:
        """Pass the question on."""
        return self._broker.clock(now=now)

    def dump(self) -> BrokerDump:
        """Pass the question on."""
        return self._broker.dump()


# -------------------------------------------------------------------------------- one desk's life


def decide(desk: Desk, scenario: Scenario) -> None:
    """Make the desk: a session decided, nothing of it sent, and every file as a closed process leaves it."""
    desk.folder.mkdir(parents=True, exist_ok=True)
    _register(desk, HELD, outcome=Outcome.APPROVED, previous=None, opened=deposited())
    run(desk, scenario, session=BEFORE, at=IN_TIME - A_DAY)
    settle(desk, scenario, session=BEFORE, at=CLOSE - A_DAY)
    with at_journal(desk) as journal:
        of = _of(BEFORE)
        closing = with_fills(deposited(), journal.fills(**of))
        journal.settle(**of, closing=closing, carried_by="", now=CLOSE - A_DAY)
    _register(desk, INTENTS, outcome=scenario.outcome, previous=BEFORE, opened=closing)


def _of(session: date) -> dict[str, Any]:
    return {"book": BOOK, "lane": LANE, "session": session}


def _register(
    desk: Desk, intents: tuple[Intent, ...], *, outcome: Outcome, previous: date | None, opened: Book
) -> None:
    session = intents[0].session
    of = _of(session)
    now = DECIDED_AT if session == SESSION else DECIDED_AT - A_DAY
    decisions = [
        example_decision(
            intent,
            not_after=CALENDAR.closes_at(session),
            outcome=outcome,
            account=ACCOUNT,
            lane=LANE,
        )
        for intent in intents
    ]
    with at_journal(desk) as journal:
        journal.opening_book(**of, previous=previous, opened=opened, now=now)
        journal.register(**of, decisions=decisions, verdicts=[], decisions_sha="decided", now=now)


def act(desk: Desk, scenario: Scenario) -> None:
    """Do what the process under test does."""
    for step in scenario.steps:
        step(desk, scenario)


def recover(desk: Desk, scenario: Scenario) -> list[str]:
    """Do what the next process does: execute what is left, settle; return what does not come to rest."""
    broker = broker_of(desk, scenario)
    with at_journal(desk) as journal:
        before = journal.executor_term(account=ACCOUNT, lane=LANE)
        # Whoever came before may have been ended while settling: time does not go back for the next one.
        at = scenario.recovers_at if before is None else max(scenario.recovers_at, before.began_at)
        executed = _executed(desk, journal, broker, at=at)
        settled = _settled(desk, journal, broker, at=CLOSE)
        for _ in range(ROUNDS):
            if not (executed.halted or settled.halted or settled.still_open):
                return []
            settled = _settled(desk, journal, broker, at=CLOSE + LATER)
    return [f"recovery does not come to rest: {settled.halted or settled.still_open}"]


def check(desk: Desk, scenario: Scenario) -> list[str]:
    """Return what of the promise does not hold once everyone has recovered, in sentences."""
    broker = broker_of(desk, scenario)
    evidence = _evidence(desk, broker, is_healed=True, as_of=CLOSE + LATER)
    rows = [row for row in evidence.intents if row.intent.session == SESSION]
    found = [str(violation) for violation in violations(evidence)]
    found += [
        f"{row.intent.symbol} ended as {row.state} {row.stage} with {row.filled_quantity} filled"
        for row in rows
        if (row.state.value, row.filled_quantity) not in scenario.ends[row.intent.symbol]
    ]
    found += [f"incident {incident.kind}: {incident.detail}" for incident in evidence.incidents]
    closing = with_fills(deposited(), evidence.fills)
    has = broker.holdings(now=CLOSE + LATER)
    held = {position.symbol: position.quantity for position in closing.positions}
    if (held, closing.cash_micros) != (dict(has.quantities), has.cash_micros):
        found.append(f"the book has {held} and {closing.cash_micros}, the broker {has}")
    if len(rows) != len(INTENTS):
        found.append(f"{len(rows)} intents, {len(INTENTS)} were decided")
    return found


def check_at_death(desk: Desk, scenario: Scenario) -> list[str]:
    """Return what must hold at every instant and does not, before anyone recovers.

    A recovery would hide some of it: it writes the row of an order that was sent without one.
    """
    evidence = _evidence(desk, broker_of(desk, scenario), is_healed=False, as_of=scenario.acts_at)
    return [str(violation) for violation in violations(evidence)]


def _evidence(desk: Desk, broker: Line, *, is_healed: bool, as_of: datetime) -> Evidence:
    return gather(
        JournalReader(desk.journal_url),
        audit_path=desk.audit,
        dumps=[broker.dump()],
        is_healed=is_healed,
        as_of=as_of,
        checkpoint_faults=tuple(_faults_of_the_log(desk, is_healed=is_healed)),
    )


def _faults_of_the_log(desk: Desk, *, is_healed: bool) -> Iterator[str]:
    """Give what the signed checkpoints find wrong: once somebody has recovered, what a crash leaves too."""
    bad = audit_log.check(desk.audit)
    if bad is not None and (is_healed or not bad.heals):
        yield f"{bad.part} line {bad.line}: {bad.reason}"


# -------------------------------------------------------------------------------- what is done at a desk


def broker_of(desk: Desk, scenario: Scenario, *, fault: Fault = Fault.NONE) -> Line:
    """Return the desk's broker, over a line with a fault."""
    return Line(desk.broker(volume=scenario.volume), fault=fault)


def lock_of(desk: Desk) -> ExecutorLock:
    """Return the lock of the desk's account."""
    return executor_lock(desk.journal_url, desk.folder, account=ACCOUNT)


@contextmanager
def at_journal(desk: Desk) -> Iterator[SqlJournal]:
    """Give the desk's journal; what it tells is in the audit log afterwards."""
    with SqlJournal(desk.journal_url) as journal:
        yield journal
        audit_log.project(journal, desk.audit)


def run(
    desk: Desk,
    scenario: Scenario,
    *,
    at: datetime,
    session: date = SESSION,
    fault: Fault = Fault.NONE,
) -> Outcomes:
    """Execute a session at an instant."""
    with at_journal(desk) as journal:
        broker = broker_of(desk, scenario, fault=fault)
        return _executed(desk, journal, broker, at=at, session=session)


def _executed(
    desk: Desk, journal: SqlJournal, broker: Line, *, at: datetime, session: date = SESSION
) -> Outcomes:
    return execute_session(
        executor_of(desk, journal, broker, at=at),
        book=BOOK,
        session=session,
        since=BEFORE,
        book_at_open=_book_at_open(journal, session),
        review=passes,
        send_by=CALENDAR.opens_at(session) + SEND_WITHIN,
    )


def settle(desk: Desk, scenario: Scenario, *, at: datetime, session: date = SESSION) -> Outcomes:
    """Settle a session's orders at an instant."""
    with at_journal(desk) as journal:
        return _settled(desk, journal, broker_of(desk, scenario), at=at, session=session)


def _settled(
    desk: Desk, journal: SqlJournal, broker: Line, *, at: datetime, session: date = SESSION
) -> Outcomes:
    return settle_orders(
        executor_of(desk, journal, broker, at=at),
        book=BOOK,
        session=session,
        since=BEFORE,
        expected=Expected(book=BOOK, session=session, at_open=_book_at_open(journal, session)),
        actor="proof",
    )


def executor_of(desk: Desk, journal: SqlJournal, broker: Line, *, at: datetime) -> ExecutorDesk:
    """Return what an executor of the desk works with at an instant."""
    return ExecutorDesk(
        journal=journal,
        broker=broker,
        lock=lock_of(desk),
        audit=audit_log.AuditFile(journal, desk.audit),
        clock=lambda: at,
        account=ACCOUNT,
        lane=LANE,
        holder="proof",
    )


def _book_at_open(journal: SqlJournal, session: date) -> Book:
    return journal.opening_book(
        book=BOOK,
        lane=LANE,
        session=session,
        previous=None if session == BEFORE else BEFORE,
        opened=deposited(),
        now=DECIDED_AT,
    )


def deposited() -> Book:
    """Return the book as it was opened: the deposit and no shares."""
    return opened_book(currency="USD", deposit_micros=DEPOSIT_MICROS)


def passes(_row: JournalIntent, _funds: FundsView) -> tuple[Why, ...]:
    """Let every intent pass: what is proven here is that it is sent once, not whether it should be."""
    return PASSED


# -------------------------------------------------------------------------------- the scenarios


def _approve(desk: Desk, scenario: Scenario) -> None:
    with at_journal(desk) as journal:
        for row in journal.intents(book=BOOK, lane=LANE, session=SESSION):
            journal.approve(
                row.intent_id,
                version=row.version,
                payload_hash=row.payload_hash,
                nonce=f"nonce of {row.intent.symbol}",
                actor="ann",
                reason="looks right",
                now=scenario.acts_at,
            )


def _execute(desk: Desk, scenario: Scenario) -> None:
    run(desk, scenario, at=scenario.acts_at, fault=scenario.fault)


def _execute_again(desk: Desk, scenario: Scenario) -> None:
    run(desk, scenario, at=scenario.acts_at + 2 * A_SECOND)


def _ask_cancel(desk: Desk, scenario: Scenario) -> None:
    _ask(desk, CancelKind.CANCEL, at=scenario.acts_at + A_SECOND)


def _ask_replace(desk: Desk, scenario: Scenario) -> None:
    _ask(desk, CancelKind.REPLACE, at=scenario.acts_at + A_SECOND)


def _ask(desk: Desk, kind: CancelKind, *, at: datetime) -> None:
    with at_journal(desk) as journal:
        for row in journal.intents(book=BOOK, lane=LANE, session=SESSION):
            if row.intent.symbol == "AAPL":
                ask_cancel(journal, row.intent_id, kind=kind, actor="ann", reason="test", now=at)


def _settle(desk: Desk, scenario: Scenario) -> None:
    settle(desk, scenario, at=CLOSE)


EXPIRED: End = ("expired", 0)
"""How an intent ends of which nothing was sent in time."""


def _or(ends: Mapping[Symbol, frozenset[End]], other: End) -> Mapping[Symbol, frozenset[End]]:
    return {symbol: known | {other} for symbol, known in ends.items()}


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="plain", steps=(_execute,), ends=WHOLE),
    Scenario(
        name="approve",
        steps=(_approve, _execute),
        outcome=Outcome.PENDING_APPROVAL,
        # Whoever comes after a process that was ended before the approval asks no person.
        ends=_or(WHOLE, EXPIRED),
    ),
    Scenario(name="time_out", steps=(_execute, _execute_again), fault=Fault.RESET, ends=WHOLE),
    Scenario(name="duplicate", steps=(_execute,), fault=Fault.REPEATED, ends=WHOLE),
    Scenario(
        name="partial_fill",
        steps=(_execute, _settle),
        volume=LITTLE,
        ends={Symbol("AAPL"): frozenset({("executed", 6)}), Symbol("IBM"): frozenset({("executed", 5)})},
    ),
    Scenario(
        name="cancel",
        steps=(_execute, _ask_cancel, _execute_again),
        acts_at=EARLY,
        recovers_at=EARLY + LATER,
        # Killed before anybody asked, it is not cancelled.
        ends=WHOLE | {Symbol("AAPL"): frozenset({("executed", 10), ("cancelled", 0)})},
    ),
    Scenario(
        name="replace",
        steps=(_execute, _ask_replace, _execute_again),
        acts_at=EARLY,
        recovers_at=EARLY + LATER,
        ends=WHOLE,
    ),
    Scenario(
        name="expiry",
        steps=(_execute, _settle),
        acts_at=OPEN + SEND_WITHIN - timedelta(seconds=20),
        recovers_at=CLOSE,
        fault=Fault.LOST,
        ends=_or(WHOLE, EXPIRED),
    ),
)
