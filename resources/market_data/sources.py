"""Which source of market data a book's line names."""

from __future__ import annotations

from pathlib import Path

from resources.market_data.alpaca_bars import AlpacaBars
from resources.market_data.bar_folder import BarFolder
from resources.market_data.bokeh_stocks import BokehStocks
from resources.market_data.bytetheory import Bytetheory
from resources.reviewed_config import BookLine
from trading.errors import BadSetting
from trading.quality import DateStyle
from trading.quotes import MarketData

SOURCES = ("bokeh_stocks", "bytetheory", "folder", "alpaca")
"""The words by which `books.toml` names a source."""

IN_THE_BOX = frozenset({"bokeh_stocks", "bytetheory"})
"""The sources that need no path."""


def source_of(book: str, line: BookLine, *, root: Path) -> MarketData:
    """Return a book's source; the path of a folder of bars starts at `root`, the project's."""
    return _source(book, line.source, line.path, line, root=root, folder="bar_folder")


def fallback_of(book: str, line: BookLine, *, root: Path) -> MarketData:
    """Return the source that stands in for a book's own; raises `BadSetting` where it names none."""
    if line.fallback_source is None:
        raise BadSetting(f"book {book}: no fallback_source is configured")
    # A name of its own: a reason names the source that was left, a quote the one it is from.
    return _source(book, line.fallback_source, line.fallback_path, line, root=root, folder="fallback_folder")


def _source(
    book: str, name: str, path: Path | None, line: BookLine, *, root: Path, folder: str
) -> MarketData:
    match name:
        case "bokeh_stocks":
            return BokehStocks()
        case "bytetheory":
            return Bytetheory()
        case _:
            if path is None:
                raise BadSetting(f"book {book}: source {name!r} needs a path")
            if name == "alpaca":
                return AlpacaBars(root / path)
            style = DateStyle(line.date_style) if line.date_style else None
            return BarFolder(root / path, date_style=style, name=folder)
