"""Market Data v2: daily bars downloaded into a folder that a book reads, and the latest quotes of the market.

Bars are raw, as they were traded; splits and dividends come beside them. What is downloaded is kept as text,
row by row, so that a malformed one is quarantined like any other source's and a data set stays what it was.
The free feed sees one exchange, a few percent of the volume: which feed it was stands in each quote's source.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from resources.alpaca_markets.questions import Questions, fault_of
from resources.alpaca_markets.wire import LatestQuotes, LatestTrades, Micros, Name, Ratio
from resources.market_data.alpaca_bars import DOWNLOADS_FILE, Feed, downloads_in
from resources.market_data.bar_folder import ACTION_COLUMNS, ACTIONS_FILE, BarFolder
from trading.actions import ActionKind, CorporateAction
from trading.brokers import BrokerQuote
from trading.errors import BadInput, BadQuotes, BrokerUnavailable
from trading.quotes import LiveQuote
from trading.sessions import Calendar
from trading.values import Symbol, digest

BARS_PAGE = 10_000
ACTIONS_PAGE = 1_000
SYMBOLS_IN_A_CALL = 100
"""Symbols of one question: more would make an address longer than servers take."""

SYMBOLS_SHA = "symbols_sha"
"""The key of a download's record that says which symbols were asked for."""

A_DAY = timedelta(days=1)

PAID_WITHIN = timedelta(days=120)
"""How long after its ex-date an action may be processed: a dividend is on the day that it is paid.

Alpaca lists actions by that day, and a holder's book has them on the ex-date.
"""

COLUMNS = ("symbol", "date", "open", "high", "low", "close", "volume")

_NEW_YORK = ZoneInfo("America/New_York")
PAST_MIDNIGHT = timedelta(hours=1)
"""How long after the last session's midnight a question for bars ends, whether its end counts or not."""

_FIELDS = ("t", "o", "h", "l", "c", "v")

_DAYS = ("ex_date", "effective_date", "process_date")
"""What an action's day may be called, the first that it has."""


class Download(NamedTuple):
    """Hold what one download was: of which feed, how many rows, and actions of kinds that a book cannot take.

    Somebody has to look at `other_actions` (a merger, a spin-off): nothing here applies them. `without_bars`
    are the symbols of which no row came: not traded then, or not known there.
    """

    first: date
    last: date
    feed: Feed
    symbols: int
    rows: int
    actions: int
    other_actions: tuple[str, ...]
    without_bars: tuple[str, ...]


class AlpacaQuotes:
    """Give the latest price of the feed; a `trading.quotes.LiveQuotes`."""

    def __init__(self, questions: Questions, *, feed: Feed, clock: Callable[[], datetime]) -> None:
        self._questions = questions
        self._feed = feed
        self._clock = clock

    def live_quote(self, symbol: Symbol, session: date) -> LiveQuote | None:  # noqa: ARG002 - the port's; the market has one now
        """Return the middle of bid and ask where both are there, else the last trade; `None` for neither.

        The middle is rounded down to the micro-unit. Nothing is said where the market cannot be asked: the
        guard of present quotes then holds the order.
        """
        try:
            quote = latest_quote(self._questions, symbol, feed=self._feed, now=self._clock())
        except BrokerUnavailable:
            return None
        if quote is None:
            return None
        if quote.bid_micros is not None and quote.ask_micros is not None:
            return LiveQuote((quote.bid_micros + quote.ask_micros) // 2, quote.quoted_at)
        return None if quote.last_micros is None else LiveQuote(quote.last_micros, quote.quoted_at)


def latest_quote(questions: Questions, symbol: Symbol, *, feed: Feed, now: datetime) -> BrokerQuote | None:
    """Return bid, ask and last trade; raises `BrokerUnavailable`.

    It is as old as what a price is made of: the quote where that has two sides, else the trade.
    """
    asked = {"symbols": symbol, "feed": feed.value}
    quotes = questions.one(LatestQuotes, "quotes.latest", "/v2/stocks/quotes/latest", asked, now=now)
    trades = questions.one(LatestTrades, "trades.latest", "/v2/stocks/trades/latest", asked, now=now)
    quote = None if quotes is None else quotes.quotes.get(symbol)
    trade = None if trades is None else trades.trades.get(symbol)
    if quote is None and trade is None:
        return None
    if quote is not None and quote.bp > quote.ap > 0:
        # A crossed market is no price; the trade, if there was one, is.
        quote = None
    is_two_sided = quote is not None and quote.bp > 0 and quote.ap > 0
    of = quote if is_two_sided or trade is None else trade
    if of is None:
        return None
    return BrokerQuote(
        symbol=symbol,
        bid_micros=(quote.bp or None) if quote else None,
        ask_micros=(quote.ap or None) if quote else None,
        last_micros=(trade.p or None) if trade else None,
        quoted_at=of.t.astimezone(UTC),
    )


def download_bars(
    questions: Questions,
    folder: Path,
    *,
    symbols: Collection[Symbol],
    first: date,
    last: date,
    feed: Feed,
    calendar: Calendar,
    now: datetime,
) -> Download:
    """Download the bars and actions of symbols from `first` to `last` (both included) into a folder.

    Whole or not at all, and never further than bars were told: sessions at the end without any bar do not
    count as downloaded, and are asked for again. Raises `BadInput` while the last session is still open or
    nothing is asked for, `BrokerUnavailable` where a page is missing, `BadQuotes` where the folder has other
    rows of the same days.
    """
    calendar.require(last)
    if now < calendar.closes_at(last):
        raise BadInput(f"bars of {last}: the session is still open, its bar would be half a bar")
    if not symbols or first > last:
        raise BadInput(f"bars of {len(symbols)} symbols from {first} to {last}: nothing to download")
    asked = _Asked(first, last, feed, now)
    rows = [row for group in _groups(symbols) for row in _rows_of(questions, group, asked)]
    told_until = _told_until(rows, calendar.between(first, last))
    asked = asked._replace(last=told_until or last)
    actions, others = _actions_of(questions, symbols, asked)
    without = tuple(sorted(set(symbols) - {row[0] for row in rows}))
    download = Download(
        first, asked.last, feed, len(set(symbols)), len(rows), len(actions), tuple(sorted(others)), without
    )
    if told_until is None:
        return download
    _keep(folder, rows, actions, _record(download, symbols=symbols, now=now))
    return download


def days_left(
    folder: Path,
    *,
    symbols: Collection[Symbol],
    first: date,
    last: date,
    feed: Feed,
    calendar: Calendar,
) -> list[tuple[date, date]]:
    """Return the days from `first` to `last` that are not downloaded yet, as ranges of a year at most.

    Each ends with a session, and the next begins on the day after. Raises `BadInput` where the folder has
    downloads of other symbols or of another feed: a book's bars are all of one list and one feed.
    """
    covered: list[tuple[date, date]] = []
    for one in downloads_in(folder):
        if one["feed"] != feed.value:
            raise BadInput(
                f"{folder}: has bars of feed {one['feed']}; download {feed.value} into another folder"
            )
        if one.get(SYMBOLS_SHA) != _symbols_sha(symbols):
            raise BadInput(
                f"{folder}: has bars of other symbols, {one['first']} to {one['last']}; "
                "name the same ones, or another folder"
            )
        covered.append((date.fromisoformat(one["first"]), date.fromisoformat(one["last"])))
    ranges: list[tuple[date, date]] = []
    begins = first
    for session in calendar.between(first, last):
        if any(start <= session <= end for start, end in covered):
            begins = session + A_DAY
        elif ranges and ranges[-1][1] + A_DAY == begins and ranges[-1][1].year == session.year:
            ranges[-1] = (ranges[-1][0], session)
            begins = session + A_DAY
        else:
            ranges.append((begins, session))
            begins = session + A_DAY
    return ranges


class _Asked(NamedTuple):
    """Hold the days that are asked for, of which feed, and when."""

    first: date
    last: date
    feed: Feed
    now: datetime

    def has(self, row: Mapping[str, Any]) -> bool:
        """Say whether an action that no book takes is of these days; one that tells no day may be."""
        told = next((row[name] for name in _DAYS if row.get(name)), "")
        return not told or self.first.isoformat() <= str(told) <= self.last.isoformat()


def _rows_of(questions: Questions, symbols: Collection[Symbol], asked: _Asked) -> Iterator[tuple[str, ...]]:
    parameters = {
        "symbols": ",".join(symbols),
        "timeframe": "1Day",
        # Instants, since nobody states of which zone a date is; a bar is of its exchange's midnight.
        "start": _midnight(asked.first).isoformat(),
        "end": (_midnight(asked.last) + PAST_MIDNIGHT).isoformat(),
        "limit": str(BARS_PAGE),
        "adjustment": "raw",
        "feed": asked.feed.value,
        # Names as they were on the last day asked for, so that the same question has one answer for good.
        "asof": asked.last.isoformat(),
    }
    for page in questions.pages("bars", "/v2/stocks/bars", parameters, now=asked.now):
        bars = page.get("bars")
        if not isinstance(bars, dict):
            raise BrokerUnavailable("unreadable_reply: a page without bars")
        for symbol, listed in bars.items():
            for bar in listed if isinstance(listed, list) else [listed]:
                yield _row(symbol, bar)


def _told_until(rows: Collection[tuple[str, ...]], sessions: Collection[date]) -> date | None:
    """Return the last session that a row is of, `None` where no row is: a day without bars may yet come.

    A row that is of no session is not let go of, it is the quarantine's: with such rows alone it is the last.
    """
    days = {row[1] for row in rows}
    told = [session for session in sessions if session.isoformat() in days]
    return max(told or sessions, default=None) if rows else None


def _midnight(on: date) -> datetime:
    return datetime.combine(on, time.min, tzinfo=_NEW_YORK)


def _row(symbol: str, bar: Any) -> tuple[str, ...]:
    """Return a bar as text, a malformed one as it stands: what is wrong with it the quarantine says."""
    if not isinstance(bar, dict):
        return (symbol, _text(bar), "", "", "", "", "")
    told, *numbers = (_text(bar.get(name)) for name in _FIELDS)
    return (symbol, _session_text(told), *numbers)


def _session_text(told: str) -> str:
    """Return the exchange's date of a bar's beginning; text that is no instant stays as it is."""
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return told
    return told if at.tzinfo is None else at.astimezone(_NEW_YORK).date().isoformat()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}" if abs(value.adjusted()) < 40 else str(value)  # noqa: PLR2004 - digits written out
    return value if isinstance(value, str) else json.dumps(value, default=str)


class _SplitOnAlpaca(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    symbol: Name
    ex_date: date
    new_rate: Ratio
    old_rate: Ratio

    def action(self) -> CorporateAction:
        ratio = Fraction(self.new_rate) / Fraction(self.old_rate)
        return CorporateAction(
            effective_on=self.ex_date,
            symbol=Symbol(self.symbol),
            kind=ActionKind.SPLIT,
            numerator=ratio.numerator,
            denominator=ratio.denominator,
        )


class _DividendOnAlpaca(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    symbol: Name
    ex_date: date
    rate: Micros
    """What a share is paid, exact to the micro-unit: one that is finer is refused, never rounded."""

    def action(self) -> CorporateAction:
        return CorporateAction(
            effective_on=self.ex_date,
            symbol=Symbol(self.symbol),
            kind=ActionKind.DIVIDEND,
            dividend_micros=self.rate,
        )


_ACTIONS: Mapping[str, type[_SplitOnAlpaca | _DividendOnAlpaca]] = {
    "forward_splits": _SplitOnAlpaca,
    "reverse_splits": _SplitOnAlpaca,
    "cash_dividends": _DividendOnAlpaca,
}


def _actions_of(
    questions: Questions, symbols: Collection[Symbol], asked: _Asked
) -> tuple[list[CorporateAction], list[str]]:
    """Return the actions of the days asked for that a book can take, and a name for each that it cannot."""
    actions: set[CorporateAction] = set()
    others: list[str] = []
    for group in _groups(symbols):
        parameters = {
            "symbols": ",".join(group),
            "start": asked.first.isoformat(),
            "end": (asked.last + PAID_WITHIN).isoformat(),
            "limit": str(ACTIONS_PAGE),
        }
        for page in questions.pages("corporate_actions", "/v1/corporate-actions", parameters, now=asked.now):
            listed = page.get("corporate_actions")
            if not isinstance(listed, dict):
                raise BrokerUnavailable("unreadable_reply: a page without corporate actions")
            for kind, rows in listed.items():
                for row in _records(kind, rows):
                    if kind in _ACTIONS:
                        action = _action(kind, row)
                        if asked.first <= action.effective_on <= asked.last:
                            actions.add(action)
                    elif asked.has(row):
                        others.append(f"{kind} {row.get('symbol') or row.get('old_symbol') or ''}".strip())
    return sorted(actions), others


def _records(kind: str, rows: Any) -> list[dict[str, Any]]:
    """Return the actions of one kind; raises `BrokerUnavailable` for what is no list of records."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BrokerUnavailable(f"unreadable_reply: {kind[:40]}: no list of corporate actions")
    return rows


def _action(kind: str, row: Any) -> CorporateAction:
    """Return one action; raises `BrokerUnavailable`: one that is left out makes a wrong book."""
    try:
        return _ACTIONS[kind].model_validate(row).action()
    except ValidationError as error:
        raise BrokerUnavailable(f"unreadable_reply: {kind}: {fault_of(error)}") from error
    except (ValueError, ZeroDivisionError, ArithmeticError) as error:
        raise BrokerUnavailable(f"unreadable_reply: {kind}: {error}") from error


def _groups(symbols: Collection[Symbol]) -> Iterator[list[Symbol]]:
    ordered = sorted(set(symbols))
    for first in range(0, len(ordered), SYMBOLS_IN_A_CALL):
        yield ordered[first : first + SYMBOLS_IN_A_CALL]


# ----------------------------------------------------------------------------------- the folder


def _keep(
    folder: Path,
    rows: list[tuple[str, ...]],
    actions: Collection[CorporateAction],
    record: Mapping[str, Any],
) -> None:
    """Write a download beside the earlier ones: its bars, all actions, and last the list of downloads."""
    folder.mkdir(parents=True, exist_ok=True)
    days = record["first"], record["last"]
    bars = folder / "bars_{}_{}.csv".format(*days)
    content = _csv(COLUMNS, rows)
    of_feed = [one for one in downloads_in(folder) if one["feed"] == record["feed"]]
    other_days = (one for one in of_feed if (one["first"], one["last"]) != days)
    # The same days with fewer at the end are other days by name: they would stand in two files.
    is_over_another = any(one["first"] <= days[1] and days[0] <= one["last"] for one in other_days)
    if is_over_another or (bars.exists() and bars.read_text(encoding="utf-8") != content):
        raise BadQuotes(
            f"{bars}: the same days were downloaded before with other rows; keep it, and look at what changed"
        )
    known = set(BarFolder(folder).actions()) if (folder / ACTIONS_FILE).exists() else set()
    told = [_action_cells(action) for action in sorted(known | set(actions))]
    kept = [one for one in downloads_in(folder) if (one["first"], one["last"]) != days]
    if rows:
        _write(bars, content)
    _write(folder / ACTIONS_FILE, _csv(ACTION_COLUMNS, told))
    _write(folder / DOWNLOADS_FILE, json.dumps([*kept, record], indent=2) + "\n")


def _record(download: Download, *, symbols: Collection[Symbol], now: datetime) -> dict[str, Any]:
    """Return what is written down of a download."""
    return {
        "first": download.first.isoformat(),
        "last": download.last.isoformat(),
        "feed": download.feed.value,
        "has_whole_volume": download.feed.has_whole_volume,
        "adjustment": "raw",
        "symbols": download.symbols,
        SYMBOLS_SHA: _symbols_sha(symbols),
        "rows": download.rows,
        "actions": download.actions,
        "other_actions": list(download.other_actions),
        "without_bars": list(download.without_bars),
        "downloaded_at": now.astimezone(UTC).isoformat(),
    }


def _symbols_sha(symbols: Collection[Symbol]) -> str:
    return digest(sorted(set(symbols)))


def _action_cells(action: CorporateAction) -> tuple[str, ...]:
    is_split = action.kind is ActionKind.SPLIT
    return (
        action.symbol,
        action.effective_on.isoformat(),
        action.kind.value,
        str(action.numerator) if is_split else "",
        str(action.denominator) if is_split else "",
        "" if is_split else f"{Decimal(action.dividend_micros) / 1_000_000:f}",
    )


def _csv(header: Collection[str], rows: Collection[tuple[str, ...]]) -> str:
    told = io.StringIO(newline="")
    writer = csv.writer(told, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return told.getvalue()


def _write(path: Path, content: str) -> None:
    beside = path.with_name(path.name + ".writing")
    beside.write_text(content, encoding="utf-8", newline="")
    beside.replace(path)
