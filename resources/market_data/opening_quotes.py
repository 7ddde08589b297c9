"""Live prices of a simulated market: at a send, a symbol costs what it opened at."""

from __future__ import annotations

from datetime import date

from resources.market_data.simulated_market import SimulatedMarket
from trading.quotes import LiveQuote
from trading.sessions import Calendar
from trading.values import Symbol


class OpeningQuotes:
    """Give a session's open as its live quote; a `trading.quotes.LiveQuotes`."""

    def __init__(self, *, market: SimulatedMarket, calendar: Calendar) -> None:
        """Ask one market by one calendar."""
        self._market = market
        self._calendar = calendar

    def live_quote(self, symbol: Symbol, session: date) -> LiveQuote | None:
        """Return the open and the instant of it; `None` where the symbol did not trade."""
        bar = self._market.bar(symbol, session)
        if bar is None:
            return None
        return LiveQuote(price_micros=bar.open_micros, quoted_at=self._calendar.opens_at(session))
