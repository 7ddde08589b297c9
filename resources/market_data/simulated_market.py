"""The market that a simulated broker sees: accepted quotes of one session at a time, and what is due then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from trading.actions import CorporateAction
from trading.quality import QualityLimits, dates_of, judge_session
from trading.quotes import MarketData, Quote
from trading.sessions import Calendar
from trading.values import Symbol

AcceptedOn = Callable[[date], Iterable[Quote]]
"""Gives the accepted quotes of one session, nothing where it has none."""


class SimulatedMarket:
    """Answer what a symbol did in a session. Quarantined rows do not exist here: nothing fills on them."""

    def __init__(
        self, accepted_on: AcceptedOn, *, actions: Callable[[], Iterable[CorporateAction]] = tuple
    ) -> None:
        """Ask `accepted_on` for each session once in a row, and `actions` for splits and dividends."""
        self._accepted_on = accepted_on
        self._actions = actions
        self._session: date | None = None
        self._quotes: dict[Symbol, Quote] = {}

    def bar(self, symbol: Symbol, session: date) -> Quote | None:
        """Return a symbol's accepted bar of a session, or None where nothing was quoted."""
        if session != self._session:
            self._quotes = {quote.symbol: quote for quote in self._accepted_on(session)}
            self._session = session
        return self._quotes.get(symbol)

    def actions(self) -> Iterable[CorporateAction]:
        """Return all splits and dividends, each under the date on which it takes effect."""
        return self._actions()


def market_of(source: MarketData, *, calendar: Calendar, limits: QualityLimits) -> SimulatedMarket:
    """Return the market of a source: its readable bars, whatever else quality says of them."""

    def traded(session: date) -> Iterable[Quote]:
        judged = judge_session(
            session=session,
            raw=source.raw_bars(*dates_of(calendar, first=session, last=session)),
            calendar=calendar,
            previous={},
            actions=(),
            released=(),
            limits=limits,
            source_sha=source.source_sha(),
            known_at=calendar.closes_at(session),
        )
        return judged.accepted

    return SimulatedMarket(traded, actions=source.actions)
