"""What is in the lake already: accepted quotes, earlier closes, a broker's word, corporate actions, lineage.

For judging new rows, marks, simulated fills and reports; a decision reads through window.py alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from resources.lake.store import Lake
from resources.lake.window import MARKET_QUOTES, LakeQuotes
from trading.actions import CorporateAction
from trading.broker_positions import BrokerPositionRow
from trading.errors import LakeError
from trading.inputs import InputRow
from trading.positions import BookRow, Item, Mark
from trading.quotes import Quote
from trading.reporting import Lineage
from trading.sessions import Calendar
from trading.values import Symbol


class LakeAcceptedQuotes:
    """Read a book's accepted quotes of any session; a `trading.quotes.AcceptedQuotes`."""

    def __init__(self, *, lake: Lake, book: str, calendar: Calendar) -> None:
        """Read the lake's current tables of one book."""
        self._lake = lake
        self._asset = (book, MARKET_QUOTES)
        self._calendar = calendar
        self._quotes = LakeQuotes(lake=lake, book=book)

    def quotes_on(self, session: date) -> tuple[Quote, ...]:
        """Return the accepted quotes of a session, by symbol; raises `LakeError` where none were stored."""
        return self._quotes.quotes_on(session)

    def last_before(self, session: date, count: int) -> dict[Symbol, Quote]:
        """Return each symbol's last accepted quote in up to `count` sessions before one, stored ones only."""
        latest: dict[Symbol, Quote] = {}
        for day in self._calendar.before(session, count):
            if self._lake.pointer(self._asset, day.isoformat()) is not None:
                latest |= {quote.symbol: quote for quote in self._quotes.quotes_on(day)}
        return latest

    def has_all(self, sessions: Sequence[date]) -> bool:
        """Say whether every one of the sessions is stored."""
        stored = set(self._lake.partitions(self._asset))
        return all(session.isoformat() in stored for session in sessions)

    def unfit_reason(self, session: date) -> str:
        """Return why a session is unfit to decide on; empty where it is fit. Raises `LakeError` unstored."""
        return self._lake.require(self._asset, session.isoformat()).extra.get("unfit_reason", "")

    def fallback_reason(self, session: date) -> str:
        """Return why a session's rows are not the first source's; empty where they are or none are stored."""
        pointer = self._lake.pointer(self._asset, session.isoformat())
        return "" if pointer is None else pointer.extra.get("fallback_reason", "")


class LakeBookHistory:
    """Read what a book was worth from its positions; a `trading.positions.BookHistory`."""

    def __init__(self, *, lake: Lake, book: str) -> None:
        """Read the lake's current tables of one book."""
        self._lake = lake
        self._asset = (book, "positions")

    def equities_before(self, session: date) -> tuple[tuple[date, int], ...]:
        """Return (session, equity in micro-units) of the sessions before one, ascending."""
        found = []
        for partition in self._lake.partitions(self._asset):
            day = date.fromisoformat(partition)
            if day < session:
                pointer = self._lake.require(self._asset, partition)
                found.append((day, int(pointer.extra["equity_micros"])))
        return tuple(found)

    def marks_after(self, session: date) -> dict[Symbol, Mark]:
        """Return the marks of what was held after a session; raises `LakeError` where it has no table."""
        rows, _ = self._lake.read_rows(self._asset, session.isoformat(), BookRow)
        return {
            Symbol(row.symbol): Mark(row.mark_micros, row.marked_on)
            for row in rows
            if row.item is Item.POSITION and row.marked_on is not None
        }


class LakeBrokerHistory:
    """Read what a broker said when sessions were settled; a `trading.broker_positions.BrokerHistory`."""

    def __init__(self, *, lake: Lake, book: str) -> None:
        """Read the lake's current tables of one book."""
        self._lake = lake
        self._asset = (book, "broker_positions")

    def broker_positions_of(self, session: date) -> tuple[BrokerPositionRow, ...] | None:
        """Return the rows stored for a session, `None` where there are none."""
        if self._lake.pointer(self._asset, session.isoformat()) is None:
            return None
        rows, _ = self._lake.read_rows(self._asset, session.isoformat(), BrokerPositionRow)
        return rows


class LakeInputHistory:
    """Read what was hydrated for the sessions of a book; a `trading.inputs.InputHistory`."""

    def __init__(self, *, lake: Lake, book: str) -> None:
        """Read the lake's current tables of one book."""
        self._lake = lake
        self._asset = (book, "input_envelopes")

    def inputs_of(self, session: date) -> tuple[InputRow, ...] | None:
        """Return the rows stored for a session, `None` where there are none."""
        if self._lake.pointer(self._asset, session.isoformat()) is None:
            return None
        rows, _ = self._lake.read_rows(self._asset, session.isoformat(), InputRow)
        return rows


class LakeActions:
    """Read a book's corporate actions; a `trading.actions.ActionHistory`."""

    def __init__(self, *, lake: Lake, book: str) -> None:
        """Read the lake's current table of one book."""
        self._lake = lake
        self._asset = (book, "corporate_actions")

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return all of them; raises `LakeError` where none were ever imported."""
        rows, _ = self._lake.read_rows(self._asset, None, CorporateAction)
        return rows


class LakeLineage:
    """Name the content of every stored table of a session, in the order of the flow."""

    def __init__(self, *, lake: Lake, assets: Sequence[str]) -> None:
        """Look at the assets named."""
        self._lake = lake
        self._assets = tuple(assets)

    def lineage(self, book: str, session: date) -> tuple[Lineage, ...]:
        """Return asset, partition and content hash; a table that does not exist is left out."""
        rows = []
        for asset in self._assets:
            dated = self._lake.pointer((book, asset), session.isoformat())
            pointer = dated or self._lake.pointer((book, asset), None)
            if pointer is not None:
                rows.append(Lineage(asset, session.isoformat() if dated else "", pointer.sha))
        return tuple(rows)

    def is_made(self, book: str, asset: str, partition: str) -> bool:
        """Say whether a table of a session, or of a week, is stored and can be found."""
        try:
            return self._lake.pointer((book, asset), partition) is not None
        except LakeError:
            # A pointer that nobody can read leads to no table; whoever asks has to be told, not stopped.
            return False

    def inputs_of(self, book: str, asset: str, session: date) -> str:
        """Return the digest of what a table was made from, empty where there is none."""
        pointer = self._lake.pointer((book, asset), session.isoformat())
        return pointer.inputs_sha if pointer is not None else ""
