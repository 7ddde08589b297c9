"""Which source of market data a book's line names."""

from __future__ import annotations

from pathlib import Path

from resources.market_data.bar_folder import BarFolder
from resources.market_data.bokeh_stocks import BokehStocks
from resources.market_data.bytetheory import Bytetheory
from resources.reviewed_config import BookLine
from trading.errors import BadSetting
from trading.quality import DateStyle
from trading.quotes import MarketData


def source_of(book: str, line: BookLine, *, root: Path) -> MarketData:
    """Return a book's source; the path of a folder of bars starts at `root`, the project's."""
    match line.source:
        case "bokeh_stocks":
            return BokehStocks()
        case "bytetheory":
            return Bytetheory()
        case _:
            if line.path is None:
                raise BadSetting(f"book {book}: source {line.source!r} needs a path")
            return BarFolder(
                root / line.path, date_style=DateStyle(line.date_style) if line.date_style else None
            )
