"""Daily bars as they were traded (raw, unadjusted), and the window of them that a decision may see.

Which rows are fit to be quotes is quality.py; where they come from is resources/market_data/; where
they are kept is resources/lake.py. A decision gets a `Window` and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trading.actions import ActionKind, CorporateAction
from trading.datasets import DataFile
from trading.errors import LookAhead
from trading.sessions import index_of
from trading.values import Symbol, digest

Micros = NDArray[np.int64]
Floats = NDArray[np.float64]


class RawBar(NamedTuple):
    """Hold one row of a source as text, before anybody judged it. `line` counts from 1 in the source."""

    source: str
    line: int
    symbol: str
    session: str
    open: str
    high: str
    low: str
    close: str
    volume: str


class Quote(NamedTuple):
    """Hold one accepted daily bar, prices in micro-units of the currency, volume in shares.

    `known_at` is the UTC instant from which it could be known (its session's close); `source_sha` is
    the SHA-256 of the file or reply it came from.
    """

    symbol: Symbol
    session: date
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    volume: int
    source: str
    source_sha: str
    known_at: datetime
    released: bool = False


class Quarantined(NamedTuple):
    """Hold one row that may not reach a decision: what stood there, which rule it broke, how.

    `row_id` is a digest of source, line and content, and what a person names to release it. A gap (a
    session missing for one symbol or for all) has no content, `line` 0 and cannot be released.
    """

    row_id: str
    symbol: str
    session: date
    open: str
    high: str
    low: str
    close: str
    volume: str
    source: str
    line: int
    reason: str
    detail: str
    releasable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuotes:
    """Hold all that is known of one session: accepted, quarantined, and whether it is fit to decide on.

    `unfit_reason` is empty where the session is fit. `accepted` is sorted by symbol, `quarantined` by
    symbol, reason and line.
    """

    session: date
    accepted: tuple[Quote, ...]
    quarantined: tuple[Quarantined, ...]
    unfit_reason: str = ""


class MarketData(Protocol):
    """Give raw rows and corporate actions of one source. Raises `BadQuotes` where it cannot be read."""

    @property
    def name(self) -> str:
        """Return what the source is called."""
        ...

    def source_sha(self) -> str:
        """Return the SHA-256 of everything the source holds."""
        ...

    def files(self) -> tuple[DataFile, ...]:
        """Return the files that the source reads, by name."""
        ...

    def sessions(self) -> tuple[date, ...]:
        """Return the dates for which the source has at least one row, ascending."""
        ...

    def raw_bars(self, first: date, last: date) -> list[RawBar]:
        """Return the rows dated `first` to `last`, both included, and undated ones beside such rows."""
        ...

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return all corporate actions, ascending by session and symbol."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hold the last sessions before a decision, prices adjusted as of its open.

    All arrays are float64 of shape (sessions, symbols), read-only, NaN where a symbol has no quote;
    prices in currency units, volume in today's shares. Prices before a split are divided by its ratio,
    and by dividends on the way (1 − dividend / previous close), so that returns are total returns; only
    actions effective up to `session` are used. `close_micros` (int64, per symbol) is the last close in
    today's shares, unadjusted for dividends: what an order is sized on; 0 where there is none.
    `quoted_on` holds the session of that close. `inputs` are (session, content hash) of what was read.
    """

    session: date
    sessions: tuple[date, ...]
    symbols: tuple[Symbol, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    close_micros: Micros
    quoted_on: tuple[date | None, ...]
    inputs: tuple[tuple[str, str], ...] = ()
    unfit_reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a window that reaches its decision's session."""
        if self.sessions and self.sessions[-1] >= self.session:
            raise LookAhead(
                f"window of {self.session} reaches {self.sessions[-1]}: only earlier sessions are known"
            )

    def column(self, symbol: Symbol) -> int:
        """Return a symbol's column; raises `KeyError` where it is not in the window."""
        try:
            return self.symbols.index(symbol)
        except ValueError:
            raise KeyError(symbol) from None


class AcceptedQuotes(Protocol):
    """Give accepted quotes of stored sessions: for judging, marks and fills, never a decision."""

    def quotes_on(self, session: date) -> tuple[Quote, ...]:
        """Return the accepted quotes of one session."""
        ...

    def last_before(self, session: date, count: int) -> dict[Symbol, Quote]:
        """Return each symbol's last accepted quote in up to `count` sessions before one."""
        ...

    def has_all(self, sessions: Sequence[date]) -> bool:
        """Say whether every one of the sessions is stored."""
        ...

    def unfit_reason(self, session: date) -> str:
        """Return why a session is unfit to decide on, empty where it is fit."""
        ...

    def fallback_reason(self, session: date) -> str:
        """Return why a session's rows are not the first source's, empty where they are or none are stored."""
        ...


class LiveQuote(NamedTuple):
    """Hold a price that an order could be sent on, in micro-units, and the UTC instant it is of."""

    price_micros: int
    quoted_at: datetime


class LiveQuotes(Protocol):
    """Give the market as it is at a send; in a simulated market, the session's open."""

    def live_quote(self, symbol: Symbol, session: date) -> LiveQuote | None:
        """Return a symbol's live price, `None` where it has none."""
        ...


class WindowReader(Protocol):
    """Give the only way to quotes that a decision has."""

    def window_before(self, session: date, count: int) -> Window:
        """Return the adjusted window of up to `count` sessions before one; it refuses that one or later."""
        ...

    def quotes_before(self, session: date) -> tuple[Quote, ...]:
        """Return the accepted quotes of the last session before one, refused as its window would be."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Hold raw quotes of many sessions as int64 arrays of shape (sessions, symbols).

    Prices in micro-units, 0 where a symbol has no quote; sessions and symbols ascending. `unfit` says why
    sessions are unfit to decide on, by session; it may know of more than are here.
    """

    sessions: tuple[date, ...]
    symbols: tuple[Symbol, ...]
    open: Micros
    high: Micros
    low: Micros
    close: Micros
    volume: Micros
    unfit: Mapping[date, str] = field(default_factory=dict)

    @classmethod
    def from_sessions(cls, judged: Sequence[SessionQuotes]) -> Panel:
        """Return the panel of judged sessions, with why those are unfit that are."""
        panel = cls.from_quotes(
            [day.session for day in judged], [quote for day in judged for quote in day.accepted]
        )
        return replace(panel, unfit={day.session: day.unfit_reason for day in judged if day.unfit_reason})

    @classmethod
    def from_quotes(cls, sessions: Sequence[date], quotes: Iterable[Quote]) -> Panel:
        """Return the panel of quotes over sessions; raises `UnknownSession` for a quote outside them."""
        rows = list(quotes)
        symbols = tuple(sorted({quote.symbol for quote in rows}))
        column = {symbol: index for index, symbol in enumerate(symbols)}
        arrays = [np.zeros((len(sessions), len(symbols)), dtype=np.int64) for _ in range(5)]
        for quote in rows:
            at = index_of(sessions, quote.session), column[quote.symbol]
            for array, number in zip(arrays, quote[2:7], strict=True):
                array[at] = number
        for array in arrays:
            array.setflags(write=False)
        return cls(
            sessions=tuple(sessions),
            symbols=symbols,
            open=arrays[0],
            high=arrays[1],
            low=arrays[2],
            close=arrays[3],
            volume=arrays[4],
        )

    def window_before(
        self,
        session: date,
        count: int,
        *,
        actions: Iterable[CorporateAction],
        inputs: tuple[tuple[str, str], ...] = (),
    ) -> Window:
        """Return the adjusted window of up to `count` sessions strictly before one.

        It has the symbols quoted in those sessions only: that a name will be listed later is not known.
        """
        end = bisect_left(self.sessions, session)
        rows = slice(max(0, end - count), end)
        quoted = np.flatnonzero((self.close[rows] > 0).any(axis=0))
        earlier = Panel(
            sessions=self.sessions[rows],
            symbols=tuple(self.symbols[column] for column in quoted),
            open=self.open[rows, quoted],
            high=self.high[rows, quoted],
            low=self.low[rows, quoted],
            close=self.close[rows, quoted],
            volume=self.volume[rows, quoted],
        )
        unfit = self.unfit.get(earlier.sessions[-1], "") if earlier.sessions else ""
        return adjusted_window(earlier, session=session, actions=actions, inputs=inputs, unfit_reason=unfit)

    def quotes_on(self, session: date, *, known_at: datetime) -> tuple[Quote, ...]:
        """Return the quotes of one session, by symbol: for fills and marks, never for a decision."""
        row = index_of(self.sessions, session)
        fields = [array[row].tolist() for array in (self.open, self.high, self.low, self.close, self.volume)]
        return tuple(
            Quote(symbol, session, opened, high, low, close, volume, "panel", "", known_at)
            for symbol, opened, high, low, close, volume in zip(self.symbols, *fields, strict=True)
            if close > 0
        )


def adjusted_window(
    panel: Panel,
    *,
    session: date,
    actions: Iterable[CorporateAction],
    inputs: tuple[tuple[str, str], ...] = (),
    unfit_reason: str = "",
) -> Window:
    """Return a panel of earlier sessions as a window, adjusted as of the open of `session`.

    Raises `LookAhead` where the panel reaches `session`. Adjustment of a dividend uses the close before
    its ex-date (CRSP's method), never the ex-date's own.
    """
    if panel.sessions and panel.sessions[-1] >= session:
        raise LookAhead(f"panel for {session} reaches {panel.sessions[-1]}: only earlier sessions are known")
    by_symbol: dict[Symbol, list[CorporateAction]] = {}
    for action in actions:
        if panel.sessions and panel.sessions[0] < action.effective_on <= session:
            by_symbol.setdefault(action.symbol, []).append(action)
    shape = panel.close.shape
    price_factor = np.ones(shape)
    share_factor = np.ones(shape)
    last_close = np.zeros(shape[1], dtype=np.int64)
    quoted_on: list[date | None] = []
    for column, symbol in enumerate(panel.symbols):
        row = _last_row(panel.close[:, column])
        quoted_on.append(None if row is None else panel.sessions[row])
        if row is not None:
            last_close[column] = panel.close[row, column]
        for action in sorted(by_symbol.get(symbol, ())):  # one order, so one product of factors to the bit
            _adjust_for(action, panel, column, price_factor, share_factor)
            if (
                action.kind is ActionKind.SPLIT
                and row is not None
                and action.effective_on > panel.sessions[row]
            ):
                last_close[column] = split_price(
                    int(last_close[column]), action.numerator, action.denominator
                )
    known = panel.close > 0
    prices = [
        np.where(known, adjusted_price(field, price_factor), np.nan)
        for field in (panel.open, panel.high, panel.low, panel.close)
    ]
    volume = np.where(known, panel.volume * share_factor, np.nan)
    for array in (*prices, volume, last_close):
        array.setflags(write=False)
    return Window(
        session=session,
        sessions=panel.sessions,
        symbols=panel.symbols,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=volume,
        close_micros=last_close,
        quoted_on=tuple(quoted_on),
        inputs=inputs,
        unfit_reason=unfit_reason,
    )


def inputs_digest(inputs: Iterable[tuple[str, str]]) -> str:
    """Return one digest of everything read, from (what, content hash) pairs such as `Window.inputs`."""
    return digest([list(pair) for pair in inputs])


def split_price(price_micros: int, numerator: int, denominator: int) -> int:
    """Return an old share's price in new shares, `numerator` for `denominator` (ROUND_HALF_EVEN)."""
    quotient, rest = divmod(price_micros * denominator, numerator)
    if 2 * rest > numerator or (2 * rest == numerator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def adjusted_price(micros: Any, factor: Any) -> Any:
    """Return prices in currency units from micro-units, scaled for later actions; of numbers or arrays."""
    return micros / 1e6 * factor


def dividend_factor(dividend_micros: int, previous_close_micros: int) -> float:
    """Return what prices before a dividend are multiplied by; 1 where it is all of the close before it."""
    if dividend_micros >= previous_close_micros:
        return 1.0
    return 1 - dividend_micros / previous_close_micros


def _last_row(closes: Micros) -> int | None:
    rows = np.flatnonzero(closes)
    return int(rows[-1]) if rows.size else None


def _adjust_for(
    action: CorporateAction, panel: Panel, column: int, price_factor: Floats, share_factor: Floats
) -> None:
    """Scale the factors of the sessions before an action, in place."""
    before = bisect_left(panel.sessions, action.effective_on)
    if action.kind is ActionKind.SPLIT:
        ratio = action.numerator / action.denominator
        price_factor[:before, column] /= ratio
        share_factor[:before, column] *= ratio
        return
    if action.kind is ActionKind.DELISTING:
        return  # nothing that traded before it is worth more or less for it
    row = _last_row(panel.close[:before, column])
    if row is not None:
        previous_close = int(panel.close[row, column])
        price_factor[:before, column] *= dividend_factor(action.dividend_micros, previous_close)
