"""The seeded simulation: three executors over one real journal and one broker, on a virtual clock.

The executors run the product's own `execute_session` and `settle_orders` in greenlets. Every call of a port
hands over to the scheduler before and after, so that the seed alone decides who goes on, who dies as by a
kill, who sleeps with the lock in hand or loses it, whose clock jumps, and which message is lost, late or
told twice. Then the world heals, and what the journal and the broker hold is compared.

Kills inside a call, where a transaction is half done, are the other suites' part (kills.py, storage.py).
One seed is one point: `python -m proof simulation --seed 7 --points 1` is that very world again, and
`python -m proof.simulation 7` tells its story.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from random import Random
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self, cast

import sqlalchemy as sa
from greenlet import GreenletExit, getcurrent, greenlet

from proof import forks
from proof.desk import PASSED
from proof.simulated_broker import SimulatedBroker
from proof.suite import Progress, Size, Told
from proof.walks import EVENTS_MAX, Ground, memory_folder, put
from resources.evidence import gather
from resources.journal import preparations, schema, steps
from resources.journal.statements import insert, update
from resources.journal.store import SqlJournal
from trading import reconciliation
from trading.brokers import (
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    DedupScope,
    DuplicateClientOrderId,
    Holdings,
)
from trading.errors import (
    BrokerRejected,
    BrokerUnavailable,
    JournalError,
    OutcomeUnknown,
    Refused,
    TradingError,
)
from trading.executions import Desk, ExecutorBusy, ask_cancel, execute_session, settle_orders
from trading.guards import QUOTE_STALE, Why
from trading.invariants import INV1, INV3, INV4, INV5, Violation, violations
from trading.journal import CancelKind, FundsView, Journal, JournalIntent, RunControlAction
from trading.lifecycle import Event, IntentState, Place, Refusal, Stage, Step, transition
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.positions import Book, Position
from trading.protocol import AfterAbsence, Next, after_absence
from trading.reconciliation import Expected, Outcomes
from trading.testing import REMEMBERS, NoAuditLog, example_decision, example_intent
from trading.values import ClientOrderId, Side, Symbol

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
SESSION = date(2013, 2, 28)
OF: dict[str, Any] = {"book": BOOK, "lane": LANE, "session": SESSION}
BEGIN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
SEND_BY = BEGIN + timedelta(minutes=12)
CLOSE = BEGIN + timedelta(minutes=20)
PRICE = 100_000_000
OPENING = Book(
    currency="USD",
    cash_micros=10**12,
    deposits_micros=10**12 + 8 * PRICE,
    positions=(Position(Symbol("IBM"), 8, 8 * PRICE),),
)
SHAPES = (
    (example_intent("AAPL", quantity=9),),
    (example_intent("AAPL", quantity=9), example_intent("IBM", side=Side.SELL, quantity=8)),
)
"""What was decided, by shape of the day."""

EXECUTORS = 3
RUNS, TRIES = 2, 12
"""How many runs an executor ends in its world, and begins; one that was killed is started again."""

A_LIARS = frozenset({INV1, INV3, INV4, INV5})
"""What two orders under one id break, which a liar makes; everything else holds with one as well."""

SETTLE_TIME_S = 30
"""What every broker here declares: nothing of ours arrives later than that after it was sent."""

WINDOW_S = 240
HEALS_EVERY = timedelta(seconds=360)
STEPS_MAX, HEALINGS_MAX = 5_000, 10
EVENTS_OF_EVERY_RUN = frozenset({"executor_began", "reconciled"})
CHUNK = 50
WORLDS_TO_CATCH = 250
"""How many worlds a planted bug has until it has to be found."""


class Profile(StrEnum):
    """Say for how long the broker remembers a client order id.

    A `liar` claims to remember for good and forgets at once. What still holds with one: no intent is lost,
    nothing is sent twice but after an absence that by its own word is proven, and two orders under one id
    do not stay silent: an incident names them.
    """

    REMEMBERS = "remembers"
    WINDOW = "window"
    OPEN_ONLY = "open_only"
    FORGETS = "forgets"
    LIAR = "liar"


class LockKind(StrEnum):
    """Say what holds executors apart: a file's lock, a session that the server may drop, or nothing."""

    FILE = "file"
    SESSION = "session"
    NONE = "none"


class Fault(StrEnum):
    """Name what a seed may let happen."""

    CRASH = "crash"
    PAUSE = "pause"
    CLOCK_STEP = "clock_step"
    LOST_REQUEST = "lost_request"
    LOST_REPLY = "lost_reply"
    LATE_DELIVERY = "late_delivery"
    REFUSAL = "refusal"
    BROKER_DOWN = "broker_down"
    DUPLICATE_REPORT = "duplicate_report"
    REORDERED_FILLS = "reordered_fills"
    HIDDEN_FILLS = "hidden_fills"
    PARTIAL_FILL = "partial_fill"
    STALE_QUOTE = "stale_quote"
    CANCEL = "cancel"
    REPLACE = "replace"
    HALT = "halt"
    OTHER_QUANTITY = "other_quantity"


RATES = (0.05, 0.2, 0.5)
"""How often a fault strikes where it is on; half of them are off, since all at once explore little."""

RATES_A_MOMENT = (0.003, 0.01, 0.03)
"""How often one strikes that may at any moment, of which a run has about a hundred."""

AT_ANY_MOMENT = frozenset({Fault.CRASH, Fault.PAUSE, Fault.CLOCK_STEP})

SHARE_OF_WORLDS = {Fault.OTHER_QUANTITY: 0.05, Fault.HALT: 0.2, Fault.CANCEL: 0.2, Fault.REPLACE: 0.3}
"""The share of worlds that have a fault, where it is not a half: these change what everything else does."""


RESTS_S = (5, 240)
"""Within how many seconds executors begin, by world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Hold what one seed's world came to.

    `digest` is over all that happened in it; `violations` are sentences, `counts` what happened how often,
    `story` a line for each step.
    """

    seed: int
    digest: str
    violations: tuple[str, ...]
    counts: Counter[str]
    story: tuple[str, ...]


# -------------------------------------------------------------------------------- the world


class _Due(NamedTuple):
    """Hold something that happens by itself, at its time."""

    at: datetime
    number: int
    deed: Callable[[], None]


class _Executor:
    """Be one executor process: its greenlet, its clock's error, and whether it is dead."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.life = 0
        self.runs = 0
        self.tries = 0
        self.skew = timedelta()
        self.wakes_at = BEGIN
        self.thread: greenlet | None = None
        self.is_dead = False

    @property
    def name(self) -> str:
        """Return who writes: a process, in one of its lives."""
        return f"executor-{self.number}.{self.life}"


class World:
    """Be everything around the executors: time, chance, the kernel, the network, the market, a person."""

    def __init__(self, seed: int, journal: SqlJournal, *, retries_sends: bool = False) -> None:
        self.seed = seed
        self.journal = journal
        self.retries_sends = retries_sends
        self.rng, self.rates, self.rest_s = drawn(seed)
        self.profile = profile_of(seed)
        self.lock_kind = lock_of(seed)
        self.now = BEGIN
        self.is_healing = False
        self.broker = broker_of(self.profile)
        self.broker_up_at = BEGIN
        self.lock_holder: _Executor | None = None
        self.hub = getcurrent()
        self.executors = [_Executor(number) for number in range(EXECUTORS)]
        self.graves: list[greenlet] = []
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter([f"profile {self.profile}", f"lock {self.lock_kind}"])
        self.story: list[str] = []
        self.sends: Counter[ClientOrderId] = Counter()
        self._due: list[_Due] = []
        self._numbers = 0
        self.at(CLOSE, self._close_market)
        if Fault.HALT in self.rates:
            halt_at = BEGIN + timedelta(seconds=self.rng.randrange(600))
            resume_at = halt_at + timedelta(seconds=self.rng.randrange(1, 900))
            self.at(halt_at, lambda: self._control(RunControlAction.HALT))
            self.at(resume_at, lambda: self._control(RunControlAction.RESUME))
        for fault, kind in ((Fault.CANCEL, CancelKind.CANCEL), (Fault.REPLACE, CancelKind.REPLACE)):
            if fault in self.rates:
                self._ask_at(BEGIN + timedelta(seconds=self.rng.randrange(700)), kind)

    # ---------------------------------------------------------------------------- time and chance

    def tell(self, line: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{(self.now - BEGIN).total_seconds():9.3f} {line}")

    def strikes(self, fault: Fault) -> bool:
        """Say whether a fault happens here."""
        rate = self.rates.get(fault, 0.0)
        if self.is_healing or not rate or self.rng.random() >= rate:
            return False
        self.counts[fault] += 1
        self.tell(f"! {fault}")
        return True

    def at(self, when: datetime, deed: Callable[[], None]) -> None:
        """Let something happen by itself, later."""
        self._numbers += 1
        heapq.heappush(self._due, _Due(when, self._numbers, deed))

    def pass_time(self, most_s: float) -> None:
        """Let up to so many seconds pass, and happen what is due."""
        self.now += timedelta(milliseconds=self.rng.randrange(1, int(most_s * 1000) + 1))
        self._happen()

    def _happen(self) -> None:
        while self._due and self._due[0].at <= self.now:
            heapq.heappop(self._due).deed()

    # ---------------------------------------------------------------------------- the scheduler

    def live(self) -> None:
        """Let the executors live until each has begun its runs, whatever became of them."""
        for executor in self.executors:
            executor.wakes_at += timedelta(seconds=self.rng.randrange(self.rest_s))
        for _ in range(STEPS_MAX):
            alive = [
                one
                for one in self.executors
                if one.thread is not None or (one.runs < RUNS and one.tries < TRIES)
            ]
            if not alive:
                return
            ready = [one for one in alive if one.wakes_at <= self.now]
            if not ready:
                self.now = min(one.wakes_at for one in alive)
                self._happen()
                continue
            self._step(self.rng.choice(ready))
        self.violations.append("the executors did not come to an end")

    def _step(self, executor: _Executor) -> None:
        if executor.thread is None:
            executor.life += 1
            executor.is_dead = False
            executor.thread = greenlet(lambda: self._process(executor), parent=self.hub)
        executor.thread.switch()
        self.pass_time(0.4)
        if executor.thread.dead:
            executor.thread = None
            executor.wakes_at = self.now + timedelta(seconds=self.rng.randrange(1, self.rest_s))
        elif self.strikes(Fault.CRASH):
            self._kill(executor)
        elif self.strikes(Fault.PAUSE):
            executor.wakes_at = self.now + timedelta(seconds=self.rng.choice((2, 20, 120, 600)))
            if (
                self.lock_kind is LockKind.SESSION
                and self.lock_holder is executor
                and self.rng.random() < 0.5
            ):
                self.tell(f"{executor.name} loses its session lock")
                self.lock_holder = None
        elif self.strikes(Fault.CLOCK_STEP):
            executor.skew = timedelta(seconds=self.rng.choice((-600, -60, -5, 5, 60, 600)))

    def _kill(self, executor: _Executor) -> None:
        """End a process as SIGKILL does: its code never runs again, and the kernel drops its lock."""
        if executor.thread is None:
            return
        self.tell(f"{executor.name} is killed")
        executor.is_dead = True
        self.graves.append(executor.thread)
        executor.thread = None
        executor.skew = timedelta()
        executor.wakes_at = self.now + timedelta(seconds=self.rng.randrange(1, self.rest_s))
        if self.lock_holder is executor:
            self.lock_holder = None

    def moment(self, executor: _Executor, what: str) -> None:
        """Hand over to the scheduler; whoever is dead stays here for good."""
        if executor.thread is None or self.is_healing:
            if executor.is_dead:
                raise GreenletExit
            return
        self.tell(f"{executor.name} {what}")
        self.hub.switch()
        if executor.thread is not getcurrent():
            raise GreenletExit

    def _process(self, executor: _Executor) -> None:
        while executor.runs < RUNS and executor.tries < TRIES:
            executor.tries += 1
            is_settling = self.now >= CLOSE or self.rng.random() < 0.2
            try:
                report = self.settle(executor) if is_settling else self.execute(executor)
                self._tell_of(executor, report)
                executor.runs += 1
            except (JournalError, Refused) as error:
                # The run is over: it could not have the lock, or another one took its work over.
                executor.runs += not isinstance(error, ExecutorBusy)
                self.counts[f"run ended by {type(error).__name__}"] += 1
                self.tell(f"{executor.name} ends: {type(error).__name__}: {error}")
            except Exception as error:  # noqa: BLE001 - a process that dies of its own code is found here
                self.violations.append(f"{executor.name} died of {type(error).__name__}: {error}")
                self.tell(f"{executor.name} died of {type(error).__name__}: {error}")
                return
            executor.wakes_at = self.now + timedelta(seconds=self.rng.randrange(1, self.rest_s))
            self.moment(executor, "rests")

    def _tell_of(self, executor: _Executor, outcomes: Outcomes) -> None:
        done = {
            name: len(value) if isinstance(value, tuple) else 1
            for name in outcomes.__dataclass_fields__
            if (value := getattr(outcomes, name))
        }
        for name, times in done.items():
            self.counts[f"intents {name}" if name not in {"halted", "new_fills"} else name] += times
        for finding in outcomes.findings:
            self.counts[f"found {finding.kind}"] += 1
        told = ", ".join(f"{name} {times}" for name, times in done.items())
        self.tell(f"{executor.name} did {told or 'nothing'}{outcomes.halted and f' ({outcomes.halted})'}")

    # ---------------------------------------------------------------------------- what executors do

    def execute(self, executor: _Executor) -> Outcomes:
        """Run an execution."""
        return execute_session(
            self.desk(executor),
            book=BOOK,
            session=SESSION,
            since=SESSION,
            book_at_open=OPENING,
            review=self._review,
            send_by=SEND_BY,
        )

    def settle(self, executor: _Executor) -> Outcomes:
        """Run a settlement."""
        return settle_orders(
            self.desk(executor),
            book=BOOK,
            session=SESSION,
            since=SESSION,
            expected=Expected(book=BOOK, session=SESSION, at_open=OPENING),
            actor=executor.name,
        )

    def desk(self, executor: _Executor) -> Desk:
        """Return the ports as one executor sees them."""
        return Desk(
            journal=cast("Journal", _Port(self, executor, self.journal)),
            broker=_Line(self, executor),
            lock=_Lock(self, executor),
            audit=NoAuditLog(),
            clock=lambda: self.now + executor.skew,
            account=ACCOUNT,
            lane=LANE,
            holder=executor.name,
        )

    def _review(self, row: JournalIntent, funds: FundsView) -> tuple[Why, ...]:
        del row, funds
        if self.strikes(Fault.STALE_QUOTE):
            return (Why(QUOTE_STALE, 301, 300, 0),)
        return PASSED

    # ---------------------------------------------------------------------------- the broker's side

    def deliver(self, request: OrderRequest) -> BrokerOrder:
        """Let a request reach the broker, which may refuse it; the market sees what it takes."""
        if self.now >= CLOSE:
            raise BrokerRejected("session_over")
        if self.strikes(Fault.REFUSAL):
            raise BrokerRejected("refused: by the seed")
        extra = 1 if self.strikes(Fault.OTHER_QUANTITY) else 0
        order = self.broker.submit(request, now=self.now, extra_quantity=extra)
        self.tell(f"broker takes {request.client_order_id} as {order.broker_order_id}")
        self._trade_later(order)
        return order

    def deliver_late(self, request: OrderRequest) -> None:
        """Let a request reach the broker when nobody listens any more."""
        try:
            self.deliver(request)
        except (BrokerRejected, DuplicateClientOrderId) as error:
            self.tell(f"broker refuses the late {request.client_order_id}: {type(error).__name__}")

    def _control(self, action: RunControlAction) -> None:
        self.counts[Fault.HALT] += action is RunControlAction.HALT
        self.tell(f"ann says {action}")
        self.journal.set_run_control(action, actor="ann", reason="by the seed", now=self.now)

    def _ask_at(self, when: datetime, kind: CancelKind) -> None:
        self.at(when, lambda: self._ask(kind))

    def _ask(self, kind: CancelKind) -> None:
        row = self.rng.choice(self.journal.intents(**OF))
        try:
            ask_cancel(
                self.journal, row.intent_id, kind=kind, actor="ann", reason="by the seed", now=self.now
            )
        except JournalError as error:
            self.tell(f"ann cannot {kind} {row.intent.symbol}: {type(error).__name__}")
        else:
            self.counts[kind.value] += 1
            self.tell(f"ann asks to {kind} {row.intent.symbol}")

    def cancel(self, client_order_id: ClientOrderId) -> None:
        """Let the broker hear of a cancel, which the market may outrun."""
        self.broker.cancel(client_order_id, now=self.now)
        when = self.now + timedelta(seconds=self.rng.randrange(1, 60))
        self.at(when, lambda: self._end(client_order_id, "cancelled_on_request"))

    def _end(self, client_order_id: ClientOrderId, reason: str) -> None:
        for order in self.broker.taken:
            if order.client_order_id == client_order_id and not order.status.is_terminal:
                self.tell(f"broker cancels {order.broker_order_id}")
                self.broker.end(order.broker_order_id, OrderStatus.CANCELLED, reason)

    def _trade_later(self, order: BrokerOrder) -> None:
        when = self.now + timedelta(seconds=self.rng.randrange(1, 600))
        self.at(when, lambda: self._trade(order.broker_order_id))

    def _trade(self, broker_order_id: str) -> None:
        order = self.broker.order(broker_order_id)
        if order.status.is_terminal:
            return
        left = order.quantity - order.filled_quantity
        some = self.rng.randrange(1, left + 1) if self.strikes(Fault.PARTIAL_FILL) else left
        self.tell(f"market fills {some} of {broker_order_id}")
        self.broker.fill(broker_order_id, some, PRICE, now=self.now)
        if some < left:
            self._trade_later(order)

    def _close_market(self) -> None:
        self.tell("market closes")
        for order in self.broker.taken:
            self._end(order.client_order_id, "session_over")

    # ---------------------------------------------------------------------------- healing

    def heal(self) -> None:
        """End all faults, let what is under way arrive, and let one fresh executor run until it is quiet."""
        self.tell("the world heals")
        self.is_healing = True
        for executor in self.executors:
            self._kill(executor)
            executor.is_dead = True
        self.broker_up_at = self.now
        self._bury()
        healer = _Executor(EXECUTORS)
        while self.now < SEND_BY:
            # What is under way arrives meanwhile, as an honest broker's does.
            self._heal_by(self.execute, healer)
        while self._due:
            self._let_pass(self._due[0].at - self.now)
        self._let_pass(CLOSE - self.now)
        before = None
        for _ in range(HEALINGS_MAX):
            self._heal_by(self.settle, healer)
            events = self.journal.events(after=0, limit=EVENTS_MAX)
            after = [event.seq for event in events if event.kind not in EVENTS_OF_EVERY_RUN]
            if after == before:
                return
            before = after
        self.violations.append(f"still not quiet after {HEALINGS_MAX} healings")

    def _heal_by(self, deed: Callable[[_Executor], Outcomes], healer: _Executor) -> None:
        self._tell_of(healer, deed(healer))
        self._let_pass(HEALS_EVERY)

    def _let_pass(self, time: timedelta) -> None:
        self.now += max(time, timedelta())
        self._happen()

    def _bury(self) -> None:
        """Unwind what is left of the dead, whose ports answer no more."""
        for grave in self.graves:
            try:
                grave.throw(GreenletExit)
            except JournalError as error:
                self.violations.append(f"a dead executor raised {error}")
        self.graves.clear()


# -------------------------------------------------------------------------------- ports


class _Port:
    """Be the journal as one executor sees it: a moment before and after each call."""

    def __init__(self, world: World, executor: _Executor, journal: SqlJournal) -> None:
        self._world = world
        self._executor = executor
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        """Return a verb of the journal."""
        found = getattr(self._journal, name)

        def called(*arguments: Any, **options: Any) -> Any:
            self._world.moment(self._executor, f"asks to {name}")
            before = self._epoch_of(arguments, options)
            answer = found(*arguments, **options)
            if before is not None and before != options["epoch"]:
                self._world.violations.append(
                    f"{name}: {self._executor.name} wrote with epoch {options['epoch']} after {before} began"
                )
            self._world.moment(self._executor, f"did {name}")
            return answer

        return called

    def _epoch_of(self, arguments: Sequence[Any], options: dict[str, Any]) -> int | None:
        if "epoch" not in options or not arguments:
            return None
        return self._journal.intent(arguments[0]).epoch


class _Lock:
    """Be the executor's lock in one executor's hands."""

    def __init__(self, world: World, executor: _Executor) -> None:
        self._world = world
        self._executor = executor

    @property
    def proves_death(self) -> bool:
        """Say whether whoever held it before is dead for sure."""
        return self._world.lock_kind is LockKind.FILE

    def is_held(self) -> bool:
        """Say whether it is still held, asked of who keeps it."""
        self._world.moment(self._executor, "asks whether it has the lock")
        return self._world.lock_kind is LockKind.NONE or self._world.lock_holder is self._executor

    def __enter__(self) -> Self:
        """Take the lock at once, or raise `ExecutorBusy`."""
        world = self._world
        world.moment(self._executor, "asks for the lock")
        if world.lock_kind is not LockKind.NONE and world.lock_holder is not None:
            raise ExecutorBusy(f"{world.lock_holder.name} executes for it")
        world.lock_holder = self._executor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back, unless it was lost; the dead have none."""
        if self._world.lock_holder is self._executor and not self._executor.is_dead:
            self._world.lock_holder = None


class _Line:
    """Be the broker at the far end of a network, as one executor sees it."""

    def __init__(self, world: World, executor: _Executor) -> None:
        self._world = world
        self._executor = executor
        self.capabilities: Capabilities = world.broker.capabilities

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order, which may be lost, late, refused, taken, or taken and never told."""
        del now
        if not self._world.retries_sends:
            return self._submit(request)
        try:
            return self._submit(request)
        except OutcomeUnknown:
            return self._submit(request)

    def _submit(self, request: OrderRequest) -> BrokerOrder:
        world = self._world
        world.moment(self._executor, f"sends {request.client_order_id}")
        world.sends[request.client_order_id] += 1
        self._check_up("the connection is refused")
        if world.strikes(Fault.LOST_REQUEST):
            raise self._timed_out("the request was lost")
        if world.strikes(Fault.LATE_DELIVERY):
            late = timedelta(seconds=world.rng.randrange(1, SETTLE_TIME_S))
            world.at(world.now + late, lambda: world.deliver_late(request))
            raise self._timed_out("no answer")
        try:
            order = world.deliver(request)
        finally:
            world.moment(self._executor, f"has sent {request.client_order_id}")
        if world.strikes(Fault.LOST_REPLY):
            raise self._timed_out("the reply was lost")
        return order

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Ask for an order."""
        del now
        found: BrokerOrder | None = self._asked(
            "asks for an order",
            lambda: self._world.broker.order_by_client_order_id(client_order_id, now=self._world.now),
        )
        return found

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Ask for executions, which may come twice, in any order, and not all at once."""
        del now
        world = self._world
        told: list[BrokerFill] = self._asked(
            "asks for fills", lambda: world.broker.fills(client_order_id, now=world.now)
        )
        if told and world.strikes(Fault.DUPLICATE_REPORT):
            told = [*told, world.rng.choice(told)]
        if told and world.strikes(Fault.HIDDEN_FILLS):
            told = told[:-1]
        if told and world.strikes(Fault.REORDERED_FILLS):
            world.rng.shuffle(told)
        return told

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for a cancel."""
        del now
        self._asked("asks to cancel", lambda: self._world.cancel(client_order_id))

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Ask for what is open, and what is of a session."""
        del now
        listed: list[BrokerOrder] = self._asked(
            "asks for orders", lambda: self._world.broker.orders(since=since, now=self._world.now)
        )
        return listed

    def holdings(self, *, now: datetime) -> Holdings:
        """Ask for what the account has."""
        del now
        held: Holdings = self._asked(
            "asks for holdings", lambda: self._world.broker.holdings(now=self._world.now)
        )
        return held

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send an order for the place of another; the executor cancels and sends anew instead."""
        del now
        placed: BrokerOrder = self._asked(
            "replaces an order",
            lambda: self._world.broker.replace(client_order_id, request, now=self._world.now),
        )
        return placed

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Ask for the account's shares."""
        return self.holdings(now=now).quantities

    def account(self, *, now: datetime) -> BrokerAccount:
        """Ask for the account's money."""
        del now
        told: BrokerAccount = self._asked(
            "asks for the account", lambda: self._world.broker.account(now=self._world.now)
        )
        return told

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Ask what changed the account."""
        del now
        listed: list[BrokerActivity] = self._asked(
            "asks for activities", lambda: self._world.broker.activities(since=since, now=self._world.now)
        )
        return listed

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Ask for a symbol's price."""
        del now
        told: BrokerQuote | None = self._asked(
            "asks for a quote", lambda: self._world.broker.quote(symbol, now=self._world.now)
        )
        return told

    def clock(self, *, now: datetime) -> BrokerClock:
        """Ask for the time."""
        del now
        told: BrokerClock = self._asked(
            "asks for the time", lambda: self._world.broker.clock(now=self._world.now)
        )
        return told

    def _asked(self, what: str, question: Callable[[], Any]) -> Any:
        self._world.moment(self._executor, what)
        if self._world.strikes(Fault.BROKER_DOWN):
            self._world.broker_up_at = self._world.now + timedelta(seconds=self._world.rng.randrange(1, 120))
        self._check_up("no answer")
        answer = question()
        self._world.moment(self._executor, f"is told ({what})")
        return answer

    def _check_up(self, why: str) -> None:
        if self._world.now < self._world.broker_up_at:
            raise BrokerUnavailable(why)

    def _timed_out(self, why: str) -> OutcomeUnknown:
        self._world.moment(self._executor, "waits for an answer")
        return OutcomeUnknown(why)


def broker_of(profile: Profile) -> SimulatedBroker:
    """Return the broker of a profile, with the account as the book opens it."""
    claims = {
        Profile.REMEMBERS: DedupScope.ALL_TIME,
        Profile.WINDOW: DedupScope.WINDOW,
        Profile.OPEN_ONLY: DedupScope.OPEN_ONLY,
        Profile.FORGETS: DedupScope.NONE,
        Profile.LIAR: DedupScope.ALL_TIME,
    }[profile]
    return SimulatedBroker(
        account=ACCOUNT,
        capabilities=replace(
            REMEMBERS,
            dedup_scope=claims,
            dedup_window_s=WINDOW_S if profile is Profile.WINDOW else 0,
            settle_time_s=SETTLE_TIME_S,
        ),
        scope=DedupScope.NONE if profile is Profile.LIAR else claims,
        opening=Holdings(
            quantities={position.symbol: position.quantity for position in OPENING.positions},
            cash_micros=OPENING.cash_micros,
        ),
    )


# -------------------------------------------------------------------------------- one seed, many seeds


class Templates(NamedTuple):
    """Hold the folder of a suite's files, and in it a journal for each shape: decided, and not begun."""

    folder: Path
    journals: tuple[Path, ...]

    def ground(self) -> Ground:
        """Return what gives each seed a journal of its own."""
        return Ground(self.folder, self.journals)


@contextmanager
def templates() -> Iterator[Templates]:
    """Make the journals that seeds begin with; they go with the folder."""
    with memory_folder() as folder:
        made = Templates(folder, tuple(folder / f"decided-{number}.db" for number in range(len(SHAPES))))
        for path, intents in zip(made.journals, SHAPES, strict=True):
            decisions = [example_decision(intent, not_after=CLOSE) for intent in intents]
            with SqlJournal(f"sqlite:///{path}") as journal:
                journal.opening_book(**OF, previous=None, opened=OPENING, now=BEGIN)
                journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=BEGIN)
        yield made


def profile_of(seed: int) -> Profile:
    """Return a seed's broker; five seeds in a row have all."""
    return list(Profile)[seed % len(Profile)]


def lock_of(seed: int) -> LockKind:
    """Return a seed's lock."""
    return list(LockKind)[seed // len(Profile) % len(LockKind)]


class Drawn(NamedTuple):
    """Hold what a seed draws before its world begins.

    That is its chance from then on, how often each fault strikes where it is on, and the seconds within
    which its executors begin, and each begins anew.
    """

    rng: Random
    rates: dict[Fault, float]
    rest_s: int


def drawn(seed: int) -> Drawn:
    """Return what a seed draws first."""
    rng = Random(seed)
    rates = {
        fault: rng.choice(RATES_A_MOMENT if fault in AT_ANY_MOMENT else RATES)
        for fault in Fault
        if rng.random() < SHARE_OF_WORLDS.get(fault, 0.5)
    }
    return Drawn(rng, rates, rng.choice(RESTS_S))


def is_crowded(seed: int) -> bool:
    """Say whether executors come close upon each other, with more than one order to meet at."""
    return drawn(seed).rest_s == min(RESTS_S) and len(SHAPES[shape_of(seed)]) > 1


def is_late_for_another(seed: int) -> bool:
    """Say whether executors come close upon each other while sends may arrive late."""
    made = drawn(seed)
    return made.rest_s == min(RESTS_S) and Fault.LATE_DELIVERY in made.rates


def shape_of(seed: int) -> int:
    """Return which of `SHAPES` a seed's day has."""
    return seed // (len(Profile) * len(LockKind)) % len(SHAPES)


def simulate(seed: int, ground: Ground, *, retries_sends: bool = False) -> Ended:
    """Run one seed's world to its end, and compare what everybody then holds."""
    world = World(seed, ground.journal(shape_of(seed)), retries_sends=retries_sends)
    try:
        world.live()
        world.heal()
    except TradingError as error:
        world.violations.append(f"what heals fails: {type(error).__name__}: {error}")
    found = [*world.violations, *_broken(world), *_stuck(world)]
    for row in world.journal.intents(**OF):
        world.counts[f"ended {row.state}{'/' if row.stage else ''}{row.stage}"] += 1
    for line in found:
        world.tell(f"VIOLATION {line}")
    world.tell(world.journal.events(after=0, limit=EVENTS_MAX)[-1].hash)
    return Ended(
        seed=seed,
        digest=hashlib.sha256("\n".join(world.story).encode()).hexdigest(),
        violations=tuple(f"seed {seed} ({world.profile}, {world.lock_kind} lock): {each}" for each in found),
        counts=world.counts,
        story=tuple(world.story),
    )


def _broken(world: World) -> list[str]:
    """Return what of the invariants does not hold; a liar's second order is its own, but never silent."""
    evidence = gather(world.journal, dumps=[world.broker.dump()], is_healed=True, as_of=world.now)
    found = violations(evidence)
    told = []
    if world.profile is Profile.LIAR:
        made = Counter(order.client_order_id for order in world.broker.taken)
        doubled = {
            order.client_order_id: order.intent_id
            for order in evidence.orders
            if made[order.client_order_id] > 1
        }
        world.counts["two orders by a liar"] += len(doubled)
        found = but_of_a_liar(found, {*doubled, *doubled.values()})
        named = {incident.intent_id for incident in evidence.incidents}
        told += [
            f"{intent_id} has two orders, and no incident says so"
            for intent_id in doubled.values()
            if intent_id not in named
        ]
    told += [f"{one.invariant} {one.subject}: {one.detail}" for one in found]
    told += [
        f"{order.client_order_id}: sent {sent} times, written down before {order.attempts} times"
        for order in evidence.orders
        if (sent := world.sends[order.client_order_id]) > order.attempts
    ]
    return told


def but_of_a_liar(found: Iterable[Violation], doubled: Collection[str]) -> tuple[Violation, ...]:
    """Return violations but those that follow from a liar's two orders, of the orders and intents named."""
    return tuple(one for one in found if one.subject not in doubled or one.invariant not in A_LIARS)


def _stuck(world: World) -> list[str]:
    """Return what waits for a person, or is halted, though nothing happened that a person has to judge."""
    rows = world.journal.intents(**OF)
    told = [
        f"{row.intent_id} is still {row.state} {row.stage}"
        for row in rows
        if row.state.is_open and row.stage is not Stage.PARKED
    ]
    if world.profile is Profile.LIAR:
        # What a liar made of one order is for a person to sort out, who has been told.
        named = {incident.intent_id for incident in world.journal.incidents()}
        told = [one for one in told if one.split()[0] not in named]
    if world.lock_kind is not LockKind.FILE:
        # That nobody is about to send any more cannot be proven without a kernel's word.
        rows = [row for row in rows if row.reason != "holder_not_proven_dead"]
    is_honest = world.profile is not Profile.LIAR and not world.counts[Fault.OTHER_QUANTITY]
    if is_honest and not world.counts[Fault.HIDDEN_FILLS]:
        told += [f"{halt.account} {halt.symbol} is halted: {halt.reason}" for halt in world.journal.halts()]
    if is_honest and world.profile is Profile.REMEMBERS:
        told += [f"{row.intent_id} is parked: {row.reason}" for row in rows if row.stage is Stage.PARKED]
    return told


# -------------------------------------------------------------------------------- the suite


def run(size: Size, progress: Progress) -> Told:
    """Simulate `size.points` seeds from `size.seed` on, after the planted bugs; a point is one seed."""
    began = time.monotonic()
    violated: list[str] = []
    counts: Counter[str] = Counter()
    done = 0
    with templates() as made:
        missed = [name for name, plant in PLANTS.items() if caught_at(plant, made, size.seed) is None]
        for some in _spread(range(size.seed, size.seed + size.points), made, size.workers):
            done += len(some)
            for ended in some:
                violated += ended.violations
                counts += ended.counts
            progress(done)
    return Told(
        points=done,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(missed or PLANTS),
        is_planted_bug_caught=not missed,
        violations=tuple(violated),
        parts=dict(sorted(counts.items())),
    )


def _spread(seeds: range, made: Templates, workers: int) -> Iterator[list[Ended]]:
    """Yield the worlds of all seeds in order, some at a time, without their stories."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if workers == 1 or len(chunks) == 1:
        yield from (_some(made, chunk) for chunk in chunks)
        return
    with forks.pool(workers) as pool:
        yield from pool.imap(partial(_some, made), chunks)


def _some(made: Templates, seeds: range) -> list[Ended]:
    ground = made.ground()
    try:
        return [replace(simulate(seed, ground), story=()) for seed in seeds]
    finally:
        ground.close()


# -------------------------------------------------------------------------------- planted bugs


def claimable(place: Place | None, event: Event) -> Place | Refusal:
    """Judge as `transition` does, but let whoever claims have the intent, whatever became of it since."""
    if place is None or event.step is not Step.CLAIMED:
        return transition(place, event)
    approved = place._replace(state=IntentState.APPROVED, stage=Stage.NONE)
    return transition(approved, event._replace(version=place.version))


def terms_unasked() -> AbstractContextManager[None]:
    """Let an executor whose term is over go on: terms would hide that epochs do not catch it."""
    return put(preparations, "term_refusal", lambda *_, **__: "")


def put_another(conn: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert a row, but let an order of an id that has one stand in its place, as without a key."""
    is_there = table in {schema.orders, schema.reservations} and update(
        conn, table, row, client_order_id=row["client_order_id"]
    )
    if not is_there:
        insert(conn, table, row)


def _is_never_over(*_: object, **__: object) -> str:
    return ""


SECOND_CLAIMS: tuple[tuple[ModuleType, str, Any], ...] = (
    (steps, "transition", claimable),
    (preparations, "insert", put_another),
    (preparations, "term_refusal", _is_never_over),
    (reconciliation, "term_refusal", _is_never_over),
)
"""The claim without compare-and-set, and what stands behind it: where, by which name, and what instead.

The key of the orders' table and the executors' terms keep a second claim from becoming a second order. Only
without them it shows at the broker, and there only to one that does not remember the first.
"""


@contextmanager
def claims_without_comparing() -> Iterator[dict[str, Any]]:
    """Let whoever asks have an intent, and send it."""
    with ExitStack() as stack:
        for bug in SECOND_CLAIMS:
            stack.enter_context(put(*bug))
        yield {}


@contextmanager
def sends_again_after_absence() -> Iterator[dict[str, Any]]:
    """Let a recovery send again what was absent often enough, whatever the broker remembers."""

    def hasty(*arguments: Any, **options: Any) -> AfterAbsence:
        follows = after_absence(*arguments, **options)
        return follows if follows.next is Next.ASK_AGAIN else AfterAbsence(Next.SEND_AGAIN, "absent")

    with put(reconciliation, "after_absence", hasty):
        yield {}


@contextmanager
def takes_over_in_the_same_epoch() -> Iterator[dict[str, Any]]:
    """Let whoever was taken over go on writing."""

    def lenient(place: Place | None, event: Event) -> Place | Refusal:
        return transition(place, event if place is None else event._replace(epoch=place.epoch))

    with put(steps, "transition", lenient), terms_unasked():
        yield {}


@contextmanager
def repeats_a_send() -> Iterator[dict[str, Any]]:
    """Let the client library send again by itself what timed out."""
    yield {"retries_sends": True}


class Plant(NamedTuple):
    """Hold a bug to be planted, the profile of the broker with which it shows most, and what says so then.

    `is_looked_for_in` says of which seeds: where a bug takes what few worlds have.
    """

    profile: Profile
    planted: Callable[[], AbstractContextManager[dict[str, Any]]]
    shows: str
    is_looked_for_in: Callable[[int], bool] = lambda _: True


TWO_ORDERS = "more than one order at the broker"
"""How INV1 says it."""

PLANTS = {
    "a claim without compare-and-set, and neither terms nor the orders' key behind it": Plant(
        Profile.FORGETS, claims_without_comparing, TWO_ORDERS, is_crowded
    ),
    "a recovery that sends again to a broker that forgets": Plant(
        Profile.FORGETS, sends_again_after_absence, TWO_ORDERS, is_late_for_another
    ),
    "a takeover that leaves the epoch": Plant(
        Profile.REMEMBERS, takes_over_in_the_same_epoch, "wrote with epoch"
    ),
    "a client library that repeats a send": Plant(
        Profile.FORGETS, repeats_a_send, "sent 2 times, written down before 1 times"
    ),
}
"""What has to be found, by its sentence, before a clean run says anything."""


def caught_at(plant: Plant, made: Templates, seed: int) -> int | None:
    """Return the first seed from `seed` on whose world finds a planted bug, among those without a lock."""
    worlds = (
        tried
        for tried in itertools.count(seed)
        if (profile_of(tried), lock_of(tried)) == (plant.profile, LockKind.NONE)
        and plant.is_looked_for_in(tried)
    )
    ground = made.ground()
    try:
        with plant.planted() as options:
            for tried in itertools.islice(worlds, WORLDS_TO_CATCH):
                try:
                    found = simulate(tried, ground, **options).violations
                except TradingError:
                    # A bug may leave a journal open behind, whose file the next world exchanges.
                    ground.close()
                    ground = made.ground()
                    continue
                if any(plant.shows in each for each in found):
                    return tried
    finally:
        ground.close()
    return None


def main(arguments: Sequence[str]) -> int:
    """Tell the story of one seed; the status is 1 where it holds a violation."""
    with templates() as made:
        ground = made.ground()
        ended = simulate(int(arguments[0]), ground)
        ground.close()
    print(*ended.story, sep="\n")
    print(ended.digest)
    return 1 if ended.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
