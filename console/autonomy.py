"""How the desk runs by itself: who may trade how, what holds it back, what it measured, what it made of late.

Truthful before the first session: what has not happened is null or empty, never nought. The rules are
trading/slos.py, signal_continuity.py and profitability.py; how each book stands in full is status.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.alerts import alerts_of
from console.book_outlines import BookOutline
from console.desk import Desk
from console.incidents import incidents_of
from console.lake_rows import rows_found
from console.signals import BookSignals, signals_of
from console.slo import level_of
from resources.clocks import system_now
from resources.settings import Profile
from resources.watch_signs import last_beat
from trading.alert_log import AlertState
from trading.clock import Phase
from trading.metrics import SCHEMA_VERSION as METRICS_VERSION
from trading.profitability import (
    LOOKBACK,
    SCHEMA_VERSION,
    AdapterCount,
    Bar,
    DecisionCount,
    Realised,
    ReasonCount,
    SessionRows,
    profit_of,
    window_at,
)
from trading.values import Symbol

SESSIONS_MAX = 10
"""How many sessions back a window of three days can begin, over the longest closure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookAutonomy:
    """Hold how far one book runs by itself; instants and sessions are null before the first one."""

    book: str
    last_session: date | None
    decided_at: datetime | None
    settled_at: datetime | None
    refused: str
    signals: BookSignals


@dataclass(frozen=True, slots=True, kw_only=True)
class Autonomy:
    """Hold whether and how the desk trades by itself, and all that holds it back.

    `level` is normal, watch or incident, with what it asks. `may_trade` is false while all trading is halted
    or paused; `watch_at` is when runs and checks were last looked at, null where they never were.
    """

    may_trade: bool
    kill_switch_on: bool
    paused: bool
    is_degraded: bool
    held_by: str
    held_because: str
    approval_mode: str
    level: str
    severity: str
    heartbeat_s: int
    on_call: str
    level_because: tuple[str, ...]
    alerts_firing: int
    incidents_open: int
    watch_at: datetime | None
    books: tuple[BookAutonomy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricView:
    """Hold one metric; `value` is null where there was nothing to measure, which `status` says."""

    name: str
    value: float | None
    unit: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookMetrics:
    """Hold the metrics of a book's latest measured session; `session` is null before the first one."""

    book: str
    schema_version: str
    session: date | None
    metrics: tuple[MetricView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeWindow:
    """Hold a window of hours and what was counted in it."""

    lookback_hours: int
    start: datetime
    end: datetime
    decision_count: int
    execution_count: int
    tca_sample_count: int
    empty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Executions:
    """Hold orders by adapter, and why another one was chosen than the first."""

    by_adapter: tuple[AdapterCount, ...]
    fallback_reason_totals: tuple[ReasonCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealisedSummary:
    """Hold realised P&L by average cost, and how far prices went against fills, in bps of their price."""

    currency: str
    realised_micros: int | None
    adverse_excursion_proxy_bps_p95: float | None
    adverse_excursion_proxy_bps_max: float | None
    by_symbol: tuple[Realised, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Hold what kept trades from happening: reasons of blocked intents, and what was done to all trading."""

    blocked_by_reason: tuple[ReasonCount, ...]
    controls: tuple[ReasonCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProfit:
    """Hold what one book made in the last 72 hours, with what to know before reading it."""

    schema_version: str
    generated_at: datetime
    book: str
    window: RuntimeWindow
    decisions_by_symbol_strategy: tuple[DecisionCount, ...]
    executions: Executions
    realized_pnl_summary: RealisedSummary
    gate_rollback_attribution: Attribution
    caveats: tuple[str, ...]


def autonomy_of(desk: Desk, *, book: str | None = None) -> Autonomy:
    """Return how the desk, or one book of it, trades by itself; raises `BadInput` for an unknown book."""
    control, judgement = desk.journal.run_control(), level_of(desk)
    signals = {row.book: row for row in signals_of(desk, book=book)}
    return Autonomy(
        may_trade=not (control.kill_switch_on or control.paused),
        kill_switch_on=control.kill_switch_on,
        paused=control.paused,
        is_degraded=control.is_degraded,
        held_by=control.actor if control.kill_switch_on or control.paused else "",
        held_because=control.reason if control.kill_switch_on or control.paused else "",
        approval_mode=control.approval_mode.value if control.approval_mode is not None else "as reviewed",
        level=judgement.level.name.lower(),
        severity=judgement.conduct.severity,
        heartbeat_s=judgement.conduct.heartbeat_s,
        on_call=judgement.conduct.on_call,
        level_because=judgement.reasons,
        alerts_firing=sum(1 for row in alerts_of(desk) if row.state is AlertState.FIRING),
        incidents_open=sum(1 for row in incidents_of(desk) if row.is_open),
        watch_at=last_beat(desk.settings.profile_dir),
        books=tuple(_book(desk, outline, signals[outline.name]) for outline in desk.chosen(book)),
    )


def metrics_of(desk: Desk, outline: BookOutline) -> BookMetrics:
    """Return the metrics of a book's latest measured session, in the order of the schema."""
    latest = desk.lake.latest_partition(outline.name, "metrics")
    state = desk.lake.state(outline.name, "metrics", latest) if latest else None
    found = rows_found(desk.lake, [state], "find_metrics") if state is not None else []
    return BookMetrics(
        book=outline.name,
        schema_version=METRICS_VERSION,
        session=date.fromisoformat(latest) if latest else None,
        metrics=tuple(MetricView(**row) for row in found),
    )


def runtime_profit_of(desk: Desk, outline: BookOutline) -> RuntimeProfit:
    """Return what a book made in the last 72 hours; on simulated days, before its latest session's end."""
    latest = desk.latest(outline)
    simulated = desk.settings.profile is Profile.SIMULATED and latest is not None
    end = desk.clock(outline).now(latest.session, Phase.SETTLE) if simulated and latest else system_now()
    start, end = window_at(end)
    sessions = _sessions_in(desk, outline, start, end)
    bars = _bars_of(desk, outline, sessions)
    found = profit_of([_rows_of(desk, outline, session, bars.get(session, {})) for session in sessions])
    return RuntimeProfit(
        schema_version=SCHEMA_VERSION,
        generated_at=system_now(),
        book=outline.name,
        window=RuntimeWindow(
            lookback_hours=int(LOOKBACK.total_seconds() // 3600),
            start=start,
            end=end,
            decision_count=found.decision_count,
            execution_count=found.execution_count,
            tca_sample_count=found.tca_sample_count,
            empty=not (found.decision_count or found.execution_count),
        ),
        decisions_by_symbol_strategy=found.decisions,
        executions=Executions(by_adapter=found.adapters, fallback_reason_totals=found.fallback_reasons),
        realized_pnl_summary=RealisedSummary(
            currency=outline.currency,
            realised_micros=found.realised_micros,
            adverse_excursion_proxy_bps_p95=found.adverse_excursion_bps_p95,
            adverse_excursion_proxy_bps_max=found.adverse_excursion_bps_max,
            by_symbol=found.realised_by_symbol,
        ),
        gate_rollback_attribution=Attribution(
            blocked_by_reason=found.blocked_reasons, controls=_controls(desk, start, end)
        ),
        caveats=found.caveats,
    )


def _book(desk: Desk, outline: BookOutline, signals: BookSignals) -> BookAutonomy:
    latest = desk.latest(outline)
    return BookAutonomy(
        book=outline.name,
        last_session=latest.session if latest else None,
        decided_at=latest.decided_at if latest else None,
        settled_at=latest.settled_at if latest else None,
        refused=latest.refused if latest else "",
        signals=signals,
    )


def _sessions_in(desk: Desk, outline: BookOutline, start: datetime, end: datetime) -> list[date]:
    calendar = desk.calendar(outline)
    records = desk.journal.sessions(book=outline.name, lane=desk.lane, last=SESSIONS_MAX)
    return [row.session for row in records if start < calendar.closes_at(row.session) <= end]


def _bars_of(desk: Desk, outline: BookOutline, sessions: Sequence[date]) -> dict[date, dict[Symbol, Bar]]:
    """Return the range of each symbol in sessions, by one question of all their quotes."""
    partitions = [session.isoformat() for session in sessions]
    states = [desk.lake.state(outline.name, "market_quotes", partition) for partition in partitions]
    found: dict[date, dict[Symbol, Bar]] = {}
    for row in rows_found(desk.lake, [state for state in states if state is not None], "find_ranges"):
        bar = Bar(row["high_micros"], row["low_micros"])
        found.setdefault(row["session"], {})[Symbol(row["symbol"])] = bar
    return found


def _rows_of(desk: Desk, outline: BookOutline, session: date, bars: Mapping[Symbol, Bar]) -> SessionRows:
    where = {"book": outline.name, "lane": desk.lane}
    return SessionRows(
        opening=desk.journal.opening_of(**where, session=session),
        intents=desk.journal.intents(**where, session=session),
        orders=desk.journal.orders(**where, session=session),
        fills=desk.journal.fills(**where, session=session),
        bars=bars,
    )


def _controls(desk: Desk, start: datetime, end: datetime) -> tuple[ReasonCount, ...]:
    """Return what was done to all trading in a window, by action."""
    counts: dict[str, int] = {}
    for event in desk.journal.events_around(first=start, past=end, intent_id=""):
        if event.kind == "run_control":
            action = str(event.body["action"])
            counts[action] = counts.get(action, 0) + 1
    return tuple(ReasonCount(action, counts[action]) for action in sorted(counts))
