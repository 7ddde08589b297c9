"""The window reader: the only way to quotes that a decision has. It reads sessions before the decision's.

Beside it `LakeQuotes`, the quotes of one session by themselves: marks and the simulated market, never a
decision. What a window is, and how prices are adjusted, is trading/quotes.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resources.lake.codec import EPOCH, EPOCH_ORDINAL, MICROSECOND, require_schema, schema_of
from resources.lake.store import UNFIT_REASON, AssetPath, Lake, Pointer
from trading.actions import CorporateAction, actions_sha
from trading.errors import BadInput, LakeError, LookAhead, UnfitQuotes
from trading.quotes import Micros, Panel, Quote, Window, adjusted_window
from trading.sessions import Calendar
from trading.values import Symbol

MARKET_QUOTES = "market_quotes"
CORPORATE_ACTIONS = "corporate_actions"

_NUMBERS = ("open_micros", "high_micros", "low_micros", "close_micros", "volume")
_COLUMNS = ["symbol", "session", *_NUMBERS, "known_at"]


class LakeWindowReader:
    """Read windows of a book's accepted quotes; a `trading.quotes.WindowReader`.

    `starts_on` is the first session of the book's source: before it nothing can be missing. Without
    `actions` the book's own `corporate_actions` are read from the lake.
    Those used are digested among the inputs.
    """

    def __init__(
        self,
        *,
        lake: Lake,
        book: str,
        calendar: Calendar,
        starts_on: date,
        actions: Iterable[CorporateAction] | None = None,
    ) -> None:
        self._lake = lake
        self._book = book
        self._asset: AssetPath = (book, MARKET_QUOTES)
        self._calendar = calendar
        self._starts_on = starts_on
        self._actions = None if actions is None else tuple(actions)

    def window_before(self, session: date, count: int) -> Window:
        """Return the adjusted window of up to `count` sessions before one, fewer where the source starts.

        A session inside the window that was unfit is there with what was accepted of it. Raises
        `UnfitQuotes` where the last session before is missing or unfit, or an earlier one was never
        materialized; `LookAhead` where a file holds a quote of `session` or later, or one that was not
        known at its open; `LakeError` where a file is missing, altered or corrupt.
        """
        self._calendar.require(session)
        if count < 1:
            raise BadInput(f"window of {count} sessions before {session}: at least 1")
        pointers = self._pointers_before(session, count)
        # Only those that the window is adjusted by: a later one changes nothing of an earlier decision.
        first = next(iter(pointers))
        actions = [action for action in self._actions_known() if first < action.effective_on <= session]
        panel = self._panel(session, pointers)
        read = tuple((day.isoformat(), pointer.sha) for day, pointer in pointers.items())
        inputs = (*read, (CORPORATE_ACTIONS, actions_sha(actions)))
        return adjusted_window(panel, session=session, actions=actions, inputs=inputs)

    def quotes_before(self, session: date) -> tuple[Quote, ...]:
        """Return the accepted quotes of the last session before one, by symbol; raises as `window_before`."""
        self._calendar.require(session)
        pointers = self._pointers_before(session, 1)
        self._panel(session, pointers)
        day = next(iter(pointers))
        return self._lake.read_rows(self._asset, day.isoformat(), Quote)[0]

    def _pointers_before(self, session: date, count: int) -> dict[date, Pointer]:
        days = [day for day in self._calendar.before(session, count) if day >= self._starts_on]
        if not days:
            raise UnfitQuotes(
                f"{self._book}: no quotes before {session}: the source starts {self._starts_on}; "
                "decide a later session"
            )
        pointers = {day: self._lake.pointer(self._asset, day.isoformat()) for day in days}
        last = pointers[days[-1]]
        cure = f"run `{_import_command(self._book, days[-1])}`"
        if last is None:
            raise UnfitQuotes(
                f"{self._book}: quotes of {days[-1]}, the last session before {session}, "
                f"are not in the lake; {cure}"
            )
        if last.extra.get(UNFIT_REASON):
            raise UnfitQuotes(
                f"{self._book}: quotes of {days[-1]}, the last session before {session}, "
                f"are unfit: {last.extra[UNFIT_REASON]}"
            )
        found = {day: pointer for day, pointer in pointers.items() if pointer is not None}
        if len(found) < len(days):
            missing = [day for day in days if day not in found]
            raise UnfitQuotes(
                f"{self._book}: quotes of {len(missing)} of the {len(days)} sessions before {session} "
                f"are not in the lake, the first of {missing[0]}; {cure}"
            )
        return found

    def _actions_known(self) -> tuple[CorporateAction, ...]:
        if self._actions is not None:
            return self._actions
        actions, _ = self._lake.read_rows((self._book, CORPORATE_ACTIONS), None, CorporateAction)
        return actions

    def _panel(self, session: date, pointers: Mapping[date, Pointer]) -> Panel:
        tables = {
            day: self._lake.table(self._asset, day.isoformat(), pointer.sha, columns=_COLUMNS)
            for day, pointer in pointers.items()
        }
        for day, table in tables.items():
            if not table.schema.equals(_SCHEMA):
                _refuse_schema(self._lake, self._asset, day, pointers[day])
        quotes = pa.concat_tables(tables.values()).combine_chunks()
        row_of = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables.values()])
        days = tuple(tables)
        self._refuse_other_sessions(session, days, quotes, row_of)
        self._refuse_unknown_yet(session, quotes)
        return _panel_of(days, quotes, row_of)

    def _refuse_other_sessions(
        self, session: date, days: tuple[date, ...], quotes: pa.Table, row_of: NDArray[np.int64]
    ) -> None:
        """Refuse a file that holds quotes of another session than its name says."""
        held = _numbers(quotes, "session")
        named = np.array([day.toordinal() - EPOCH_ORDINAL for day in days])[row_of]
        (wrong,) = np.nonzero(held != named)
        if not wrong.size:
            return
        day = days[row_of[wrong[0]]]
        found = date.fromordinal(int(held[wrong].max()) + EPOCH_ORDINAL)
        told = f"{self._book}: the quotes stored for {day} hold one of {found}"
        if found >= session:
            raise LookAhead(f"{told}: a decision for {session} reads earlier sessions only")
        raise LakeError(f"{told}; run `{_import_command(self._book, day)}` again")

    def _refuse_unknown_yet(self, session: date, quotes: pa.Table) -> None:
        """Refuse quotes that could not be known when the decision's session opened."""
        opens_at = self._calendar.opens_at(session)
        known = _numbers(quotes, "known_at")
        if known.size and int(known.max()) > (opens_at - EPOCH) // MICROSECOND:
            at = EPOCH + int(known.max()) * MICROSECOND
            raise LookAhead(
                f"{self._book}: a quote before {session} was known at {at.isoformat()} only: "
                f"a decision knows what was known by its open, {opens_at.isoformat()}"
            )


class LakeQuotes:
    """Read the accepted quotes of one session of a book, whatever session: for marks and simulated fills."""

    def __init__(self, *, lake: Lake, book: str) -> None:
        self._lake = lake
        self._book = book

    def quotes_on(self, session: date) -> tuple[Quote, ...]:
        """Return the accepted quotes of a session, by symbol; raises `LakeError` where none are stored."""
        asset = (self._book, MARKET_QUOTES)
        if self._lake.pointer(asset, session.isoformat()) is None:
            raise LakeError(
                f"{self._book}: quotes of {session} are not in the lake; "
                f"run `{_import_command(self._book, session)}`"
            )
        quotes, _ = self._lake.read_rows(asset, session.isoformat(), Quote)
        for quote in quotes:
            if quote.session != session:
                raise LakeError(
                    f"{self._book}: the quotes stored for {session} hold one of {quote.session}; "
                    f"run `{_import_command(self._book, session)}` again"
                )
        return quotes


_SCHEMA = pa.schema([schema_of(Quote).field(name) for name in _COLUMNS])


def _panel_of(days: tuple[date, ...], quotes: pa.Table, row_of: NDArray[np.int64]) -> Panel:
    """Return quotes as a panel, `row_of` saying in which row of it each quote goes."""
    encoded = quotes.column("symbol").combine_chunks().dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    symbols = tuple(sorted(names))
    place = {symbol: index for index, symbol in enumerate(symbols)}
    column_of = np.array([place[name] for name in names], dtype=np.int64)[np.from_dlpack(encoded.indices)]

    def spread(name: str) -> Micros:
        numbers = np.zeros((len(days), len(symbols)), dtype=np.int64)
        numbers[row_of, column_of] = _numbers(quotes, name)
        numbers.setflags(write=False)
        return numbers

    opens, highs, lows, closes, volumes = (spread(name) for name in _NUMBERS)
    return Panel(
        sessions=days,
        symbols=tuple(Symbol(symbol) for symbol in symbols),
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volumes,
    )


def _numbers(quotes: pa.Table, name: str) -> Micros:
    """Return a column as int64: prices in micro-units, dates and times in days and µs since the epoch."""
    column = quotes.column(name)
    plain = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    return np.from_dlpack(plain.cast(pa.int64()).combine_chunks()).astype(np.int64, copy=False)


def _refuse_schema(lake: Lake, asset: AssetPath, day: date, pointer: Pointer) -> None:
    """Raise `LakeError` with the column that differs, which the part of it that was read may not show."""
    try:
        require_schema(Quote, lake.table(asset, day.isoformat(), pointer.sha).schema)
    except LakeError as error:
        raise LakeError(
            f"{'/'.join(asset)} {day}: {error}; run `{_import_command(asset[0], day)}` again"
        ) from error


def _import_command(book: str, through: date) -> str:
    return f"trading quotes import --book {book} --through {through}"
