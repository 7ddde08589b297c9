"""Daily bars that were downloaded from Alpaca into a folder, as a book's source: nothing here asks anybody.

Who downloads them is resources/alpaca_markets/market_data.py.
"""

from __future__ import annotations

import json
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from resources.market_data.bar_folder import BarFolder
from trading.actions import CorporateAction
from trading.datasets import DataFile
from trading.errors import BadQuotes
from trading.quotes import RawBar

DOWNLOADS_FILE = "downloads.json"


class Feed(StrEnum):
    """Say whose trades are counted: `iex` is one exchange, free; `sip` is every one."""

    IEX = "iex"
    SIP = "sip"

    @property
    def has_whole_volume(self) -> bool:
        """Say whether a bar's volume is the market's; otherwise it is a few percent of that."""
        return self is Feed.SIP


class AlpacaBars:
    """Give the bars that were downloaded into a folder; implements `trading.quotes.MarketData`.

    Its name, and so each quote's source, has the feed in it. Raises `BadQuotes` where nothing was downloaded,
    or from more than one feed: their volumes cannot be compared.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def feed(self) -> Feed:
        """Return the feed of every download in the folder."""
        feeds = {Feed(download["feed"]) for download in downloads_in(self._folder)}
        if len(feeds) != 1:
            told = ", ".join(sorted(feeds)) or "nothing"
            raise BadQuotes(f"{self._folder}: downloaded from {told}; a book's bars are all of one feed")
        return feeds.pop()

    @property
    def name(self) -> str:
        """Return what the quotes' source is called."""
        return f"alpaca_{self.feed.value}"

    def source_sha(self) -> str:
        """Return the SHA-256 over names and contents of all files of bars and actions."""
        return self._bars.source_sha()

    def files(self) -> tuple[DataFile, ...]:
        """Return the files of bars and actions, by name."""
        return self._bars.files()

    def sessions(self) -> tuple[date, ...]:
        """Return the dates that have rows, ascending."""
        return self._bars.sessions()

    def raw_bars(self, first: date, last: date) -> list[RawBar]:
        """Return the rows from `first` to `last`, both included."""
        return self._bars.raw_bars(first, last)

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return the splits and cash dividends that were downloaded."""
        return self._bars.actions()

    @cached_property
    def _bars(self) -> BarFolder:
        return BarFolder(self._folder, name=self.name)


def downloads_in(folder: Path) -> list[dict[str, Any]]:
    """Return what was downloaded into a folder; raises `BadQuotes` where that cannot be read."""
    path = folder / DOWNLOADS_FILE
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [dict(one) for one in kept if Feed(one["feed"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadQuotes(f"{path}: cannot be read ({error}); download again into an empty folder") from error
