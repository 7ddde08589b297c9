"""Executing what the journal says is approved: the executor, over ports.

The order of things is the promise: reconcile, claim, prepare (guards again, on disk) and only then exactly
one send; an outcome that is not proven is asked for by client order id, never sent again blindly. Which
adapter takes an order is chosen before it is prepared, and stored with it (routing.py). The
executor trusts the journal and nothing else: not who launched it, nor its config. Which edges exist is
lifecycle.py, what has to be true for one protocol.py; who keeps them is resources/journal/; asking and
comparing is reconciliation.py; the port to a broker is brokers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Protocol, Self

from trading.audit import AuditLog
from trading.brokers import SETTLE_TIME_S_MAX, Broker, DedupScope, DuplicateClientOrderId, differences
from trading.errors import (
    BrokerRejected,
    BrokerUnavailable,
    GateClosed,
    IllegalTransition,
    JournalError,
    KeysRefused,
    OutcomeUnknown,
    Refused,
    StaleVersion,
    TradingError,
)
from trading.journal import (
    CancelKind,
    CooldownRules,
    Journal,
    JournalIntent,
    JournalOrder,
    Preparation,
    Review,
)
from trading.lifecycle import NOT_BEGUN, IntentState, Stage
from trading.orders import BrokerOrder, OrderStatus, shares_by_intent
from trading.positions import Book
from trading.protocol import SEND_MARGIN, conclusion_refusal, is_temporary
from trading.reconciliation import (
    Expected,
    Means,
    Outcomes,
    Run,
    bring_on,
    conclude,
    halt_on_mismatch,
    mark_unknown,
    reconcile,
    resume,
)
from trading.routing import UNRECORDED, NoRoute, RouteChoice
from trading.values import IntentId, Slot

BROKER_UNAVAILABLE = "broker_unavailable"
KEYS_REFUSED = "keys_refused"
"""The words with which a run's `halted` begins where its broker gave no answer, or did not take our keys."""

DUPLICATE = "(duplicate)"
"""What stands for a broker's order id where it only answered that it has one under the client order id."""


class ExecutorBusy(Refused):
    """Name who else executes for the account; only one may."""


class ExecutorLock(Protocol):
    """Be held for as long as anything may be sent for an account."""

    @property
    def proves_death(self) -> bool:
        """Say whether a free lock means that its last holder is dead: a fact of the kernel, not of time."""
        ...

    def is_held(self) -> bool:
        """Say whether it is still ours."""
        ...

    def __enter__(self) -> Self:
        """Take it at once, or raise `ExecutorBusy`."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        ...


class Router(Protocol):
    """Say where an order goes, before it is prepared."""

    def route(self, row: JournalIntent, *, now: datetime) -> RouteChoice | NoRoute:
        """Return the adapter chosen for an intent that was never sent, or why none can take it now."""
        ...


class Unrouted:
    """Leave every order to the one broker there is, and say nothing of its name."""

    def route(self, row: JournalIntent, *, now: datetime) -> RouteChoice | NoRoute:  # noqa: ARG002 - of the port
        """Return that no route is recorded."""
        return UNRECORDED


UNROUTED = Unrouted()


class LockLost(Refused):
    """Say that the executor's lock is gone: somebody else may hold it, so nothing more is sent or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Hold what an executor works with for one account: its ports, and who it is.

    `clock` is read before each step, so that time also passes during a run; `holder` names this process in
    the events; `cooldown` says after how many failures nothing more is added,
    `None` where an account never cools down by itself. `router` names each order's adapter; what it names
    is the broker's to follow.
    """

    journal: Journal
    broker: Broker
    lock: ExecutorLock
    audit: AuditLog
    clock: Callable[[], datetime]
    account: str
    lane: str
    holder: str
    cooldown: CooldownRules | None = None
    router: Router = UNROUTED


def execute_session(
    desk: Desk,
    *,
    book: str,
    session: date,
    since: date,
    book_at_open: Book,
    book_until: datetime | None = None,
    review: Review,
    send_by: datetime,
    slots: Collection[Slot] = frozenset(Slot),
) -> Outcomes:
    """Reconcile what earlier runs left, then send each approved intent of a session once, sells first.

    `book_at_open` is the session's book after its corporate actions, and what the account should have until
    `book_until`, when the next session opens; `review` judges each intent again inside T2; nothing goes out
    at or after `send_by`; orders of `since` and later are listed at the broker. Only intents of `slots` are
    sent, sent again or replaced; what is open of the others is asked after all the same.
    Raises `ExecutorBusy` while another process executes for the account.
    """
    sending = _Sending(
        lock=desk.lock,
        router=desk.router,
        book=book,
        session=session,
        book_at_open=book_at_open,
        review=review,
        send_by=send_by,
    )
    run = _run_of(desk)
    means = Means(send_again=sending.again, replace=sending.replacement)
    expected = Expected(book=book, session=session, at_open=book_at_open, until=book_until)
    with desk.lock:
        try:
            if halted := reconcile(run, since=since, expected=expected):
                return run.outcomes(halted=halted)
            resume(run, means, slots=slots)
            # Also where nothing failed here: incidents that others found count as well.
            _cool_down(run, desk.cooldown)
            for row in desk.journal.intents(book=book, lane=desk.lane, session=session):
                if row.account != desk.account or row.intent.slot not in slots:
                    continue
                if row.state is IntentState.APPROVED:
                    _execute(run, sending, row)
                    if run.failed or run.unknown:
                        _cool_down(run, desk.cooldown)
        except BrokerUnavailable as error:
            # Exposure that cannot be seen is not flat: nothing more goes out before a run that can see.
            return run.outcomes(halted=_unanswered(error))
        except LockLost as error:
            return run.outcomes(halted=f"lock_lost: {error}")
        except (StaleVersion, IllegalTransition) as error:
            return run.outcomes(halted=_taken_over(run, error))
    return run.outcomes()


def reconcile_account(desk: Desk, *, since: date, expected: Expected | None) -> Outcomes:
    """Ask the broker for everything that is open and compare what it has; sends nothing, expires nothing.

    Orders whose cancel was asked for are cancelled. Raises `ExecutorBusy` while another process executes.
    """
    run = _run_of(desk)
    with desk.lock:
        return _reconciled(run, since=since, expected=expected)


def settle_orders(
    desk: Desk, *, book: str, session: date, since: date, expected: Expected | None, actor: str
) -> Outcomes:
    """After the close: reconcile, so that each order is terminal with its fills booked and its intent ended.

    Intents that were never sent expire where `not_after` has passed. Sends nothing. What is still open
    afterwards is named in the outcomes: the session cannot be settled yet.
    """
    run = _run_of(desk, is_settling=True)
    with desk.lock:
        outcomes = _reconciled(run, since=since, expected=expected)
        if outcomes.halted:
            return outcomes
        now = run.now
        for row in desk.journal.intents(book=book, lane=desk.lane, session=session):
            if row.account != desk.account or row.state not in {
                IntentState.PENDING_APPROVAL,
                IntentState.APPROVED,
            }:
                continue
            if now < row.not_after:
                run.still_open.append(row.intent_id)
                continue
            try:
                desk.journal.expire(row.intent_id, version=row.version, actor=actor, now=now)
                run.expired.append(row.intent_id)
            except StaleVersion:
                # A person answered it this moment: the next run sees how.
                run.still_open.append(row.intent_id)
    return run.outcomes()


# -------------------------------------------------------------------------------- what a person asks for


def ask_cancel(
    journal: Journal, intent_id: IntentId, *, kind: CancelKind, actor: str, reason: str, now: datetime
) -> JournalIntent:
    """Store that an intent's working order is to be cancelled (17); what was never sent is cancelled at once.

    The executor asks the broker in its next run, or `reconcile_account` does now.
    """
    row = journal.intent(intent_id)
    if row.state in NOT_BEGUN and kind is CancelKind.CANCEL:
        return journal.cancel(intent_id, version=row.version, actor=actor, reason=reason, now=now)
    return journal.ask_cancel(intent_id, epoch=row.epoch, kind=kind, actor=actor, reason=reason, now=now)


def conclude_parked(
    journal: Journal,
    intent_id: IntentId,
    *,
    actor: str,
    reason: str,
    now: datetime,
    is_on_word: bool = False,
) -> JournalIntent:
    """End a parked intent as a named person who has seen that no order of it exists (14).

    Raises `Refused` for one that is not parked, `IllegalTransition` for one that was not found absent often
    and long enough. `is_on_word`: the person knows from the broker itself what its queries do not prove, as
    of an order that was acknowledged and is gone; should it turn up after all, it is found and cancelled.
    """
    row = journal.intent(intent_id)
    if row.stage is not Stage.PARKED:
        raise Refused(f"{intent_id}: is {row.state}, not parked: only a parked intent is ended by hand")
    if not actor.strip() or not reason.strip():
        raise Refused(f"{intent_id}: ended by hand by a named person with a reason, or not at all")
    return journal.conclude_absent(
        intent_id,
        epoch=row.epoch,
        reason=reason,
        is_expired=now >= row.not_after,
        settle_time_s=SETTLE_TIME_S_MAX,
        is_death_proven=False,
        actor=actor,
        is_on_word=is_on_word,
        now=now,
    )


# -------------------------------------------------------------------------------- one run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """Hold what a run that may send needs; a settling run has none, so it cannot send."""

    lock: ExecutorLock
    router: Router
    book: str
    session: date
    book_at_open: Book
    review: Review
    send_by: datetime

    def why_not_now(self, row: JournalIntent, now: datetime) -> str:
        """Return why a run does not begin to send an intent now, empty where it does."""
        if (row.intent.book, row.intent.session) != (self.book, self.session):
            return f"other_session: {row.intent.session} is executed by a run of its own"
        if self.send_by - now < SEND_MARGIN:
            margin = f"under {SEND_MARGIN.seconds} s away"
            return f"send_by_near: {self.send_by:%H:%M:%S} UTC is {margin}; run again"
        return ""

    def again(self, run: Run, row: JournalIntent, order: JournalOrder) -> None:
        """Send again what is proven absent and the broker would refuse a second one of (12)."""
        if why_not := self.why_not_now(row, run.now):
            run.held.append((row.intent_id, why_not))
            return
        try:
            prepared = run.journal.prepare_again(
                row.intent_id,
                epoch=row.epoch,
                term=run.term,
                book_at_open=self.book_at_open,
                review=self.review,
                send_by=self.send_by,
                now=run.now,
            )
        except GateClosed as error:
            run.held.append((row.intent_id, str(error)))
            return
        if prepared.order is not None:
            run.resent.append(row.intent_id)
            _send(run, self, prepared.intent, prepared.order)
        elif is_temporary(prepared.whys):
            run.held.append((row.intent_id, prepared.reason))
        elif _may_conclude(run, order):
            conclude(run, row, reason=prepared.reason, is_expired=False)
        else:
            run.still_open.append(row.intent_id)

    def replacement(self, run: Run, row: JournalIntent, order: JournalOrder, ended: BrokerOrder) -> bool:
        """Send what a cancelled order left as its next generation (18); returns whether it did, or waits."""
        is_cancelled = ended.status is OrderStatus.CANCELLED
        if not is_cancelled or ended.filled_quantity == order.request.quantity or run.now >= row.not_after:
            return False
        if _is_taken_back(run, row):
            # What is left is not known by what was filled: a person decides it anew.
            run.rejected.append((row.intent_id, "execution_taken_back"))
            return False
        if why_not := self.why_not_now(row, run.now):
            run.held.append((row.intent_id, why_not))
            return True
        try:
            prepared: Preparation = run.journal.prepare_replacement(
                row.intent_id,
                epoch=row.epoch,
                term=run.term,
                ended=ended,
                book_at_open=self.book_at_open,
                review=self.review,
                send_by=self.send_by,
                is_live=run.broker.capabilities.is_live,
                now=run.now,
            )
        except GateClosed as error:
            run.held.append((row.intent_id, str(error)))
            return True
        if prepared.order is None:
            if is_temporary(prepared.whys):
                run.held.append((row.intent_id, prepared.reason))
                return True
            run.rejected.append((row.intent_id, prepared.reason))
            return False
        run.replaced.append(row.intent_id)
        _send(run, self, prepared.intent, prepared.order)
        return True


def _is_taken_back(run: Run, row: JournalIntent) -> bool:
    """Say whether an execution of one of an intent's orders was taken back."""
    fills = run.journal.fills(book=row.intent.book, lane=row.lane, session=row.intent.session)
    return row.filled_quantity != shares_by_intent(fills)[row.intent_id]


def _may_conclude(run: Run, order: JournalOrder) -> bool:
    """Say whether the executor may end an absent order's intent itself (14).

    Where the broker does not remember for good a person does: until then it stays unknown, or is parked.
    """
    capabilities = run.broker.capabilities
    if not run.is_death_proven or capabilities.dedup_scope is not DedupScope.ALL_TIME:
        return False
    return not conclusion_refusal(
        order, last_absent_at=run.now, settle_time_s=capabilities.settle_time_s, is_death_proven=True
    )


def _run_of(desk: Desk, *, is_settling: bool = False) -> Run:
    return Run(
        journal=desk.journal,
        broker=desk.broker,
        audit=desk.audit,
        clock=desk.clock,
        account=desk.account,
        lane=desk.lane,
        holder=desk.holder,
        is_death_proven=desk.lock.proves_death,
        is_settling=is_settling,
    )


def _reconciled(run: Run, *, since: date, expected: Expected | None) -> Outcomes:
    try:
        return run.outcomes(halted=reconcile(run, since=since, expected=expected))
    except BrokerUnavailable as error:
        return run.outcomes(halted=_unanswered(error))
    except (StaleVersion, IllegalTransition) as error:
        return run.outcomes(halted=_taken_over(run, error))


def _unanswered(error: BrokerUnavailable) -> str:
    word = KEYS_REFUSED if isinstance(error, KeysRefused) else BROKER_UNAVAILABLE
    return f"{word}: {error}"


def stopped(told: str, halted: str) -> TradingError:
    """Return the error of a stage whose run stopped before its end, by the word that `halted` begins with."""
    word = halted.partition(":")[0]
    kinds: dict[str, type[TradingError]] = {KEYS_REFUSED: KeysRefused, BROKER_UNAVAILABLE: BrokerUnavailable}
    return kinds.get(word, GateClosed)(f"{told}: {halted}")


def _taken_over(run: Run, error: JournalError) -> str:
    """Return that another executor took over, so that this one stops; raises the error where none did."""
    found = run.journal.executor_term(account=run.account, lane=run.lane)
    if found is None or found.term == run.term:
        raise error
    return f"taken_over: {found.holder} began term {found.term}: {error}"


def _cool_down(run: Run, rules: CooldownRules | None) -> None:
    """Let the account cool down where enough has failed or come about, before the next order is begun."""
    if rules is not None:
        run.journal.cool_down(account=run.account, lane=run.lane, rules=rules, now=run.now)


def _execute(run: Run, sending: _Sending, row: JournalIntent) -> None:
    """Claim, prepare, send once, record."""
    journal, now = run.journal, run.now
    if now >= row.not_after:
        try:
            journal.expire(row.intent_id, version=row.version, actor=run.holder, now=now)
            run.expired.append(row.intent_id)
        except StaleVersion as error:
            run.held.append((row.intent_id, str(error)))
        return
    if why_not := sending.why_not_now(row, now):
        run.held.append((row.intent_id, why_not))
        return
    # Now, while provably nothing of it was sent: from T2 on the order stays with the adapter chosen here.
    route = sending.router.route(row, now=now)
    if isinstance(route, NoRoute):
        run.held.append((row.intent_id, route.reason))
        return
    try:
        claimed = journal.claim(row.intent_id, version=row.version, term=run.term, holder=run.holder, now=now)
    except (GateClosed, StaleVersion) as error:
        run.held.append((row.intent_id, str(error)))
        return
    try:
        prepared = journal.prepare(
            claimed.intent_id,
            epoch=claimed.epoch,
            term=run.term,
            book_at_open=sending.book_at_open,
            review=sending.review,
            send_by=sending.send_by,
            is_live=run.broker.capabilities.is_live,
            route=route,
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
    _send(run, sending, prepared.intent, prepared.order)


def _send(run: Run, sending: _Sending, row: JournalIntent, order: JournalOrder) -> None:
    """Send once what is prepared, and record what came of it.

    What took too long since it was prepared is not sent. It has no edge back, since a later reader of the
    journal cannot tell: as any send that is not proven it is asked for, and prepared again once absent.
    """
    if not sending.lock.is_held():
        raise LockLost(
            f"account {row.account}: the executor's lock is gone; {order.client_order_id} was not sent"
        )
    now = run.now
    if now >= min(order.send_by, row.not_after):
        mark_unknown(run, row, "late_before_send")
        return
    try:
        answer: BrokerOrder | None = run.broker.submit(order.request, now=now)
    except BrokerRejected as error:
        if order.attempts > 1:
            # An earlier attempt was never proven, so a refusal of this one proves nothing about that one.
            mark_unknown(run, row, f"refused_after_unproven: {error}")
            return
        run.journal.refuse(row.intent_id, epoch=row.epoch, reason=str(error), now=run.now)
        run.failed.append((row.intent_id, str(error)))
        return
    except DuplicateClientOrderId as error:
        answer = _found_after_duplicate(run, row, error)
    except (OutcomeUnknown, BrokerUnavailable, OSError) as error:
        mark_unknown(run, row, f"{type(error).__name__}: {error}")
        return
    if answer is None:
        return
    found = differences(order.request, answer)
    if found:
        mark_unknown(run, row, "order_mismatch")
        halt_on_mismatch(run, row, order, found)
        return
    working = run.journal.acknowledge(row.intent_id, epoch=row.epoch, order=answer, now=run.now)
    run.sent.append(row.intent_id)
    bring_on(run, working, Means())


def _found_after_duplicate(run: Run, row: JournalIntent, error: DuplicateClientOrderId) -> BrokerOrder | None:
    """Return the order that the broker has under the id, or mark the intent unknown and return `None`."""
    try:
        found = run.broker.order_by_client_order_id(error.client_order_id, now=run.now)
    except BrokerUnavailable as unavailable:
        mark_unknown(run, row, f"duplicate_then_unavailable: {unavailable}")
        return None
    if found is None:
        unknown = mark_unknown(run, row, "duplicate_but_not_found")
        # It said itself that it has one: that no query finds it proves nothing any more.
        run.journal.record_presence(
            row.intent_id, epoch=unknown.epoch, broker_order_id=DUPLICATE, now=run.now
        )
    return found
