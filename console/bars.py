"""Downloading daily bars into a folder that a book can read, a year at a time, from where it stopped.

Who is asked is resources/alpaca_markets/market_data.py; which address and keys, resources/profile_brokers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from console.desk import Desk
from trading.errors import BadInput
from trading.quality import SYMBOL_PATTERN
from trading.values import Symbol

if TYPE_CHECKING:
    from resources.alpaca_markets.market_data import Download
    from resources.market_data.alpaca_bars import Feed

MARKET = "XNYS"
"""The calendar of what Alpaca trades."""


class DownloadView(TypedDict):
    """Hold what is in a folder now, and what of it came with this call, a year a line."""

    folder: str
    feed: str
    symbols: int
    first: date
    last: date
    rows: int
    downloads: tuple[Download, ...]


def download_into(
    desk: Desk,
    *,
    symbols: str,
    first: date,
    last: date,
    into: Path,
    feed: str,
    progress: Callable[[str], None],
) -> DownloadView:
    """Download what is missing of symbols from `first` to `last` into a folder, and return what came.

    Raises `BadInput` for what cannot be asked for or kept, `BrokerUnavailable` where a page is missing: the
    years before it are kept, and the same call goes on with the rest.
    """
    from resources.alpaca_markets.market_data import days_left, download_bars
    from resources.calendars import load_calendar
    from resources.clocks import system_now
    from resources.profiles import Profiled
    from resources.settings import Profile

    wanted, named = _symbols(symbols), _feed(feed)
    _require_folder(into)
    calendar = load_calendar(MARKET, desk.settings.config_dir / "calendars")
    sessions = calendar.between(first, last)
    if not sessions:
        raise BadInput(f"--from {first} --to {last}: no session of {MARKET} in it")
    left = days_left(into, symbols=wanted, first=first, last=last, feed=named, calendar=calendar)
    is_simulated = desk.settings.profile is Profile.SIMULATED
    now = calendar.closes_at(sessions[-1]) if is_simulated else system_now()
    questions = Profiled(desk.settings).bar_questions()
    _make(into)
    done = []
    for number, (begins, ends) in enumerate(left, start=1):
        progress(f"{begins} to {ends} ({number} of {len(left)})")
        done.append(
            download_bars(
                questions,
                into,
                symbols=wanted,
                first=begins,
                last=ends,
                feed=named,
                calendar=calendar,
                now=now,
            )
        )
    return DownloadView(
        folder=str(into),
        feed=named.value,
        symbols=len(wanted),
        first=first,
        last=sessions[-1],
        rows=sum(one.rows for one in done),
        downloads=tuple(done),
    )


def _symbols(text: str) -> list[Symbol]:
    names = text.split(",")
    for name in names:
        if SYMBOL_PATTERN.fullmatch(name) is None:
            raise BadInput(f"--symbols {name[:100]!r}: is no symbol; write them as AAPL,IBM")
    return [Symbol(name) for name in sorted(set(names))]


def _feed(name: str) -> Feed:
    from resources.market_data.alpaca_bars import Feed

    try:
        return Feed(name)
    except ValueError as error:
        raise BadInput(f"--feed {name[:100]!r}: one of {', '.join(Feed)}") from error


def _require_folder(into: Path) -> None:
    """Raise `BadInput` for what is no folder of its own; makes nothing."""
    if str(into) in {"", "."}:
        raise BadInput("--into: name a folder for the bars alone")
    try:
        if into.exists() and not into.is_dir():
            raise BadInput(f"--into {into}: is no folder")
    except (OSError, ValueError) as error:
        raise _no_folder(into, error) from error


def _make(into: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(into, error) from error


def _no_folder(into: Path, error: OSError | ValueError) -> BadInput:
    told = getattr(error, "strerror", None) or str(error)
    return BadInput(f"--into {str(into)[:100]!r}: cannot be a folder ({told})")
