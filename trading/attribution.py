"""Who made the money: profit and loss, costs and round trips of a replay, by symbol and by strategy.

A symbol's ledger is a book of that symbol alone, folded by the very rules of positions.py: average cost,
exact in micro-units. What the whole book was worth is scorecard.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.actions import ActionKind, CorporateAction
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
    the part of the purchases' commissions that went with those shares. `count` of them; `gained` and `lost`
    how many made more and less than nothing; `gained_micros` and `lost_micros` (positive) what they made.
    """

    count: int = 0
    gained: int = 0
    lost: int = 0
    gained_micros: int = 0
    lost_micros: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Return the share of round trips that gained: gained / count.

        Sampling: every sale, after its costs. No data: nothing was sold.
        """
        return self.gained / self.count if self.count else None

    @property
    def profit_factor(self) -> float | None:
        """Return what the gaining round trips made over what the losing ones lost.

        Sampling: every sale, after its costs. No data: none lost.
        """
        return self.gained_micros / self.lost_micros if self.lost_micros else None

    @property
    def payoff(self) -> float | None:
        """Return the mean gain over the mean loss of a round trip.

        Sampling: every sale, after its costs. No data: none gained, or none lost.
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


def by_symbol(
    replayed: Replayed, actions: Iterable[CorporateAction], *, opening: Book | None = None
) -> tuple[Attribution, ...]:
    """Return what each symbol that was traded or held did, by symbol.

    `opening` is the book before the first session where it held anything; what it held counts from its cost.
    `actions` are those of the replay, at sessions. Raises `Oversold` where the fills sell more than was
    held, and `ValueError` where dividends differ from the replay's: another book or other actions than its.
    """
    symbols = [Symbol(symbol) for symbol in replayed["fills"]["symbol"].tolist()]
    market = _Market.of(replayed, actions)
    marks = market.last_marks()
    rows: dict[Symbol, list[_Trade]] = (
        {position.symbol: [] for position in opening.positions} if opening else {}
    )
    for symbol, trade in zip(symbols, _trades(replayed), strict=True):
        rows.setdefault(symbol, []).append(trade)
    ledgers = {symbol: market.fold(symbol, trades, opening) for symbol, trades in rows.items()}
    costs = _costs(replayed, symbols)
    made = tuple(
        _attribution(symbol, costs.get(symbol, _Costs()), [ledgers[symbol]], marks)
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
    market = _Market.of(replayed, actions)
    marks = market.last_marks()
    rows: dict[str, dict[Symbol, list[_Trade]]] = {}
    for strategy, trade in zip(strategies, _trades(replayed), strict=True):
        rows.setdefault(strategy, {}).setdefault(trade.symbol, []).append(trade)
    costs = _costs(replayed, strategies)
    return tuple(
        _attribution(name, costs[name], _apart(market, by_its_symbol), marks)
        for name, by_its_symbol in sorted(rows.items())
    )


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


class _Ledger(NamedTuple):
    """Hold the book of one symbol alone, its cash 0 before the first session, and its round trips."""

    book: Book
    round_trips: RoundTrips


class _Costs(NamedTuple):
    """Hold what trading one thing amounted to and cost."""

    fills: int = 0
    traded_micros: int = 0
    commission_micros: int = 0
    slippage_micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Market:
    """Hold what ledgers need of the market: sessions, actions in them by symbol, and marks."""

    replayed: Replayed
    sessions: list[date]
    actions: Mapping[Symbol, list[CorporateAction]]

    @classmethod
    def of(cls, replayed: Replayed, actions: Iterable[CorporateAction]) -> _Market:
        sessions = replayed["sessions"]["session"].tolist()
        of_symbol: dict[Symbol, list[CorporateAction]] = {}
        for action in sorted(actions):
            if sessions and sessions[0] <= action.effective_on <= sessions[-1]:
                of_symbol.setdefault(action.symbol, []).append(action)
        return cls(replayed=replayed, sessions=sessions, actions=of_symbol)

    def marks_after(self, session: date) -> dict[Symbol, int]:
        """Return what every symbol was valued at after a session."""
        marks = self.replayed["marks"]
        day = np.datetime64(session)
        first, after = np.searchsorted(marks["session"], day), np.searchsorted(marks["session"], day, "right")
        rows = slice(int(first), int(after))
        return dict(zip(marks["symbol"][rows].tolist(), marks["price_micros"][rows].tolist(), strict=True))

    def last_marks(self) -> dict[Symbol, int]:
        """Return what every symbol is valued at after the last session."""
        return self.marks_after(self.sessions[-1]) if self.sessions else {}

    def fold(self, symbol: Symbol, trades: Iterable[_Trade], opening: Book | None) -> _Ledger:
        """Return the ledger of a symbol after its trades and actions, those of a session at its open."""
        held = () if opening is None else tuple(p for p in opening.positions if p.symbol == symbol)
        book = Book(
            currency=self.replayed.currency,
            cash_micros=-sum(position.cost_micros for position in held),
            deposits_micros=0,
            positions=held,
        )
        round_trips, entry_micros = RoundTrips(), 0
        waiting = list(self.actions.get(symbol, ()))
        for trade in trades:
            book = self._acted(book, waiting, until=trade.session)
            before, book = book, with_trades(book, (trade[1:],))
            if trade.side is Side.BUY:
                entry_micros += trade.commission_micros
                continue
            # Rounded up: what a purchase cost is never left behind by its sales.
            entry = -(-entry_micros * trade.quantity // before.quantity_of(symbol))
            entry_micros -= entry
            result = book.realised_micros - before.realised_micros - trade.commission_micros - entry
            round_trips = round_trips.with_result(result)
        return _Ledger(self._acted(book, waiting, until=date.max), round_trips)

    def _acted(self, book: Book, waiting: list[CorporateAction], *, until: date) -> Book:
        """Return a book after the actions that wait until a session, taking them off the list."""
        while waiting and waiting[0].effective_on <= until:
            action = waiting.pop(0)
            if book.positions:
                book = book_at_open(book, (action,), last_close_micros=self._close_before(action))
        return book

    def _close_before(self, action: CorporateAction) -> dict[Symbol, int]:
        """Return the last close before an action in the shares after it; empty where none is known."""
        row = self.sessions.index(action.effective_on)
        mark = self.marks_after(self.sessions[row - 1]).get(action.symbol) if row else None
        if mark is None or action.kind is not ActionKind.SPLIT:
            return {}
        return {action.symbol: split_price(mark, action.numerator, action.denominator)}


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


def _apart(market: _Market, rows: Mapping[Symbol, list[_Trade]]) -> list[_Ledger] | None:
    """Return a strategy's ledgers, `None` where it sold shares that it had not bought."""
    try:
        return [market.fold(symbol, trades, None) for symbol, trades in rows.items()]
    except Oversold:
        return None


def _attribution(
    name: str, costs: _Costs, ledgers: Sequence[_Ledger] | None, marks: Mapping[Symbol, int]
) -> Attribution:
    if ledgers is None:
        return Attribution(name=name, **costs._asdict())
    realised = sum(ledger.book.realised_micros for ledger in ledgers)
    unrealised = sum(unrealised_micros(ledger.book, marks) for ledger in ledgers)
    dividends = sum(ledger.book.dividends_micros for ledger in ledgers)
    return Attribution(
        name=name,
        **costs._asdict(),
        pnl_micros=realised + unrealised + dividends - costs.commission_micros,
        realised_micros=realised,
        unrealised_micros=unrealised,
        dividend_micros=dividends,
        round_trips=sum((ledger.round_trips for ledger in ledgers), RoundTrips()),
    )
