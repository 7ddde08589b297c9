"""What trading made of late: decisions by symbol, executions by adapter, P&L and what went against it.

Pure: rows of a window of hours come in, one answer goes out. Profit is profit: realised P&L by average cost,
never a shortfall with its sign turned. What is measured session by session is metrics.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from trading.guards import BPS
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import IntentState
from trading.orders import Fill
from trading.positions import Book, with_fill
from trading.routing import NOT_RECORDED
from trading.values import Side, Symbol

SCHEMA_VERSION = "profitability.runtime.v1"
LOOKBACK = timedelta(hours=72)
PERCENTILE = 95


class Bar(NamedTuple):
    """Hold the range of a symbol's session, in micro-units."""

    high_micros: int
    low_micros: int


class SessionRows(NamedTuple):
    """Hold what one session of a book left: its book before, its intents, orders and fills, and its bars."""

    opening: Book | None
    intents: Sequence[JournalIntent]
    orders: Sequence[JournalOrder]
    fills: Sequence[Fill]
    bars: Mapping[Symbol, Bar]


class DecisionCount(NamedTuple):
    """Count the decisions of one symbol and strategy, by what became of them."""

    symbol: Symbol
    strategy: str
    decisions: int
    blocked: int
    executed: int


class AdapterCount(NamedTuple):
    """Count the orders that went out through one adapter; `fallbacks` of them were meant for another."""

    adapter: str
    orders: int
    fallbacks: int


class ReasonCount(NamedTuple):
    """Count how often something had one reason."""

    reason: str
    times: int


class Realised(NamedTuple):
    """Hold what sales of one symbol made by average cost, commissions aside."""

    symbol: Symbol
    realised_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profit:
    """Hold what a window made. Excursions in bps of the fill's price, `None` without a sample.

    `realised_micros` is `None` where the book before a fill is not known: no data, never nought.
    """

    decision_count: int
    execution_count: int
    tca_sample_count: int
    decisions: tuple[DecisionCount, ...]
    adapters: tuple[AdapterCount, ...]
    fallback_reasons: tuple[ReasonCount, ...]
    blocked_reasons: tuple[ReasonCount, ...]
    realised_micros: int | None
    realised_by_symbol: tuple[Realised, ...]
    adverse_excursion_bps_p95: float | None
    adverse_excursion_bps_max: float | None
    caveats: tuple[str, ...]


def profit_of(sessions: Sequence[SessionRows]) -> Profit:
    """Return what the sessions of a window made."""
    intents = [row for one in sessions for row in one.intents]
    orders = [row for one in sessions for row in one.orders]
    fills = [row for one in sessions for row in one.fills]
    excursions = sorted(_excursions(sessions))
    realised = _realised(sessions)
    blocked = Counter(row.reason or "not said" for row in intents if _is_blocked(row))
    return Profit(
        decision_count=len(intents),
        execution_count=len(fills),
        tca_sample_count=len(excursions),
        decisions=_decisions(intents),
        adapters=_adapters(orders),
        fallback_reasons=_counts(
            Counter(row.route.fallback_reason for row in orders if row.route.fallback_count)
        ),
        blocked_reasons=_counts(blocked),
        realised_micros=None if realised is None else sum(realised.values()),
        realised_by_symbol=()
        if realised is None
        else tuple(Realised(symbol, realised[symbol]) for symbol in sorted(realised)),
        adverse_excursion_bps_p95=_percentile(excursions),
        adverse_excursion_bps_max=excursions[-1] if excursions else None,
        caveats=_caveats(sessions, fills=len(fills), samples=len(excursions), is_known=realised is not None),
    )


def window_at(now: datetime) -> tuple[datetime, datetime]:
    """Return the window of the last hours before an instant: its begin and its end."""
    return now - LOOKBACK, now


def _is_blocked(row: JournalIntent) -> bool:
    return row.state is IntentState.REJECTED and row.quantity == 0


def _decisions(intents: Iterable[JournalIntent]) -> tuple[DecisionCount, ...]:
    counts: dict[tuple[Symbol, str], list[int]] = {}
    for row in intents:
        count = counts.setdefault((row.intent.symbol, row.intent.strategy), [0, 0, 0])
        count[0] += 1
        count[1] += int(_is_blocked(row))
        count[2] += int(row.state is IntentState.EXECUTED)
    return tuple(DecisionCount(*key, *counts[key]) for key in sorted(counts))


def _adapters(orders: Iterable[JournalOrder]) -> tuple[AdapterCount, ...]:
    sent, fallbacks = Counter[str](), Counter[str]()
    for row in orders:
        adapter = row.route.actual or NOT_RECORDED
        sent[adapter] += 1
        fallbacks[adapter] += int(row.route.fallback_count > 0)
    return tuple(AdapterCount(adapter, sent[adapter], fallbacks[adapter]) for adapter in sorted(sent))


def _realised(sessions: Iterable[SessionRows]) -> dict[Symbol, int] | None:
    """Return what each symbol's sales made, `None` where a session with fills has no book before it."""
    made: dict[Symbol, int] = {}
    for one in sessions:
        if not one.fills:
            continue
        if one.opening is None:
            return None
        book = one.opening
        for fill in one.fills:
            after = with_fill(book, fill)
            if fill.side is Side.SELL:
                gain = after.realised_micros - book.realised_micros
                made[fill.symbol] = made.get(fill.symbol, 0) + gain
            book = after
    return made


def _excursions(sessions: Iterable[SessionRows]) -> Iterable[float]:
    """Give for each fill how far its session's range goes against it, in bps of its price."""
    for one in sessions:
        for fill in one.fills:
            bar = one.bars.get(fill.symbol)
            if bar is None or fill.price_micros <= 0:
                continue
            is_buy = fill.side is Side.BUY
            against = fill.price_micros - bar.low_micros if is_buy else bar.high_micros - fill.price_micros
            yield round(max(0, against) / fill.price_micros * BPS, 6)


def _percentile(ascending: Sequence[float]) -> float | None:
    return ascending[-(-PERCENTILE * len(ascending) // 100) - 1] if ascending else None


def _counts(counter: Counter[str]) -> tuple[ReasonCount, ...]:
    return tuple(ReasonCount(reason, counter[reason]) for reason in sorted(counter))


def _caveats(sessions: Sequence[SessionRows], *, fills: int, samples: int, is_known: bool) -> tuple[str, ...]:
    told = []
    if not sessions:
        told.append("no session of the book falls in the window")
    if samples:
        told.append("adverse excursion is the range of the whole session, before the fill as well")
    if samples < fills:
        told.append(f"{fills - samples} fills have no bar yet: their excursion is not known")
    if not is_known:
        told.append("the book before a session with fills is not known: realised P&L is no data")
    return tuple(told)
