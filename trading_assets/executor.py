"""What the executor works with in a run: its desk of ports, and the book that an account opens the day with.

Also bringing journal and broker together without sending, for the `reconcile` job and for the command line,
and telling people what came of it. The rules are trading/executions.py, trading/reconciliation.py and
trading/positions.py; the stages that stand on this are `executions`, `order_status`, `broker_positions` and
`positions`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import structlog

from trading.actions import ActionHistory, CorporateAction, effective_in
from trading.alerts import (
    FINDINGS,
    STUCK,
    AlertKeeper,
    AlertPolicy,
    AlertRow,
    Deliverer,
    evaluate_watched,
    judged_watched,
    tell,
)
from trading.audit import AuditLog
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.errors import LakeError
from trading.executions import Desk, ExecutorLock, reconcile_account
from trading.findings import is_stuck, remedy_of
from trading.flattening import FlattenPlan, on_sale, plan_of
from trading.journal import Journal
from trading.positions import Book, BookHistory, Mark, book_at_open, with_fills
from trading.protocol import Finding
from trading.quotes import AcceptedQuotes, LiveQuotes
from trading.reconciliation import Expected, Outcomes
from trading.session import earlier_marks, marks_at_open
from trading.values import Symbol
from trading_assets.stage import BookGraph, opening_in_journal

LAST_QUOTES_SESSIONS = 5
"""How many sessions back a price is looked for before the marks of the book's last close."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Hold what bringing one book's journal and broker together works with."""

    journal: Journal
    broker: Broker
    lock: ExecutorLock
    audit: AuditLog
    clock: Clock
    accepted: AcceptedQuotes
    history: BookHistory
    actions: ActionHistory


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """Hold what a reconciliation did; `not_compared` says why holdings were not, empty where they were."""

    session: date
    outcomes: Outcomes
    not_compared: str


def reconcile_book(graph: BookGraph, session: date, ports: Ports, *, holder: str) -> Reconciled:
    """Bring journal and broker of a book together as of a session, sending nothing.

    Raises `ExecutorBusy` while another process executes for the account.
    """
    record = ports.journal.session_record(**graph.where(session))
    phase = Phase.EXECUTE if record is None or record.settled_at is None else Phase.SETTLE
    term = ports.journal.executor_term(account=graph.config.account, lane=graph.lane)

    def now() -> datetime:
        """Return the time; on simulated days none before the last executor, that may have looked later."""
        at = ports.clock.now(session, phase)
        return at if term is None else max(at, term.began_at)

    expected, not_compared = expected_of(graph, session, ports, now=now())
    outcomes = reconcile_account(
        Desk(
            journal=ports.journal,
            broker=ports.broker,
            lock=ports.lock,
            audit=ports.audit,
            clock=now,
            account=graph.config.account,
            lane=graph.lane,
            holder=holder,
        ),
        since=graph.watched_since(session),
        expected=expected,
    )
    return Reconciled(session=session, outcomes=outcomes, not_compared=not_compared)


def expected_of(
    graph: BookGraph, session: date, ports: Ports, *, now: datetime
) -> tuple[Expected | None, str]:
    """Return what the account should have in an opened session, or `None` with the reason."""
    record = ports.journal.session_record(**graph.where(session))
    if record is None or not record.opening_sha:
        return None, f"the book was not opened for {session}"
    try:
        at_open, _ = opened_day(
            graph,
            session,
            opening=opening_in_journal(ports.journal, graph, session, now=now),
            actions=ports.actions.actions(),
            accepted=ports.accepted,
            history=ports.history,
        )
    except (LakeError, KeyError) as error:
        return None, f"the book at the open of {session} cannot be told: {error}"
    until = graph.next_open(session)
    if until is not None and now >= until:
        return None, f"the session after {session} has opened, whose actions are in the account already"
    return Expected(book=graph.name, session=session, at_open=at_open, until=until), ""


def flatten_plan(graph: BookGraph, session: date, ports: Ports, *, live: LiveQuotes) -> FlattenPlan:
    """Return what selling all that a book holds now would be, at the last prices; changes nothing."""
    journal, where = ports.journal, graph.where(session)
    now = ports.clock.now(session, Phase.EXECUTE)
    at_open, earlier = opened_day(
        graph,
        session,
        opening=opening_in_journal(journal, graph, session, now=now),
        actions=ports.actions.actions(),
        accepted=ports.accepted,
        history=ports.history,
    )
    held = with_fills(at_open, journal.fills(**where))
    still_open = journal.open_intents(account=graph.config.account, lane=graph.lane)
    days = {row.intent.session for row in still_open}
    open_sells = on_sale(still_open, [fill for day in days for fill in journal.fills(**graph.where(day))])
    prices = {}
    for position in held.positions:
        quote, mark = live.live_quote(position.symbol, session), earlier.get(position.symbol)
        prices[position.symbol] = quote.price_micros if quote else mark.price_micros if mark else 0
    ordered = [command for command in journal.flatten_commands(**where) if command.ordered_by]
    return plan_of(
        held,
        open_sells=open_sells,
        prices=prices,
        book=graph.name,
        lane=graph.lane,
        account=graph.config.account,
        session=session,
        number=len(ordered) + 1,
    )


def tell_people(
    graph: BookGraph,
    session: date,
    outcomes: Outcomes,
    *,
    journal: Journal,
    policy: AlertPolicy,
    keeper: AlertKeeper,
    notifier: Deliverer,
    now: datetime,
    not_compared: str = "",
) -> tuple[AlertRow, ...]:
    """Tell of a run with the broker: what disagrees, what is not proven, and what is over of either.

    A run that was stopped, or that `not_compared` says did not compare all, finds nothing to be over: what
    disagreed may disagree still.
    """
    log_run(graph, session, outcomes)
    is_whole = not (outcomes.halted or not_compared)
    return _tell_watched(
        graph,
        session,
        {FINDINGS: len(outcomes.findings)} if is_whole or outcomes.findings else {},
        journal=journal,
        policy=policy,
        keeper=keeper,
        notifier=notifier,
        now=now,
    )


def tell_of_stuck(
    graph: BookGraph,
    session: date,
    *,
    journal: Journal,
    policy: AlertPolicy,
    keeper: AlertKeeper,
    notifier: Deliverer,
    now: datetime,
) -> tuple[AlertRow, ...]:
    """Tell of what the journal alone shows: what is not proven, where the broker was not asked."""
    return _tell_watched(
        graph, session, {}, journal=journal, policy=policy, keeper=keeper, notifier=notifier, now=now
    )


def _tell_watched(
    graph: BookGraph,
    session: date,
    found: Mapping[str, int],
    *,
    journal: Journal,
    policy: AlertPolicy,
    keeper: AlertKeeper,
    notifier: Deliverer,
    now: datetime,
) -> tuple[AlertRow, ...]:
    stuck = [
        row
        for row in journal.open_intents(account=graph.config.account, lane=graph.lane)
        if is_stuck(row, now=now)
    ]
    watched = {**found, STUCK: len(stuck)}
    alerts = evaluate_watched(watched, policy.rules, book=graph.name, session=session)
    told = tell(
        alerts,
        codes=judged_watched(watched, policy.rules),
        keeper=keeper,
        policy=policy,
        book=graph.name,
        session=session,
        now=now,
    )
    if told:
        notifier.deliver(now)
    return alerts


def log_run(graph: BookGraph, session: date, outcomes: Outcomes) -> None:
    """Log what a run with the broker did, with a line for each thing on which journal and broker disagree."""
    log = structlog.get_logger(part="reconciler", book=graph.name, session=str(session))
    for finding in outcomes.findings:
        log.warning(
            "finding",
            finding=finding.kind.value,
            symbol=finding.symbol,
            intent_id=finding.intent_id,
            client_order_id=finding.client_order_id or "",
            detail=finding.detail,
            halts_account=finding.halts_account,
            halts_instrument=finding.halts_instrument,
        )
    if outcomes.halted:
        log.warning("stopped_before_its_end", reason=outcomes.halted)
    log.info("brought_together", **told_of_run(outcomes))


def told_of_run(outcomes: Outcomes) -> dict[str, int]:
    """Return how many intents a run brought where, by what it did; zeros left out."""
    counts = Counter(
        {
            "adopted": len(outcomes.adopted),
            "sent again": len(outcomes.resent),
            "replaced": len(outcomes.replaced),
            "released": len(outcomes.released),
            "sent": len(outcomes.sent),
            "rejected": len(outcomes.rejected),
            "failed": len(outcomes.failed),
            "expired": len(outcomes.expired),
            "held": len(outcomes.held),
            "left unknown": len(outcomes.unknown),
            "parked": len(outcomes.parked),
            "closed": len(outcomes.closed),
            "still open": len(outcomes.still_open),
            "new fills": outcomes.new_fills,
            "findings": len(outcomes.findings),
        }
    )
    return {name: count for name, count in counts.items() if count}


def shown_finding(finding: Finding) -> Mapping[str, Any]:
    """Return a finding as a row for people, with what to do."""
    return {
        "finding": finding.kind.value,
        "about": finding.symbol or finding.intent_id,
        "detail": finding.detail,
        "to do": remedy_of(finding.kind.value),
    }


def opened_day(
    graph: BookGraph,
    session: date,
    *,
    opening: Book,
    actions: Iterable[CorporateAction],
    accepted: AcceptedQuotes,
    history: BookHistory,
) -> tuple[Book, Mapping[Symbol, Mark]]:
    """Return a session's book at its open, after the actions that take effect then, and the last prices."""
    listed = tuple(actions)
    earlier = {
        **earlier_marks(accepted.last_before(session, LAST_QUOTES_SESSIONS), session=session, actions=listed),
        **marks_at_open(_marks_held(graph, session, opening, history), session=session, actions=listed),
    }
    at_open = book_at_open(
        opening,
        effective_in(listed, session),
        last_close_micros={symbol: mark.price_micros for symbol, mark in earlier.items()},
    )
    return at_open, earlier


def _marks_held(
    graph: BookGraph, session: date, opening: Book, history: BookHistory
) -> Mapping[Symbol, Mark]:
    """Return the marks of what the session opens with, as positions[D−1] has them."""
    previous = graph.session_before(session)
    return history.marks_after(previous) if opening.positions and previous is not None else {}
