"""The daily report as plain lines: what a person reads about one session, made from the rows of its tables.

Pure. What the numbers mean is metrics.py; the page and the files are resources/reports.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from trading.alerts import AlertRow
from trading.decisions import DecisionRow, Outcome
from trading.guards import (
    INSUFFICIENT_BUYING_POWER,
    MAX_NOTIONAL_EXCEEDED,
    QUOTE_STALE,
    REASONS,
    SYMBOL_CAP_EXCEEDED,
)
from trading.metrics import SCHEMA_VERSION, MetricRow, by_name
from trading.orders import ExecutionRow
from trading.positions import BookRow, Item
from trading.quotes import Quarantined
from trading.values import Money, Side, amount_from_micros, notional_micros
from trading.verdicts import Verdict, by_intent

REPORT_VERSION = "daily_report.v1"

PENDING = "pending_approval"


class StageCount(NamedTuple):
    """Hold how many got through one stage of the funnel; `None` where the stage left no data."""

    stage: str
    count: int | None


class BlockedLine(NamedTuple):
    """Hold one intent that was stopped: by which guard, what it saw, its limit, what would have passed.

    `observed` and `limit` are text with their unit; empty where an advisor's veto stopped it.
    """

    symbol: str
    side: str
    outcome: str
    reason: str
    guard: str
    observed: str
    limit: str
    largest_quantity: int | None
    intent_id: str


class PendingLine(NamedTuple):
    """Hold one intent that waits for a person, until `not_after` (UTC). Money in micro-units."""

    intent_id: str
    symbol: str
    side: str
    quantity: int
    price_micros: int
    notional_micros: int
    not_after: datetime


class FillLine(NamedTuple):
    """Hold what was filled of one intent. Money in micro-units, slippage positive where it cost money."""

    symbol: str
    side: str
    submitted_quantity: int
    filled_quantity: int
    average_price_micros: int
    commission_micros: int
    slippage_bps: float
    status: str
    intent_id: str


class PositionLine(NamedTuple):
    """Hold one position at its mark. Money in micro-units; `weight` is its share of equity."""

    symbol: str
    quantity: int
    cost_micros: int
    mark_micros: int
    marked_on: date | None
    value_micros: int
    unrealised_micros: int
    weight: float | None


class MoneyLine(NamedTuple):
    """Hold one total of the book in micro-units; `None` until the session is settled."""

    name: str
    micros: int | None


class EquityPoint(NamedTuple):
    """Hold the equity at one session's close, in micro-units."""

    session: date
    equity_micros: int


class Lineage(NamedTuple):
    """Hold which table went in: asset, partition and the SHA-256 of its content."""

    asset: str
    partition: str
    sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """Hold the rows a report is made from. `as_of` is the UTC instant they were read at.

    `mode` is the lane (`simulated`, `paper`, `live`); `unfit_reason` says why the session's quotes cannot
    be decided on, empty where they can. `equities` are the closes of the book's sessions, this one last.
    `pending_ids` are the intents that still wait for a person; what was decided to wait may have been
    approved since.
    """

    book: str
    title: str
    mode: str
    session: date
    as_of: datetime
    currency: str
    unfit_reason: str
    metrics: tuple[MetricRow, ...]
    quarantined: tuple[Quarantined, ...]
    verdicts: tuple[Verdict, ...]
    decisions: tuple[DecisionRow, ...]
    pending_ids: frozenset[str]
    executions: tuple[ExecutionRow, ...]
    positions: tuple[BookRow, ...]
    alerts: tuple[AlertRow, ...]
    equities: tuple[EquityPoint, ...]
    lineage: tuple[Lineage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyReport:
    """Hold the report of one session of one book, ready to be shown."""

    book: str
    title: str
    mode: str
    session: date
    as_of: datetime
    currency: str
    unfit_reason: str
    verdict: str
    why_none: str
    funnel: tuple[StageCount, ...]
    pnl: tuple[MoneyLine, ...]
    blocked: tuple[BlockedLine, ...]
    quarantined: tuple[tuple[str, int], ...]
    pending: tuple[PendingLine, ...]
    fills: tuple[FillLine, ...]
    positions: tuple[PositionLine, ...]
    alerts: tuple[AlertRow, ...]
    equities: tuple[EquityPoint, ...]
    lineage: tuple[Lineage, ...]
    metrics: tuple[MetricRow, ...]

    def payload(self) -> dict[str, Any]:
        """Return the report as JSON values: money as exact decimal strings, times RFC 3339 in UTC."""
        return _payload(self)


def build_report(facts: ReportFacts) -> DailyReport:
    """Return the report of a session."""
    funnel = _funnel(facts.metrics)
    return DailyReport(
        book=facts.book,
        title=facts.title,
        mode=facts.mode,
        session=facts.session,
        as_of=facts.as_of,
        currency=facts.currency,
        unfit_reason=facts.unfit_reason,
        verdict=_verdict(facts),
        why_none=_why_none(facts, funnel),
        funnel=funnel,
        pnl=_pnl(facts),
        blocked=_blocked(facts),
        quarantined=_by_reason(facts.quarantined),
        pending=_pending(facts),
        fills=_fills(facts.executions),
        positions=_positions(facts.positions),
        alerts=facts.alerts,
        equities=facts.equities,
        lineage=tuple(sorted(facts.lineage)),
        metrics=facts.metrics,
    )
