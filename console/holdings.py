"""What a book holds after a session: cash, and each position at cost and at its mark.

Shares, cost and cash are the journal's; marks come from the session's report and are missing until then. What
was filled in a session that is not settled yet stands beside it: holdings follow at settlement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.reports import equity_at_close, marks_of
from trading.errors import UnknownId
from trading.journal import SessionRecord
from trading.orders import Fill
from trading.values import notional_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Hold one position. Money in micro-units; mark, worth and gain are `None` where there is no mark."""

    symbol: str
    quantity: int
    cost_micros: int
    mark_micros: int | None
    value_micros: int | None
    unrealised_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """Hold what was filled of a symbol on one side in the session that is open, at its average price."""

    side: str
    symbol: str
    quantity: int
    average_price_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Hold a book after `session`, `None` where none is settled yet: then it holds its deposit.

    `unsettled` is the session that is open since, `filled` what it has traded so far: neither cash nor
    positions have that in them before its settlement.
    """

    book: str
    session: date | None
    currency: str
    cash_micros: int
    realised_micros: int
    dividends_micros: int
    commissions_micros: int
    equity_micros: int | None
    positions: tuple[Held, ...]
    unsettled: date | None = None
    filled: tuple[Traded, ...] = ()


def holdings_of(desk: Desk, book: BookOutline, session: date | None = None) -> Holdings:
    """Return a book after a session, by default the latest settled one.

    Raises `UnknownId` for a session that is not settled.
    """
    record = _settled(desk, book, session)
    unsettled = _unsettled(desk, book) if session is None else None
    filled = _traded(desk, book, unsettled) if unsettled else ()
    if record is None or record.closing is None:
        return Holdings(
            book=book.name,
            session=None,
            currency=book.currency,
            cash_micros=book.deposit_micros,
            realised_micros=0,
            dividends_micros=0,
            commissions_micros=0,
            equity_micros=None,
            positions=(),
            unsettled=unsettled,
            filled=filled,
        )
    marks = marks_of(desk, book, record.session)
    return Holdings(
        book=book.name,
        session=record.session,
        currency=record.closing.currency,
        cash_micros=record.closing.cash_micros,
        realised_micros=record.closing.realised_micros,
        dividends_micros=record.closing.dividends_micros,
        commissions_micros=record.closing.commissions_micros,
        equity_micros=equity_at_close(desk, book, record.session),
        positions=tuple(
            _held(row.symbol, row.quantity, row.cost_micros, marks.get(row.symbol))
            for row in record.closing.positions
        ),
        unsettled=unsettled,
        filled=filled,
    )


def _unsettled(desk: Desk, book: BookOutline) -> date | None:
    """Return the session of a book that is open, `None` where its latest one is settled."""
    latest = desk.latest(book)
    return latest.session if latest is not None and latest.settled_at is None else None


def _traded(desk: Desk, book: BookOutline, session: date) -> tuple[Traded, ...]:
    """Return what a session has traded so far by its journal, in the order first filled."""
    fills: dict[tuple[str, str], list[Fill]] = {}
    for fill in desk.journal.fills(book=book.name, lane=desk.lane, session=session):
        fills.setdefault((fill.side.value, fill.symbol), []).append(fill)
    return tuple(
        Traded(
            side=side,
            symbol=symbol,
            quantity=(quantity := sum(fill.quantity for fill in found)),
            average_price_micros=sum(fill.notional_micros for fill in found) // quantity,
        )
        for (side, symbol), found in fills.items()
    )


def _held(symbol: str, quantity: int, cost_micros: int, mark_micros: int | None) -> Held:
    value = None if mark_micros is None else notional_micros(price_micros=mark_micros, quantity=quantity)
    return Held(
        symbol=symbol,
        quantity=quantity,
        cost_micros=cost_micros,
        mark_micros=mark_micros,
        value_micros=value,
        unrealised_micros=None if value is None else value - cost_micros,
    )


def _settled(desk: Desk, book: BookOutline, session: date | None) -> SessionRecord | None:
    if session is None:
        return desk.journal.last_settled(book=book.name, lane=desk.lane)
    record = desk.journal.session_record(book=book.name, lane=desk.lane, session=session)
    if record is None or record.closing is None:
        raise UnknownId(
            f"{book.name} {session}: not settled, so nothing is held after it yet; "
            f"`trading status --book {book.name}` says how far it is"
        )
    return record
