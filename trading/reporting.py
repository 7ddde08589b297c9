"""The daily report as plain lines: what a person reads about one session, made from the rows of its tables.

Pure. What the numbers mean is metrics.py; the page and the files are resources/reports.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple, Protocol

from trading.advice import Advice, AdviceVerdict, Ladder, ladder_of
from trading.advice_ladder import STEP_NAMES
from trading.advisor_calls import AdvisorCall, BudgetFigures, Spent, cost_by_intent, spent
from trading.alerts import AlertRow
from trading.decisions import DecisionRow, Outcome
from trading.guards import (
    INSUFFICIENT_BUYING_POWER,
    MAX_NOTIONAL_EXCEEDED,
    QUOTE_STALE,
    REASONS,
    SYMBOL_CAP_EXCEEDED,
)
from trading.inputs import InputRow
from trading.metrics import SCHEMA_VERSION, MetricRow, by_name
from trading.orders import ExecutionRow
from trading.positions import BookRow, Item
from trading.quotes import Quarantined
from trading.values import Money, Side, amount_from_micros, notional_micros
from trading.verdicts import Verdict, by_intent

REPORT_VERSION = "daily_report.v1"


class StageCount(NamedTuple):
    """Hold how many got through one stage of the funnel; `None` where the stage left no data."""

    stage: str
    number: int | None


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


class InputLine(NamedTuple):
    """Hold how one source of the decision came: from whom, after how many reads, why not from the first.

    `used` is empty where nobody's answer could be decided on; `why` is one line, empty where all went well.
    """

    source: str
    status: str
    expected: str
    used: str
    attempted: int
    ready: int
    errors: int
    fallback_reason: str
    why: str


class AdviceLine(NamedTuple):
    """Hold what the advisor said of one intent, and what asking cost: micro-dollars, `None` if unasked."""

    symbol: str
    verdict: str
    factor_bps: int
    confidence_bps: int | None
    applied: bool
    error: str
    rationale: str
    cost_usd_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvicePart:
    """Hold what the advisor had to say in a session and what it took; `step` is the ladder's then.

    `disagreement` is the share of intents with a word on which the model did not say keep, `None` where it
    said nothing. `errors` counts questions by how they failed. `spent` is `None` where nobody was asked, and
    `budget` are the figures of the reviewed error budget over the last sessions with this one.
    """

    step: str
    lines: tuple[AdviceLine, ...]
    applied: int
    disagreement: float | None
    models: tuple[str, ...]
    spent: Spent | None
    errors: tuple[tuple[str, int], ...]
    budget: BudgetFigures


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


class ReportFile(NamedTuple):
    """Hold one file of a report: its kind, its path under the reports folder, and its SHA-256."""

    kind: str
    path: str
    sha: str


class Tables(Protocol):
    """Name the content of stored tables."""

    def lineage(self, book: str, session: date) -> tuple[Lineage, ...]:
        """Return asset, partition and content hash of every table of a session, in the order of the flow."""
        ...

    def is_made(self, book: str, asset: str, partition: str) -> bool:
        """Say whether a table of a session, or of a week, is stored and can be found."""
        ...

    def inputs_of(self, book: str, asset: str, session: date) -> str:
        """Return the digest of what a table was made from, empty where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """Hold the rows a report is made from. `as_of` is the UTC instant they were read at.

    `mode` is the lane (`simulated`, `paper`, `live`); `unfit_reason` says why the session's quotes cannot
    be decided on, empty where they can. `equities` are the closes of the book's sessions, this one last.
    `pending_ids` are the intents that still wait for a person; what was decided to wait may have been
    approved since. `advice` is `None` where the session has none stored; `budget` are the advisor's figures.
    """

    book: str
    title: str
    mode: str
    session: date
    as_of: datetime
    currency: str
    unfit_reason: str
    inputs: tuple[InputRow, ...]
    advice: tuple[Advice, ...] | None
    advisor_calls: tuple[AdvisorCall, ...]
    budget: BudgetFigures
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
    inputs: tuple[InputLine, ...]
    advice: AdvicePart | None
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
        inputs=_inputs(facts.inputs),
        advice=None
        if facts.advice is None
        else advice_part(facts.advice, facts.advisor_calls, budget=facts.budget),
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


def money_text(micros: int, currency: str) -> str:
    """Return an amount for people: `1,234.56 USD` (cents, ROUND_HALF_EVEN)."""
    return str(Money(micros=micros, currency=currency))


def exact_text(micros: int) -> str:
    """Return an amount for machines: the exact decimal number, at least two decimals."""
    amount = amount_from_micros(micros)
    cents = amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return format(cents if cents == amount else amount, "f")


SPARKLINE_WIDTH = 120
SPARKLINE_HEIGHT = 24
SPARKLINE_POINTS_MAX = 60
SPARKLINE_EDGE = 2


def sparkline_svg(values: Sequence[float]) -> str:
    """Return a line of values as one SVG image of 120 × 24, under 900 characters; empty for no values.

    More than 60 values are thinned evenly, first and last kept; a flat line stands in the middle.
    """
    if not values:
        return ""
    shown = _thinned(values, SPARKLINE_POINTS_MAX)
    low, high = min(shown), max(shown)
    height = SPARKLINE_HEIGHT - 2 * SPARKLINE_EDGE
    points = []
    for index, value in enumerate(shown):
        x = round(SPARKLINE_WIDTH * index / max(len(shown) - 1, 1))
        share = (value - low) / (high - low) if high > low else 0.5
        points.append(f"{x},{round(SPARKLINE_EDGE + height * (1 - share))}")
    line = " ".join(points if len(points) > 1 else [*points, f"{SPARKLINE_WIDTH},{SPARKLINE_HEIGHT // 2}"])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SPARKLINE_WIDTH}" height="{SPARKLINE_HEIGHT}" '
        f'role="img" aria-label="{len(values)} values from {values[0]:g} to {values[-1]:g}">'
        f'<polyline points="{line}" fill="none" stroke="#3b76c4" stroke-width="1.5"/></svg>'
    )


def _thinned(values: Sequence[float], count: int) -> list[float]:
    if len(values) <= count:
        return list(values)
    return [values[round(index * (len(values) - 1) / (count - 1))] for index in range(count)]


# ---------------------------------------------------------------------------------------- lines of the report

FUNNEL = (
    "quotes",
    "quarantined",
    "scanned",
    "candidates",
    "intents",
    "blocked",
    "vetoed",
    "pending_approval",
    "approved",
    "executed",
    "filled",
)
"""The stages of a session, as they follow; each is the metric `funnel.<stage>`."""

MUST_PASS = ("quotes", "scanned", "candidates", "intents", "approved", "executed")
"""The stages of which each needs the one before: the first at zero says why nothing was traded."""


def _funnel(metrics: Iterable[MetricRow]) -> tuple[StageCount, ...]:
    measured = by_name(metrics)
    counts = []
    for stage in FUNNEL:
        value = measured[f"funnel.{stage}"].value
        counts.append(StageCount(stage, None if value is None else int(value)))
    return tuple(counts)


def _verdict(facts: ReportFacts) -> str:
    """Return the one line that is read first."""
    attention = []
    if facts.unfit_reason:
        attention.append(f"quotes unfit: {facts.unfit_reason}")
    attention += [
        f"{row.source} by fallback: {row.fallback_reason}" for row in facts.inputs if row.fallback_reason
    ]
    attention += [f"{alert.severity.value} {alert.code}" for alert in facts.alerts]
    if facts.pending_ids:
        attention.append(f"{len(facts.pending_ids)} waiting for approval")
    if not facts.positions:
        attention.append("not settled")
    return "attention: " + "; ".join(attention) if attention else "all well"


def _why_none(facts: ReportFacts, funnel: Sequence[StageCount]) -> str:
    """Return the first stage at zero and why, or nothing where something was executed."""
    counts = dict(funnel)
    if counts["executed"]:
        return ""
    for stage in MUST_PASS:
        count = counts[stage]
        if count is None:
            return f"{stage}: no data, the stage did not run"
        if count == 0:
            return f"{stage}: 0" + _why_zero(facts, stage)
    return ""


def _why_zero(facts: ReportFacts, stage: str) -> str:
    if stage == "quotes":
        return f" ({facts.unfit_reason})" if facts.unfit_reason else ""
    if stage == "approved":
        outcomes = [f"{row.symbol} {row.outcome.value}: {row.reason}" for row in facts.decisions]
        return f" ({', '.join(outcomes)})" if outcomes else ""
    if stage == "executed":
        states = [
            ": ".join(filter(None, (f"{row.symbol} {row.state}", row.reason))) for row in facts.executions
        ]
        return f" ({', '.join(states)})" if states else ""
    return ""


def _inputs(rows: Iterable[InputRow]) -> tuple[InputLine, ...]:
    return tuple(
        InputLine(
            source=row.source.value,
            status=row.status.value,
            expected=row.expected,
            used=row.used,
            attempted=row.attempted,
            ready=row.ready,
            errors=row.errors,
            fallback_reason=row.fallback_reason,
            why=row.remark,
        )
        for row in rows
    )


SAID = frozenset({AdviceVerdict.KEEP, AdviceVerdict.SHRINK, AdviceVerdict.VETO})
"""The words by which a model takes a side; to abstain or to call for a person is none."""


def advice_part(
    advice: Sequence[Advice], calls: Sequence[AdvisorCall], *, budget: BudgetFigures
) -> AdvicePart:
    """Return what advice on a session's intents said and took; `BadInput` where it is of several steps."""
    costs = cost_by_intent(calls)
    return AdvicePart(
        step=STEP_NAMES[ladder_of(advice)],
        lines=tuple(
            AdviceLine(
                symbol=row.symbol,
                verdict=row.verdict.value,
                factor_bps=row.factor_bps,
                confidence_bps=row.confidence_bps,
                applied=row.applied,
                error=row.error_type,
                rationale=row.rationale,
                cost_usd_micros=costs.get(row.intent_key),
            )
            for row in advice
            if row.ladder > Ladder.OFF
        ),
        applied=sum(row.applied for row in advice),
        disagreement=disagreement_of(advice),
        models=tuple(dict.fromkeys(call.model for call in calls)),
        spent=spent(calls) if calls else None,
        errors=tuple(
            (error, sum(call.error_type == error for call in calls))
            for error in sorted({call.error_type for call in calls if call.error_type})
        ),
        budget=budget,
    )


def disagreement_of(advice: Iterable[Advice]) -> float | None:
    """Return the share of intents that a model spoke of and would not leave as the rules made them.

    `None` where it spoke of none: a question that failed, or a model that abstains, is no agreement.
    """
    said = [row for row in advice if row.ladder > Ladder.OFF and not row.error_type and row.verdict in SAID]
    return sum(row.verdict is not AdviceVerdict.KEEP for row in said) / len(said) if said else None


def _pnl(facts: ReportFacts) -> tuple[MoneyLine, ...]:
    totals = {row.item: row.value_micros for row in facts.positions if row.item is not Item.POSITION}
    lines = [
        MoneyLine(item.value, totals.get(item))
        for item in (
            Item.EQUITY,
            Item.CASH,
            Item.DEPOSITS,
            Item.REALISED,
            Item.UNREALISED,
            Item.DIVIDENDS,
            Item.COMMISSIONS,
        )
    ]
    return (MoneyLine("session_pnl", _session_pnl(facts, totals.get(Item.EQUITY))), *lines)


def _session_pnl(facts: ReportFacts, equity: int | None) -> int | None:
    """Return the equity less the one of the session before, or less the deposits in the first session."""
    if equity is None:
        return None
    earlier = [point.equity_micros for point in facts.equities if point.session < facts.session]
    deposits = next(row.value_micros for row in facts.positions if row.item is Item.DEPOSITS)
    return equity - (earlier[-1] if earlier else deposits)


def _blocked(facts: ReportFacts) -> tuple[BlockedLine, ...]:
    judged = by_intent(facts.verdicts)
    lines = []
    for row in facts.decisions:
        if row.outcome not in {Outcome.BLOCKED, Outcome.VETOED}:
            continue
        verdict = next(
            (v for v in judged.get(row.intent_key, ()) if not v.passed and v.reason == row.reason), None
        )
        lines.append(
            BlockedLine(
                symbol=row.symbol,
                side=row.side.value,
                outcome=row.outcome.value,
                reason=row.reason,
                guard=verdict.guard if verdict else "",
                observed=guard_text(verdict.observed, row, facts.currency) if verdict else "",
                limit=guard_text(verdict.limit, row, facts.currency) if verdict else "",
                largest_quantity=verdict.largest_quantity if verdict else None,
                intent_id=row.intent_id,
            )
        )
    return tuple(lines)


IN_MONEY = {REASONS[MAX_NOTIONAL_EXCEEDED], REASONS[INSUFFICIENT_BUYING_POWER]}


def guard_text(number: int, row: DecisionRow, currency: str) -> str:
    """Return what a guard saw, or its limit, with the unit in which the guard counts.

    The symbol cap counts money for a buy and shares for a sale; switches count 0 and 1.
    """
    is_buy = row.side is Side.BUY
    if row.reason in IN_MONEY or (row.reason == REASONS[SYMBOL_CAP_EXCEEDED] and is_buy):
        return money_text(number, currency)
    if row.reason == REASONS[SYMBOL_CAP_EXCEEDED]:
        return f"{number:,} shares"
    if row.reason == REASONS[QUOTE_STALE]:
        return f"sessions behind: {number}"
    return str(number)


def _by_reason(quarantined: Iterable[Quarantined]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for row in quarantined:
        counts[row.reason] = counts.get(row.reason, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _pending(facts: ReportFacts) -> tuple[PendingLine, ...]:
    return tuple(
        PendingLine(
            intent_id=row.intent_id,
            symbol=row.symbol,
            side=row.side.value,
            quantity=row.quantity,
            price_micros=row.price_micros,
            notional_micros=notional_micros(price_micros=row.price_micros, quantity=row.quantity),
            not_after=row.not_after,
        )
        for row in facts.decisions
        if row.intent_id in facts.pending_ids
    )


def _fills(executions: Iterable[ExecutionRow]) -> tuple[FillLine, ...]:
    return tuple(
        FillLine(
            symbol=row.symbol,
            side=row.side.value,
            submitted_quantity=row.submitted_quantity,
            filled_quantity=row.filled_quantity,
            average_price_micros=row.average_price_micros,
            commission_micros=row.commission_micros,
            slippage_bps=row.slippage_bps,
            status=row.status,
            intent_id=row.intent_id,
        )
        for row in executions
        if row.filled_quantity > 0
    )


def _positions(rows: Iterable[BookRow]) -> tuple[PositionLine, ...]:
    listed = list(rows)
    equity = next((row.value_micros for row in listed if row.item is Item.EQUITY), 0)
    return tuple(
        PositionLine(
            symbol=row.symbol,
            quantity=row.quantity,
            cost_micros=row.cost_micros,
            mark_micros=row.mark_micros,
            marked_on=row.marked_on,
            value_micros=row.value_micros,
            unrealised_micros=row.value_micros - row.cost_micros,
            weight=round(row.value_micros / equity, 9) if equity > 0 else None,
        )
        for row in listed
        if row.item is Item.POSITION
    )


# ---------------------------------------------------------------------------------------------------- as JSON


def _payload(report: DailyReport) -> dict[str, Any]:
    return {
        "schema_version": REPORT_VERSION,
        "book": report.book,
        "title": report.title,
        "mode": report.mode,
        "session": report.session.isoformat(),
        "as_of": _instant(report.as_of),
        "currency": report.currency,
        "unfit_reason": report.unfit_reason,
        "verdict": report.verdict,
        "why_none": report.why_none,
        "funnel": dict(report.funnel),
        "inputs": [_plain(line) for line in report.inputs],
        "advice": None if report.advice is None else _advice_payload(report.advice),
        "pnl": {line.name: None if line.micros is None else exact_text(line.micros) for line in report.pnl},
        "blocked": [_plain(line) for line in report.blocked],
        "quarantined": dict(report.quarantined),
        "pending_approvals": [_plain(line) for line in report.pending],
        "fills": [_plain(line) for line in report.fills],
        "positions": [_plain(line) for line in report.positions],
        "alerts": [_plain(alert) for alert in report.alerts],
        "equities": [_plain(point) for point in report.equities],
        "lineage": [_plain(line) for line in report.lineage],
        "metrics": {
            "schema_version": SCHEMA_VERSION,
            "items": [_plain(row) for row in report.metrics],
        },
    }


def _advice_payload(part: AdvicePart) -> dict[str, Any]:
    return {
        "step": part.step,
        "applied": part.applied,
        "disagreement": part.disagreement,
        "models": list(part.models),
        "spent": None
        if part.spent is None
        else {"cost_usd": exact_text(part.spent.cost_micros), "tokens": part.spent.tokens}
        | {name: value for name, value in part.spent._asdict().items() if not name.endswith(MICROS_SUFFIX)},
        "errors": dict(part.errors),
        "error_budget": _plain(part.budget),
        "intents": [_plain(line) for line in part.lines],
    }


MICROS_SUFFIX = "_micros"


def _plain(line: Any) -> dict[str, Any]:
    """Return a row as JSON values; `…_micros` becomes an exact decimal under the name without it."""
    return _plain_items(line._asdict().items())


def _plain_items(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in items:
        if name.endswith(MICROS_SUFFIX):
            plain[name.removesuffix(MICROS_SUFFIX)] = None if value is None else exact_text(value)
        else:
            plain[name] = plain_value(value)
    return plain


def plain_value(value: Any) -> Any:
    """Return what a report holds as JSON values, rows and reports within it as objects."""
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_items((field.name, getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return [plain_value(one) for one in value]
    return value


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
