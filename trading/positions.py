"""The book: cash and positions, folded from deposits, fills and corporate actions, marked to market.

All in int64 micro-units, so that a book balances to the unit:
cash + positions at mark = deposits + realised + unrealised + dividends − commissions.
Where fills come from is orders.py; who stores the book is the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.actions import ActionKind, CorporateAction
from trading.orders import Fill
from trading.values import Side, Symbol, digest, notional_micros


class Position(NamedTuple):
    """Hold the shares of one symbol and what was paid for them in total, commissions apart (micro-units)."""

    symbol: Symbol
    quantity: int
    cost_micros: int


Trade = tuple[Symbol, Side, int, int, int]
"""What a fill does to a book: symbol, side, shares, price and commission in micro-units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Hold one book's money and shares. `positions` are sorted by symbol and never empty ones.

    Totals since the book opened, in micro-units of `currency`: `deposits_micros`, `realised_micros`
    (proceeds − average cost), `dividends_micros`, `commissions_micros`.
    """

    currency: str
    cash_micros: int
    deposits_micros: int
    realised_micros: int = 0
    dividends_micros: int = 0
    commissions_micros: int = 0
    positions: tuple[Position, ...] = ()

    def quantity_of(self, symbol: Symbol) -> int:
        """Return the shares held of a symbol, 0 where there are none."""
        return next((position.quantity for position in self.positions if position.symbol == symbol), 0)

    def payload(self) -> dict[str, Any]:
        """Return the book as plain JSON values."""
        return {
            "currency": self.currency,
            "cash_micros": self.cash_micros,
            "deposits_micros": self.deposits_micros,
            "realised_micros": self.realised_micros,
            "dividends_micros": self.dividends_micros,
            "commissions_micros": self.commissions_micros,
            "positions": [list(position) for position in self.positions],
        }

    def sha(self) -> str:
        """Return the digest of the book: equal books, equal digests."""
        return digest(self.payload())


class Oversold(ValueError):
    """Name a symbol of which more was sold than the book held."""

    def __init__(self, symbol: Symbol, *, sold: int, held: int) -> None:
        super().__init__(f"fill sells {sold} {symbol}: the book holds {held}")
        self.symbol = symbol


class Item(StrEnum):
    """Say what a line of a book is."""

    CASH = "cash"
    DEPOSITS = "deposits"
    REALISED = "realised"
    DIVIDENDS = "dividends"
    COMMISSIONS = "commissions"
    POSITION = "position"
    UNREALISED = "unrealised"
    EQUITY = "equity"


class BookRow(NamedTuple):
    """Hold one line of a book as its table has it, money in micro-units.

    Only a position has a symbol, a quantity (shares), a cost and a mark; `marked_on` is the session of the
    mark's close. `value_micros` is the line's amount: a position's worth at its mark, else the total.
    """

    session: date
    item: Item
    symbol: str
    quantity: int
    cost_micros: int
    mark_micros: int
    marked_on: date | None
    value_micros: int
    currency: str


class Mark(NamedTuple):
    """Hold the price a position is valued at, micro-units, and the session it is the close of."""

    price_micros: int
    marked_on: date


class BookHistory(Protocol):
    """Give what a book was worth at the close of its settled sessions, and at what it was marked."""

    def equities_before(self, session: date) -> tuple[tuple[date, int], ...]:
        """Return (session, equity in micro-units) of the sessions before one, ascending."""
        ...

    def marks_after(self, session: date) -> Mapping[Symbol, Mark]:
        """Return the marks of what was held after a session; raises `LakeError` where it has no table."""
        ...


def book_rows(
    book: Book, *, session: date, marks: Mapping[Symbol, Mark] | None = None
) -> tuple[BookRow, ...]:
    """Return a book as rows: totals, then positions by symbol, then equity where marks are given.

    Raises `KeyError` where marks are given and a held symbol has none.
    """
    totals = {
        Item.CASH: book.cash_micros,
        Item.DEPOSITS: book.deposits_micros,
        Item.REALISED: book.realised_micros,
        Item.DIVIDENDS: book.dividends_micros,
        Item.COMMISSIONS: book.commissions_micros,
    }
    rows = [_total_row(session, item, micros, book.currency) for item, micros in totals.items()]
    for position in book.positions:
        mark = marks[position.symbol] if marks is not None else None
        rows.append(_position_row(session, position, mark, book.currency))
    if marks is not None:
        prices = {symbol: mark.price_micros for symbol, mark in marks.items()}
        rows.append(_total_row(session, Item.UNREALISED, unrealised_micros(book, prices), book.currency))
        rows.append(_total_row(session, Item.EQUITY, equity_micros(book, prices), book.currency))
    return tuple(rows)


def book_from_rows(rows: Iterable[BookRow]) -> Book:
    """Return the book that rows were made from; raises `KeyError` where a total is missing."""
    listed = list(rows)
    totals = {row.item: row.value_micros for row in listed if row.item is not Item.POSITION}
    return Book(
        currency=listed[0].currency,
        cash_micros=totals[Item.CASH],
        deposits_micros=totals[Item.DEPOSITS],
        realised_micros=totals[Item.REALISED],
        dividends_micros=totals[Item.DIVIDENDS],
        commissions_micros=totals[Item.COMMISSIONS],
        positions=tuple(
            Position(Symbol(row.symbol), row.quantity, row.cost_micros)
            for row in listed
            if row.item is Item.POSITION
        ),
    )


def opened_book(*, currency: str, deposit_micros: int) -> Book:
    """Return a new book that holds its deposit and nothing else."""
    if deposit_micros <= 0:
        raise ValueError(f"deposit {deposit_micros}: a book opens with a positive deposit")
    return Book(currency=currency, cash_micros=deposit_micros, deposits_micros=deposit_micros)


def book_from_payload(payload: Mapping[str, Any]) -> Book:
    """Return the book of a stored payload."""
    return Book(
        currency=payload["currency"],
        cash_micros=payload["cash_micros"],
        deposits_micros=payload["deposits_micros"],
        realised_micros=payload["realised_micros"],
        dividends_micros=payload["dividends_micros"],
        commissions_micros=payload["commissions_micros"],
        positions=tuple(Position(*row) for row in payload["positions"]),
    )


def with_fill(book: Book, fill: Fill) -> Book:
    """Return the book after one fill; see `with_fills`."""
    return with_fills(book, (fill,))


def with_fills(book: Book, fills: Iterable[Fill]) -> Book:
    """Return the book after fills, in the order given; see `with_trades`."""
    return with_trades(
        book,
        (
            (fill.symbol, fill.side, fill.quantity, fill.price_micros, fill.commission_micros)
            for fill in fills
        ),
    )


def with_trades(book: Book, trades: Iterable[Trade]) -> Book:
    """Return the book after trades, in the order given, at average cost.

    A sale takes floor(cost × sold / held) of the cost with it. Raises `Oversold` where one sells more
    than is held: this book is long only, and a sale never opens a short by accident.
    """
    # Numbers alone while trades are folded: a review folds all of a session's before each order.
    positions = {symbol: (quantity, cost_micros) for symbol, quantity, cost_micros in book.positions}
    cash, realised, commissions = book.cash_micros, book.realised_micros, book.commissions_micros
    for symbol, side, quantity, price_micros, commission_micros in trades:
        held, cost_micros = positions.get(symbol, (0, 0))
        notional = notional_micros(price_micros=price_micros, quantity=quantity)
        if side is Side.SELL and quantity > held:
            raise Oversold(symbol, sold=quantity, held=held)
        commissions += commission_micros
        cash -= commission_micros
        change = traded(1 if side is Side.BUY else -1, held, cost_micros, quantity, notional)
        cash += change.cash_micros
        realised += change.realised_micros
        positions[symbol] = (change.quantity, change.cost_micros)
    return replace(
        book,
        cash_micros=cash,
        realised_micros=realised,
        commissions_micros=commissions,
        positions=tuple(
            Position(symbol, *positions[symbol]) for symbol in sorted(positions) if positions[symbol][0] > 0
        ),
    )


class Change(NamedTuple):
    """Hold what one event makes of a position, and what it adds to the book's cash and realised gains.

    `quantity` (shares) and `cost_micros` are those after it.
    """

    quantity: int
    cost_micros: int
    cash_micros: int
    realised_micros: int


def traded(sign: int, held: int, cost_micros: int, quantity: int, notional_micros: int) -> Change:
    """Return what a trade of `quantity` shares makes of a position of `held`, commission apart.

    `sign` +1 buys, −1 sells, at average cost: a sale takes its part of the cost with it, rounded down. It
    sells at most what is held.
    """
    if sign > 0:
        return Change(held + quantity, cost_micros + notional_micros, -notional_micros, 0)
    cost_sold = part_of(cost_micros, quantity, held)
    return Change(held - quantity, cost_micros - cost_sold, notional_micros, notional_micros - cost_sold)


def split_shares(held: int, cost_micros: int, numerator: int, denominator: int, price_micros: int) -> Change:
    """Return what a split makes of a position: whole new shares, and a fraction's cash and cost.

    The fraction of a share that is left is paid at `price_micros`, the last close in new shares, and counts
    as sold.
    """
    quantity, rest = held * numerator // denominator, held * numerator % denominator
    if rest == 0:
        return Change(quantity, cost_micros, 0, 0)
    cash_in_lieu = price_micros * rest // denominator
    cost_of_rest = part_of(cost_micros, rest, held * numerator)
    return Change(quantity, cost_micros - cost_of_rest, cash_in_lieu, cash_in_lieu - cost_of_rest)


def part_of(amount: int, part: int, whole: int) -> int:
    """Return amount × part ÷ whole, rounded down, for a part of the whole; no product leaves 64 bits."""
    return amount // whole * part + amount % whole * part // whole


def book_at_open(
    book: Book, actions: Iterable[CorporateAction], *, last_close_micros: Mapping[Symbol, int]
) -> Book:
    """Return the book at a session's open: its opening book after the actions that take effect then.

    `last_close_micros` are the last closes in the *new* shares; a fraction of a share left by a split is
    paid in cash at it. Raises `ValueError` where a fraction has no price: value is never dropped.
    """
    for action in actions:
        held = next((p for p in book.positions if p.symbol == action.symbol), None)
        if held is None:
            continue
        match action.kind:
            case ActionKind.DIVIDEND:
                paid = notional_micros(price_micros=action.dividend_micros, quantity=held.quantity)
                book = replace(
                    book,
                    cash_micros=book.cash_micros + paid,
                    dividends_micros=book.dividends_micros + paid,
                )
            case ActionKind.SPLIT:
                book = _with_split(book, held, action, last_close_micros.get(action.symbol))
            case ActionKind.DELISTING:
                book = _cashed_out(book, held, action.dividend_micros)
    return book


def market_value_micros(book: Book, marks: Mapping[Symbol, int]) -> int:
    """Return the worth of all positions at marks; raises `KeyError` where a held symbol has no mark."""
    return sum(
        notional_micros(price_micros=marks[position.symbol], quantity=position.quantity)
        for position in book.positions
    )


def equity_micros(book: Book, marks: Mapping[Symbol, int]) -> int:
    """Return cash plus positions at marks, in micro-units."""
    return book.cash_micros + market_value_micros(book, marks)


def unrealised_micros(book: Book, marks: Mapping[Symbol, int]) -> int:
    """Return the worth of positions at marks less what they cost, in micro-units."""
    return market_value_micros(book, marks) - sum(position.cost_micros for position in book.positions)


def imbalance_micros(book: Book, marks: Mapping[Symbol, int]) -> int:
    """Return how far the book is from balancing; anything but 0 is a defect.

    cash + positions − (deposits + realised + unrealised + dividends − commissions).
    """
    owed = book.deposits_micros + book.realised_micros + book.dividends_micros - book.commissions_micros
    return equity_micros(book, marks) - owed - unrealised_micros(book, marks)


def _total_row(session: date, item: Item, micros: int, currency: str) -> BookRow:
    return BookRow(session, item, "", 0, 0, 0, None, micros, currency)


def _position_row(session: date, position: Position, mark: Mark | None, currency: str) -> BookRow:
    price = mark.price_micros if mark else 0
    return BookRow(
        session=session,
        item=Item.POSITION,
        symbol=position.symbol,
        quantity=position.quantity,
        cost_micros=position.cost_micros,
        mark_micros=price,
        marked_on=mark.marked_on if mark else None,
        value_micros=notional_micros(price_micros=price, quantity=position.quantity),
        currency=currency,
    )


def _with_split(book: Book, held: Position, action: CorporateAction, price_micros: int | None) -> Book:
    if price_micros is None and held.quantity * action.numerator % action.denominator:
        raise ValueError(
            f"{held.symbol} split {action.numerator}/{action.denominator} leaves a fraction: "
            "no close to pay it at"
        )
    change = split_shares(
        held.quantity, held.cost_micros, action.numerator, action.denominator, price_micros or 0
    )
    return replace(
        book,
        cash_micros=book.cash_micros + change.cash_micros,
        realised_micros=book.realised_micros + change.realised_micros,
        positions=_with_position(book.positions, Position(held.symbol, change.quantity, change.cost_micros)),
    )


def _cashed_out(book: Book, held: Position, price_micros: int) -> Book:
    """Return the book without a position, all of it paid at a price and nothing taken for it."""
    paid = notional_micros(price_micros=price_micros, quantity=held.quantity)
    change = traded(-1, held.quantity, held.cost_micros, held.quantity, paid)
    return replace(
        book,
        cash_micros=book.cash_micros + change.cash_micros,
        realised_micros=book.realised_micros + change.realised_micros,
        positions=_with_position(book.positions, Position(held.symbol, 0, 0)),
    )


def _with_position(positions: tuple[Position, ...], changed: Position) -> tuple[Position, ...]:
    others = [position for position in positions if position.symbol != changed.symbol]
    if changed.quantity > 0:
        others.append(changed)
    return tuple(sorted(others))
