"""Who made the money: profit and loss, costs and round trips of a replay, by symbol and by strategy.

A symbol's ledger is a book of that symbol alone, folded by the very rules of positions.py: average cost,
exact in micro-units. What the whole book was worth is scorecard.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.actions import ORDER_OF_KINDS, ActionKind, CorporateAction
from trading.performance import Floats, Performance, performance_of
from trading.positions import Book, Oversold, book_at_open, unrealised_micros, with_trades
from trading.quotes import split_price
from trading.replayed import Columns, Replayed
from trading.values import Side, Symbol

SIDES = {1: Side.BUY, -1: Side.SELL}
"""The side that a sign stands for in the columns of a replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrips:
    """Hold how closed pieces of positions did.

    A round trip is one sale: what it brought, less the average cost of the shares sold, its commission, and
    the part of the purchases' commissions that went with those shares. Shares that are delisted are sold at
    what is paid for them, with no commission: else what was lost of a name that is gone would not count.
    `count` of them; `gained` and `lost` how many made more and less than nothing; `gained_micros` and
    `lost_micros` (positive) what they made.
    """

    count: int = 0
    gained: int = 0
    lost: int = 0
    gained_micros: int = 0
    lost_micros: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Return the share of round trips that gained: gained / count.

        Sampling: every sale and delisting, after its costs. No data: nothing was sold.
        """
        return self.gained / self.count if self.count else None

    @property
    def profit_factor(self) -> float | None:
        """Return what the gaining round trips made over what the losing ones lost.

        Sampling: every sale and delisting, after its costs. No data: none lost.
        """
        return self.gained_micros / self.lost_micros if self.lost_micros else None

    @property
    def payoff(self) -> float | None:
        """Return the mean gain over the mean loss of a round trip.

        Sampling: every sale and delisting, after its costs. No data: none gained, or none lost.
        """
        if not self.gained or not self.lost_micros:
            return None
        return (self.gained_micros / self.gained) / (self.lost_micros / self.lost)

    def with_result(self, micros: int) -> RoundTrips:
        """Return them with one more round trip."""
        return replace(
            self,
            count=self.count + 1,
            gained=self.gained + (micros > 0),
            lost=self.lost + (micros < 0),
            gained_micros=self.gained_micros + max(micros, 0),
            lost_micros=self.lost_micros + max(-micros, 0),
        )

    def __add__(self, other: RoundTrips) -> RoundTrips:
        """Return both together."""
        return RoundTrips(
            count=self.count + other.count,
            gained=self.gained + other.gained,
            lost=self.lost + other.lost,
            gained_micros=self.gained_micros + other.gained_micros,
            lost_micros=self.lost_micros + other.lost_micros,
        )


MEASURES_OF_ROUND_TRIPS: Mapping[str, property] = {
    name: vars(RoundTrips)[name] for name in ("hit_rate", "profit_factor", "payoff")
}
"""Every measure of round trips by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Hold what one symbol or one strategy did in a replay, in micro-units of the book's currency.

    `pnl_micros` = realised + unrealised + dividends − commission. `slippage_micros` is what its fills' prices
    cost against the opens; it is in the realised and unrealised already. Where a strategy sold shares that
    another one had bought, what it made cannot be told apart: those five and its round trips are `None`.
    `performance` is of its part of the book's return in each session, as if all else had stood still: its
    profit and loss over the book's worth before.
    """

    name: str
    fills: int
    traded_micros: int
    commission_micros: int
    slippage_micros: int
    pnl_micros: int | None = None
    realised_micros: int | None = None
    unrealised_micros: int | None = None
    dividend_micros: int | None = None
    round_trips: RoundTrips | None = None
    performance: Performance | None = None


def by_symbol(
    replayed: Replayed, actions: Iterable[CorporateAction], *, opening: Book | None = None
) -> tuple[Attribution, ...]:
    """Return what each symbol that was traded or held did, by symbol.

    `opening` is the book before the first session where it held anything; what it held counts from its cost.
    `actions` are those of the replay, at sessions. Raises `Oversold` where the fills sell more than was
    held, and `ValueError` where dividends differ from the replay's: another book or other actions than its.
    """
    symbols = [Symbol(symbol) for symbol in replayed["fills"]["symbol"].tolist()]
    rows: dict[Symbol, list[_Trade]] = (
        {position.symbol: [] for position in opening.positions} if opening else {}
    )
    for symbol, trade in zip(symbols, _trades(replayed), strict=True):
        rows.setdefault(symbol, []).append(trade)
    market = _Market.of(replayed, actions, symbols=rows)
    ledgers = {symbol: market.fold(symbol, trades, opening) for symbol, trades in rows.items()}
    costs = _costs(replayed, symbols)
    made = tuple(
        market.attribution(symbol, costs.get(symbol, _Costs()), {symbol: ledgers[symbol]})
        for symbol in sorted(ledgers)
    )
    told = int(np.sum(replayed["sessions"]["dividend_micros"]))
    counted = sum(ledger.book.dividends_micros for ledger in ledgers.values())
    if counted != told:
        raise ValueError(f"dividends of {counted} micro-units by symbol: the replay was paid {told}")
    return made


def by_strategy(replayed: Replayed, actions: Iterable[CorporateAction]) -> tuple[Attribution, ...]:
    """Return what each strategy did, by name; a fill belongs to the strategy of its intent.

    Each strategy's shares are counted apart, so that the cash paid for fractions of shares may differ from
    the book's by their rounding. Raises `ValueError` for a fill whose intent the replay does not have.
    """
    strategies = _strategies(replayed)
    rows: dict[str, dict[Symbol, list[_Trade]]] = {}
    for strategy, trade in zip(strategies, _trades(replayed), strict=True):
        rows.setdefault(strategy, {}).setdefault(trade.symbol, []).append(trade)
    market = _Market.of(replayed, actions, symbols={symbol for held in rows.values() for symbol in held})
    costs = _costs(replayed, strategies)
    return tuple(
        market.attribution(name, costs[name], _apart(market, by_its_symbol))
        for name, by_its_symbol in sorted(rows.items())
    )


def equity_before(replayed: Replayed) -> Floats:
    """Return what the book was worth before each session, float64 micro-units of shape (sessions,)."""
    equity = whole_numbers(replayed["sessions"], "equity_micros")
    return np.concatenate([np.array([replayed.opening_micros]), equity])[:-1].astype(np.float64)


def whole_numbers(table: Columns, column: str) -> NDArray[np.int64]:
    """Return a column of whole numbers of a replay's table, to reckon with."""
    return table[column].astype(np.int64, copy=False)


# ------------------------------------------------------------------------------------------------ ledgers


class _Trade(NamedTuple):
    """Hold one fill as a ledger books it."""

    session: date
    symbol: Symbol
    side: Side
    quantity: int
    price_micros: int
    commission_micros: int


class _Step(NamedTuple):
    """Hold what a ledger had from a session's row on: shares and cash. Row −1 is before the first."""

    row: int
    quantity: int
    cash_micros: int


class _Ledger(NamedTuple):
    """Hold the book of one symbol alone, its cash 0 before the first session, and how it came there."""

    book: Book
    round_trips: RoundTrips
    steps: list[_Step]

    def with_result(self, before: Book, *, costs_micros: int) -> _Ledger:
        """Return the ledger with a round trip more: what its book realised since another, less costs."""
        result = self.book.realised_micros - before.realised_micros - costs_micros
        return self._replace(round_trips=self.round_trips.with_result(result))


class _Costs(NamedTuple):
    """Hold what trading one thing amounted to and cost."""

    fills: int = 0
    traded_micros: int = 0
    commission_micros: int = 0
    slippage_micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Market:
    """Hold what ledgers need of the market: the rows of sessions, actions in them, and marks.

    `marks` has shape (sessions, symbols): micro-units after the session, 0 where a symbol was neither quoted
    nor held; `columns` gives a symbol's column.
    """

    currency: str
    before: Floats
    rows: Mapping[date, int]
    actions: Mapping[Symbol, list[CorporateAction]]
    columns: Mapping[Symbol, int]
    marks: NDArray[np.int64]

    @classmethod
    def of(
        cls, replayed: Replayed, actions: Iterable[CorporateAction], *, symbols: Iterable[Symbol]
    ) -> _Market:
        sessions = replayed["sessions"]["session"].tolist()
        columns = {symbol: column for column, symbol in enumerate(sorted(symbols))}
        of_symbol: dict[Symbol, list[CorporateAction]] = {}
        for action in actions:
            if sessions and action.symbol in columns and sessions[0] <= action.effective_on <= sessions[-1]:
                # One that is dated on a day without a session takes effect at the next one's open.
                effective_on = sessions[bisect_left(sessions, action.effective_on)]
                of_symbol.setdefault(action.symbol, []).append(replace(action, effective_on=effective_on))
        for due in of_symbol.values():
            due.sort(key=lambda action: (action.effective_on, ORDER_OF_KINDS[action.kind]))
        return cls(
            currency=replayed.currency,
            before=equity_before(replayed),
            rows={session: row for row, session in enumerate(sessions)},
            actions=of_symbol,
            columns=columns,
            marks=_marks(replayed, columns),
        )

    def fold(self, symbol: Symbol, trades: Iterable[_Trade], opening: Book | None) -> _Ledger:
        """Return the ledger of a symbol after its trades and actions, those of a session at its open."""
        held = () if opening is None else tuple(p for p in opening.positions if p.symbol == symbol)
        book = Book(
            currency=self.currency,
            cash_micros=-sum(position.cost_micros for position in held),
            deposits_micros=0,
            positions=held,
        )
        ledger = _Ledger(book, RoundTrips(), [_step(-1, book, symbol)])
        waiting, entry_micros = deque(self.actions.get(symbol, ())), 0
        for trade in trades:
            ledger, entry_micros = self._acted(ledger, entry_micros, waiting, until=trade.session)
            before, book = ledger.book, with_trades(ledger.book, (trade[1:],))
            ledger.steps.append(_step(self.rows[trade.session], book, symbol))
            ledger = ledger._replace(book=book)
            if trade.side is Side.BUY:
                entry_micros += trade.commission_micros
                continue
            # Rounded up: what a purchase cost is never left behind by its sales.
            entry = -(-entry_micros * trade.quantity // before.quantity_of(symbol))
            entry_micros -= entry
            ledger = ledger.with_result(before, costs_micros=trade.commission_micros + entry)
        return self._acted(ledger, entry_micros, waiting, until=date.max)[0]

    def attribution(self, name: str, costs: _Costs, ledgers: Mapping[Symbol, _Ledger] | None) -> Attribution:
        """Return what ledgers come to under one name; `None` where they could not be told apart."""
        if ledgers is None:
            return Attribution(name=name, **costs._asdict())
        last = self.marks[-1] if len(self.marks) else np.zeros(len(self.columns), dtype=np.int64)
        marks = {symbol: int(last[self.columns[symbol]]) for symbol in ledgers}
        books = [ledger.book for ledger in ledgers.values()]
        realised = sum(book.realised_micros for book in books)
        unrealised = sum(unrealised_micros(book, marks) for book in books)
        dividends = sum(book.dividends_micros for book in books)
        return Attribution(
            name=name,
            **costs._asdict(),
            pnl_micros=realised + unrealised + dividends - costs.commission_micros,
            realised_micros=realised,
            unrealised_micros=unrealised,
            dividend_micros=dividends,
            round_trips=sum((ledger.round_trips for ledger in ledgers.values()), RoundTrips()),
            performance=self._performance(ledgers),
        )

    def _performance(self, ledgers: Mapping[Symbol, _Ledger]) -> Performance:
        worth = np.zeros(len(self.rows) + 1, dtype=np.int64)
        for symbol, ledger in ledgers.items():
            rows, quantities, cash = (
                np.array(column, dtype=np.int64) for column in zip(*ledger.steps, strict=True)
            )
            at = np.searchsorted(rows, np.arange(len(self.rows)), side="right") - 1
            worth[1:] += quantities[at] * self.marks[:, self.columns[symbol]] + cash[at]
        if not (self.before > 0).all():
            return performance_of(np.empty(0))
        return performance_of(np.diff(worth) / self.before)

    def _acted(
        self, ledger: _Ledger, entry_micros: int, waiting: deque[CorporateAction], *, until: date
    ) -> tuple[_Ledger, int]:
        """Return a ledger after the actions that wait until a session, taking them off the list.

        With it what the purchases of the shares it still holds cost in commissions.
        """
        while waiting and waiting[0].effective_on <= until:
            action = waiting.popleft()
            before = ledger.book
            if not before.positions:
                continue
            book = book_at_open(before, (action,), last_close_micros=self._close_before(action))
            ledger.steps.append(_step(self.rows[action.effective_on], book, action.symbol))
            ledger = ledger._replace(book=book)
            if action.kind is ActionKind.DELISTING:
                ledger, entry_micros = ledger.with_result(before, costs_micros=entry_micros), 0
        return ledger, entry_micros

    def _close_before(self, action: CorporateAction) -> dict[Symbol, int]:
        """Return the last close before a split in the shares after it; empty where none is known."""
        row = self.rows[action.effective_on]
        mark = int(self.marks[row - 1, self.columns[action.symbol]]) if row else 0
        if not mark or action.kind is not ActionKind.SPLIT:
            return {}
        return {action.symbol: split_price(mark, action.numerator, action.denominator)}


MARKS_AT_ONCE = 1_000_000
"""Marks that are looked up together: their symbols as texts take more memory than their prices."""


def _marks(replayed: Replayed, columns: Mapping[Symbol, int]) -> NDArray[np.int64]:
    """Return the marks of some symbols as a matrix of sessions and symbols."""
    marks, sessions = replayed["marks"], replayed["sessions"]["session"]
    made = np.zeros((len(sessions), len(columns)), dtype=np.int64)
    for first in range(0, len(marks["session"]), MARKS_AT_ONCE):
        part = slice(first, first + MARKS_AT_ONCE)
        at = np.array([columns.get(symbol, -1) for symbol in marks["symbol"][part].tolist()])
        rows = np.searchsorted(sessions, marks["session"][part])
        known = at >= 0
        made[rows[known], at[known]] = marks["price_micros"][part][known]
    return made


def _step(row: int, book: Book, symbol: Symbol) -> _Step:
    return _Step(row, book.quantity_of(symbol), book.cash_micros)


def _trades(replayed: Replayed) -> list[_Trade]:
    """Return the fills in their order."""
    fills = replayed["fills"]
    names = ("session", "symbol", "sign", "quantity", "price_micros", "commission_micros")
    return [
        _Trade(session, Symbol(symbol), SIDES[sign], quantity, price, commission)
        for session, symbol, sign, quantity, price, commission in zip(
            *(fills[name].tolist() for name in names), strict=True
        )
    ]


def _strategies(replayed: Replayed) -> list[str]:
    """Return the strategy of each fill."""
    intents = replayed["intents"]
    of_intent = dict(zip(intents["intent_key"].tolist(), intents["strategy"].tolist(), strict=True))
    keys = replayed["fills"]["intent_key"].tolist()
    missing = set(keys) - set(of_intent)
    if missing:
        raise ValueError(f"fill of {min(missing)}: the replay has no such intent")
    return [of_intent[key] for key in keys]


def _costs(replayed: Replayed, names: Sequence[str]) -> dict[str, _Costs]:
    """Return what the fills of each name amounted to and cost; `names` has one for each fill."""
    fills = replayed["fills"]
    price, shares = whole_numbers(fills, "price_micros"), whole_numbers(fills, "quantity")
    paid_over = (price - whole_numbers(fills, "open_micros")) * whole_numbers(fills, "sign")
    traded, slipped = (price * shares).tolist(), (paid_over * shares).tolist()
    costs: dict[str, _Costs] = {}
    for name, *amounts in zip(names, traded, fills["commission_micros"].tolist(), slipped, strict=True):
        known = costs.get(name, _Costs())
        costs[name] = _Costs(known.fills + 1, *(a + b for a, b in zip(known[1:], amounts, strict=True)))
    return costs


def _apart(market: _Market, rows: Mapping[Symbol, list[_Trade]]) -> dict[Symbol, _Ledger] | None:
    """Return a strategy's ledgers, `None` where it sold shares that it had not bought."""
    try:
        return {symbol: market.fold(symbol, trades, None) for symbol, trades in rows.items()}
    except Oversold:
        return None
