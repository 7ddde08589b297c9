"""Executions: what was sent for each decision, and what came of it, told from the journal.

Sending is trading/executions.py; here are the gates in front of it. A past session that is settled is told
again and sends nothing. No retry policy, in none of Dagster's three places: money is never behind a retry.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from trading.alerts import AlertKeeper, AlertPolicy, Deliverer
from trading.audit import AuditLog
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.errors import GateClosed
from trading.executions import Desk, ExecutorLock, Router, execute_session, stopped
from trading.gates import GATE_NAMES, closed
from trading.guards import Recent, Why
from trading.inputs import InputHistory
from trading.journal import FundsView, Journal, JournalIntent
from trading.lifecycle import IntentState, Stage
from trading.order_tables import execution_rows
from trading.orders import ExecutionRow
from trading.positions import Book, BookHistory, book_from_rows
from trading.quotes import AcceptedQuotes, LiveQuotes, WindowReader
from trading.reconciliation import Outcomes
from trading.session import Morning, morning_of, review_at_send
from trading.values import Slot, amount_from_micros
from trading.verdicts import Exceptions, OpenOrders, Switches, answered_by_person, asked_of_person
from trading_assets.batch import batch_gates
from trading_assets.evaluations import evaluated_gates
from trading_assets.executor import opened_day, shown_finding, tell_people, told_of_run
from trading_assets.stage import EXECUTOR, BookGraph, column_schema, refusals_kept, session_of, table_of

SEND_WITHIN = timedelta(seconds=60)
"""How long after a run starts it may still send: what is prepared later waits for another run."""


def executions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""
    read = ("decisions", "verdicts", "opening_book", "corporate_actions")

    @dg.asset(
        **graph.asset_arguments("executions", group=EXECUTOR, kinds={"broker"}),
        ins={name: graph.rows_of(name) for name in read},
        deps=[graph.earlier_quotes()],
        op_tags={"dagster/max_retries": "0"},
        metadata={"dagster/column_schema": column_schema(ExecutionRow)},
    )
    def executions(
        context: dg.AssetExecutionContext,
        decisions: Any,
        verdicts: Any,
        opening_book: Any,
        corporate_actions: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        input_history: dg.ResourceParam[Mapping[str, InputHistory]],
        live_quotes: dg.ResourceParam[Mapping[str, LiveQuotes]],
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        routers: dg.ResourceParam[Mapping[str, Router]],
        executor_locks: dg.ResourceParam[Mapping[str, ExecutorLock]],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        journal: dg.ResourceParam[Journal],
        audit_log: dg.ResourceParam[AuditLog],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        execution_enabled: dg.ResourceParam[bool],
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        notifier: dg.ResourceParam[Deliverer],
    ) -> dg.Output[Any]:
        """One row is what execution made of one decision: claimed, sent, filled, refused or waiting.

        Rewritten whole from the journal by every run; an intent is sent at most once, whatever runs.
        """
        session = session_of(context)

        def clock() -> datetime:
            return clocks[graph.name].now(session, Phase.EXECUTE)

        now = clock()
        where = graph.where(session)
        record = journal.session_record(**where)
        did: dict[str, int] = {}
        found: list[Mapping[str, Any]] = []
        if record is None or record.settled_at is None:
            with refusals_kept(journal, graph, session, "executions", clock=clock):
                gates = batch_gates(
                    graph,
                    session,
                    decisions=decisions,
                    verdicts=verdicts,
                    opening_book=opening_book,
                    corporate_actions=corporate_actions,
                    hydrated=input_history[graph.name],
                    windows=windows[graph.name],
                    journal=journal,
                )
                stored = evaluated_gates(
                    context.instance,
                    asset=graph.key("decisions"),
                    names=GATE_NAMES,
                    partition=str(session),
                    run_id=context.run.run_id,
                )
                if why := closed([*gates, *stored]):
                    raise GateClosed(f"execution is held, nothing was sent; {why}")
                at_open, _ = opened_day(
                    graph,
                    session,
                    opening=book_from_rows(opening_book),
                    actions=corporate_actions,
                    accepted=accepted_quotes[graph.name],
                    history=book_history[graph.name],
                )
                outcomes = send_approved(
                    graph,
                    session,
                    Senders(
                        journal=journal,
                        broker=brokers[graph.name],
                        router=routers[graph.name],
                        lock=executor_locks[graph.name],
                        audit=audit_log,
                        clock=clock,
                        windows=windows[graph.name],
                        live=live_quotes[graph.name],
                        history=book_history[graph.name],
                        execution_enabled=execution_enabled,
                        holder=f"run {context.run.run_id[:8]}",
                    ),
                    at_open=at_open,
                    decisions=decisions,
                    verdicts=verdicts,
                    began_at=now,
                )
                did = told_of_run(outcomes)
                found = [shown_finding(finding) for finding in outcomes.findings]
                tell_people(
                    graph,
                    session,
                    outcomes,
                    journal=journal,
                    policy=alert_policy,
                    keeper=alert_keeper,
                    notifier=notifier,
                    now=clock(),
                )
                if outcomes.halted:
                    audit_log.project()
                    raise stopped("the executor stopped before its end", outcomes.halted)
        audit_log.project()
        intents = journal.intents(**where)
        rows = execution_rows(
            intents,
            journal.orders(**where),
            journal.fills(**where),
            decisions=decisions,
        )
        return dg.Output(
            rows,
            metadata={
                **_counts(rows),
                "claimed": sum(1 for row in intents if row.epoch),
                "this run": did,
                "findings": len(found),
                "blocked by reason": table_of(_stopped_by_reason(rows)),
                "what disagrees": table_of(found),
                "executions": table_of([_shown(row) for row in rows]),
            },
        )

    @dg.asset_check(
        asset=graph.key("executions"),
        partitions_def=graph.sessions,
        description="Shows each intent whose order is not proven to be at the broker or not to be there.",
    )
    def every_outcome_is_known(executions: Any) -> dg.AssetCheckResult:
        unproven = [row for row in executions if row.state == IntentState.UNKNOWN]
        is_parked = any(row.stage == Stage.PARKED for row in unproven)
        return dg.AssetCheckResult(
            passed=not unproven,
            severity=dg.AssetCheckSeverity.ERROR if is_parked else dg.AssetCheckSeverity.WARN,
            metadata={
                "unknown": sum(1 for row in unproven if row.stage != Stage.PARKED),
                "parked": sum(1 for row in unproven if row.stage == Stage.PARKED),
                "rows": table_of([_shown(row) for row in unproven]),
            },
        )

    return [executions, every_outcome_is_known]


@dataclass(frozen=True, kw_only=True)
class Senders:
    """Hold what sending for one book works with; `holder` is the run that the journal names."""

    journal: Journal
    broker: Broker
    router: Router
    lock: ExecutorLock
    audit: AuditLog
    clock: Callable[[], datetime]
    windows: WindowReader
    live: LiveQuotes
    history: BookHistory
    execution_enabled: bool
    holder: str


def send_approved(
    graph: BookGraph,
    session: date,
    senders: Senders,
    *,
    at_open: Book,
    decisions: Any,
    verdicts: Any,
    began_at: datetime,
    slots: Collection[Slot] = frozenset(Slot),
) -> Outcomes:
    """Send what is approved of a session, of these slots, each once and after the guards' second look.

    Raises `ExecutorBusy` while another process executes for the account.
    """
    morning = morning_of(
        senders.windows.window_before(session, graph.config.rules.window_sessions),
        at_open=at_open,
        rules=graph.config.rules,
        equities=[equity for _, equity in senders.history.equities_before(session)],
    )
    return execute_session(
        Desk(
            journal=senders.journal,
            broker=senders.broker,
            router=senders.router,
            lock=senders.lock,
            audit=senders.audit,
            clock=senders.clock,
            account=graph.config.account,
            lane=graph.lane,
            holder=senders.holder,
            cooldown=graph.config.rules.cooldown,
        ),
        book=graph.name,
        session=session,
        since=graph.watched_since(session),
        book_at_open=at_open,
        book_until=graph.next_open(session),
        review=second_look(
            graph,
            session,
            senders.clock,
            at_open=at_open,
            morning=morning,
            decisions=decisions,
            verdicts=verdicts,
            live=senders.live,
            execution_enabled=senders.execution_enabled,
        ),
        send_by=min(began_at + SEND_WITHIN, graph.calendar.closes_at(session)),
        slots=slots,
    )


def second_look(
    graph: BookGraph,
    session: date,
    clock: Callable[[], datetime],
    *,
    at_open: Book,
    morning: Morning,
    decisions: Any,
    verdicts: Any,
    live: LiveQuotes,
    execution_enabled: bool,
) -> Any:
    """Return the review that runs inside T2: the same guards, on a live price and the journal's own funds.

    Prices are read here, before any transaction: a write lock is held while the review runs.
    """
    symbols = {row.symbol for row in decisions} | {position.symbol for position in at_open.positions}
    quotes = {symbol: quote for symbol in sorted(symbols) if (quote := live.live_quote(symbol, session))}
    newest = max((quote.quoted_at for quote in quotes.values()), default=None)
    approved = asked_of_person(verdicts)

    oldest_s = graph.config.rules.limits.on(session).quote_age_s_max

    def review(row: JournalIntent, view: FundsView) -> tuple[Why, ...]:
        now = clock()
        quote = quotes.get(row.intent.symbol)
        # What else is held counts at a price of now; one that is too old is as good as none, which is the
        # last close.
        prices = {
            symbol: one.price_micros
            for symbol, one in quotes.items()
            if symbol == row.intent.symbol or whole_seconds(now - one.quoted_at) <= oldest_s
        }
        return review_at_send(
            row.intent,
            quantity=row.quantity,
            live=prices,
            clock_skew_s=max(whole_seconds(newest - now), 0) if newest else 0,
            quote_age_s=whole_seconds(now - quote.quoted_at) if quote else 0,
            session_open=graph.calendar.opens_at(session) <= now < graph.calendar.closes_at(session),
            orders=OpenOrders(view.book, view.open_buys, view.open_sells, view.reserved_micros),
            recent=Recent(
                same_intents=0,
                orders_last_minute=view.orders_last_minute,
                repeated_executions=view.repeated_executions,
            ),
            morning=morning,
            switches=Switches(
                kill_switch_on=view.run_control.kill_switch_on,
                paused=view.run_control.paused,
                cooldown_active=view.cooldown_active,
                # T2 runs in a term whose reconciliation is done, or not at all.
                is_reconciled=True,
                execution_enabled=execution_enabled,
                is_degraded=view.run_control.is_degraded,
            ),
            rules=graph.config.rules,
            exceptions=Exceptions(
                overrides=graph.config.rules.overrides,
                now=now,
                approved=answered_by_person(approved, row.intent.intent_key)
                if view.is_approved_by_person
                else approved,
            ),
        )

    return review


def whole_seconds(span: timedelta) -> int:
    """Return a span in whole seconds, away from 0: no part of one makes a quote young or a clock right."""
    over = -(-abs(span) // timedelta(seconds=1))
    return -over if span < timedelta(0) else over


def _counts(rows: tuple[ExecutionRow, ...]) -> dict[str, int]:
    """Return the plotted numbers, each also where it is 0, and one a state that intents are in."""
    return {
        **Counter(row.state for row in rows),
        "sent": sum(1 for row in rows if row.client_order_id),
        "filled": sum(1 for row in rows if row.filled_quantity),
        "unknown": sum(1 for row in rows if row.state == IntentState.UNKNOWN),
        "parked": sum(1 for row in rows if row.stage == Stage.PARKED),
        "fallbacks": sum(1 for row in rows if row.fallback_count),
    }


def _stopped_by_reason(rows: tuple[ExecutionRow, ...]) -> list[dict[str, Any]]:
    """Return how many intents ended without an order, by reason, most first."""
    ended = {IntentState.REJECTED, IntentState.FAILED, IntentState.EXPIRED, IntentState.CANCELLED}
    counts = Counter(row.reason for row in rows if row.state in ended)
    return [{"reason": reason, "intents": count} for reason, count in counts.most_common()]


def _shown(row: ExecutionRow) -> dict[str, Any]:
    return {
        "symbol": row.symbol,
        "side": row.side.value,
        "state": row.state,
        "reason": row.reason,
        "sent": row.submitted_quantity,
        "filled": row.filled_quantity,
        "average price": str(amount_from_micros(row.average_price_micros)),
        "slippage_bps": round(row.slippage_bps, 2),
        "client_order_id": row.client_order_id,
        "adapter": row.actual_adapter,
        "instead of": f"{row.expected_adapter}: {row.fallback_reason}" if row.fallback_count else "",
    }
