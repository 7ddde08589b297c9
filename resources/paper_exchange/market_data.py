"""The book's own bars, prices and corporate actions as Alpaca's market data tells them, never later than now.

Numbers are JSON numbers here, as there. A bar is told once its session is over, an open and what takes effect
with it from the open on.
"""

from __future__ import annotations

import base64
import itertools
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from resources.paper_exchange import refusals
from resources.paper_exchange.exchange import (
    Answer,
    Exchange,
    count_parameter,
    day_parameter,
    instant_parameter,
)
from resources.paper_exchange.shapes import corporate_action, moment, told_kind
from trading.quotes import Quote
from trading.values import Symbol, amount_from_micros

BARS_DEFAULT, BARS_MAX = 1_000, 10_000
ACTIONS_DEFAULT, ACTIONS_MAX = 100, 1_000
DAILY = frozenset({"1Day", "1D"})
FEEDS = frozenset({"", "iex", "sip", "delayed_sip"})
SYMBOLS_MAX = 1_000

Parameters = Mapping[str, str]


class MarketDataDoor:
    """Answer questions about the market of an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._zone = ZoneInfo(exchange.calendar.timezone)

    def bars(self, parameters: Parameters, *, now: datetime, symbol: str = "") -> Answer:
        """Return raw daily bars by symbol and then session, a page at a time."""
        if parameters.get("timeframe") not in DAILY:
            raise refusals.bad_body("invalid timeframe: 1Day is what is known here")
        if parameters.get("adjustment", "raw") != "raw":
            raise refusals.bad_body("invalid adjustment: raw is what is served here; actions are activities")
        if parameters.get("feed", "") not in FEEDS:
            raise refusals.bad_body("invalid feed")
        symbols = [symbol] if symbol else self._symbols(parameters)
        limit = count_parameter("limit", parameters, default=BARS_DEFAULT, most=BARS_MAX)
        sessions = self._sessions(parameters, now)
        sessions = sessions[::-1] if parameters.get("sort", "asc") == "desc" else sessions
        last = _page(parameters.get("page_token", ""))
        is_descending = parameters.get("sort", "asc") == "desc"
        places = (
            (name, session)
            for name in sorted(symbols)
            for session in sessions
            if last is None or _is_after((name, session), last, is_descending=is_descending)
        )
        traded = (
            (place, bar)
            for place in places
            if (bar := self._exchange.broker.bar(Symbol(place[0]), place[1])) is not None
        )
        page = list(itertools.islice(traded, limit + 1))
        token = _token(page[limit - 1][0]) if len(page) > limit else None
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (name, _), bar in page[:limit]:
            found[name].append(self._bar(bar))
        if symbol:
            return Answer(200, {"bars": found.get(symbol, []), "symbol": symbol, "next_page_token": token})
        return Answer(200, {"bars": found, "next_page_token": token})

    def quotes(self, parameters: Parameters, *, now: datetime, symbol: str = "") -> Answer:
        """Return what a share costs here and gets, by symbol: slippage is the spread, no depth is known."""
        symbols = [symbol] if symbol else self._symbols(parameters)
        found = {name: quote for name in symbols if (quote := self._quote(Symbol(name), now)) is not None}
        if symbol:
            if symbol not in found:
                raise refusals.not_found(f"no quote found for {symbol[:100]}")
            return Answer(200, {"symbol": symbol, "quote": found[symbol]})
        return Answer(200, {"quotes": found})

    def trades(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Return the last price of each symbol."""
        found: dict[str, dict[str, Any]] = {}
        for name in self._symbols(parameters):
            last = self._exchange.broker.last_price(Symbol(name), now=now)
            if last is not None:
                found[name] = {"t": moment(last[1]), "p": _number(last[0]), "s": 0, "x": "V", "i": 0, "c": []}
        return Answer(200, {"trades": {name: told | {"z": "A"} for name, told in found.items()}})

    def corporate_actions(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Return splits, cash dividends and removals by kind and then date, a page at a time."""
        symbols = set(self._symbols(parameters))
        # They are asked for in the singular and told in the plural.
        kinds = {f"{kind.strip()}s" for kind in parameters.get("types", "").split(",") if kind.strip()}
        today = now.astimezone(self._zone).date()
        first = day_parameter("start", parameters, default=today)
        last = day_parameter("end", parameters, default=today)
        limit = count_parameter("limit", parameters, default=ACTIONS_DEFAULT, most=ACTIONS_MAX)
        chosen = sorted(
            (told_kind(action), action)
            for due in self._exchange.broker.actions_until(now).values()
            for action in due
            if action.symbol in symbols and first <= action.effective_on <= last
        )
        listed = [(kind, action) for kind, action in chosen if not kinds or kind in kinds]
        begins = _offset(parameters.get("page_token", ""))
        page = listed[begins : begins + limit]
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for kind, action in page:
            found[kind].append(corporate_action(action))
        token = _offset_token(begins + limit) if len(listed) > begins + limit else None
        return Answer(200, {"corporate_actions": found, "next_page_token": token})

    def _symbols(self, parameters: Parameters) -> list[str]:
        names = [name.strip() for name in parameters.get("symbols", "").split(",") if name.strip()]
        if not 1 <= len(names) <= SYMBOLS_MAX:
            raise refusals.bad_body("symbols is required")
        return sorted(set(names))

    def _sessions(self, parameters: Parameters, now: datetime) -> tuple[date, ...]:
        """Return the sessions that are over at `now` and whose day begins within what is asked for."""
        calendar = self._exchange.calendar
        today = datetime.combine(now.astimezone(self._zone).date(), time.min, tzinfo=self._zone)
        first = instant_parameter("start", parameters["start"]) if parameters.get("start") else today
        last = instant_parameter("end", parameters["end"]) if parameters.get("end") else now
        chosen = calendar.between(first.astimezone(self._zone).date(), last.astimezone(self._zone).date())
        return tuple(
            day for day in chosen if calendar.closes_at(day) <= now and first <= self._midnight(day) <= last
        )

    def _midnight(self, session: date) -> datetime:
        return datetime.combine(session, time.min, tzinfo=self._zone)

    def _bar(self, bar: Quote) -> dict[str, Any]:
        return {
            "t": moment(self._midnight(bar.session)),
            "o": _number(bar.open_micros),
            "h": _number(bar.high_micros),
            "l": _number(bar.low_micros),
            "c": _number(bar.close_micros),
            "v": bar.volume,
            # Nobody counted the trades, and so nobody weighed them.
            "n": None,
            "vw": None,
        }

    def _quote(self, symbol: Symbol, now: datetime) -> dict[str, Any] | None:
        quote = self._exchange.broker.quote(symbol, now=now)
        if quote is None:
            return None
        return {
            "t": moment(quote.quoted_at),
            "ap": _number(quote.ask_micros or 0),
            "as": 0,
            "ax": "V",
            "bp": _number(quote.bid_micros or 0),
            "bs": 0,
            "bx": "V",
            "c": ["R"],
            "z": "A",
        }


def _number(micros: int) -> float | int:
    """Return a price as JSON writes it: six decimals of what fits 64 bits survive a float of up to 2^53."""
    amount = amount_from_micros(micros)
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _offset_token(begins: int) -> str:
    return base64.urlsafe_b64encode(str(begins).encode()).decode()


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token.encode()).decode()[:9]))
    except ValueError as error:
        raise refusals.bad_body("invalid page_token") from error


def _token(last: tuple[str, date]) -> str:
    return base64.urlsafe_b64encode(f"{last[0]}|{last[1].isoformat()}".encode()).decode()


def _page(token: str) -> tuple[str, date] | None:
    if not token:
        return None
    try:
        name, _, day = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        return name, date.fromisoformat(day)
    except ValueError as error:
        raise refusals.bad_body("invalid page_token") from error


def _is_after(place: tuple[str, date], last: tuple[str, date], *, is_descending: bool) -> bool:
    if place[0] != last[0]:
        return place[0] > last[0]
    return place[1] < last[1] if is_descending else place[1] > last[1]
