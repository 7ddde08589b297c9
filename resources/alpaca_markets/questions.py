"""Questions to Alpaca: one GET or a whole list in pages, as checked records or a failed query.

Half a list is a failed query. Nothing here can send; who does is broker.py, who cancels is canceller.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from resources.alpaca_markets.refusals import BAD_KEYS, NOT_FOUND, UNAUTHORIZED, refusal_of
from resources.alpaca_markets.wire import OrderOnAlpaca, loaded
from resources.outbound.client import ExchangeFailed, OutboundClient, Reply
from trading.errors import BadInput, BrokerUnavailable, KeysRefused

ORDERS_PAGE = 500
ACTIVITIES_PAGE = 100

PAGES_MAX = 400
"""Pages of one list: a list that is longer is one that never ends."""

SIMULATED_NOW = "X-Simulated-Now"
"""The header by which a paper exchange is told what time it is; Alpaca itself takes no such thing."""

KEYS_TOLD = "the keys are TRADING_BROKER_APP_KEY and TRADING_BROKER_APP_SECRET: correct them"

A_MOMENT = timedelta(microseconds=1)

Record = TypeVar("Record", bound=BaseModel)


class Questions:
    """Ask one account. With `is_clock_simulated` each call tells the exchange the caller's `now`."""

    def __init__(self, client: OutboundClient, *, is_clock_simulated: bool = False) -> None:
        self._client = client
        self._is_clock_simulated = is_clock_simulated

    def headers(self, now: datetime) -> dict[str, str]:
        """Return what a call says besides its keys."""
        return {SIMULATED_NOW: now.astimezone(UTC).isoformat()} if self._is_clock_simulated else {}

    def asked(
        self, endpoint: str, path: str, parameters: Mapping[str, str] | None = None, *, now: datetime
    ) -> Any:
        """Return an answer's JSON, `None` where there is no such thing.

        Raises `BrokerUnavailable`, and `KeysRefused` where that is why.
        """
        reply = self._reply(endpoint, path, parameters or {}, now)
        if reply.status == 200:  # noqa: PLR2004 - the one status of an answer
            try:
                return loaded(reply.content)
            except ValueError as error:
                raise BrokerUnavailable(f"unreadable_reply: {_short(error)}") from error
        refusal = refusal_of(reply.status, reply.content)
        if refusal.word == NOT_FOUND:
            return None
        if refusal.word in {BAD_KEYS, UNAUTHORIZED}:
            place = f" ({self._client.told_as})" if self._client.told_as else ""
            raise KeysRefused(f"{refusal.word}: {refusal.detail[:200]}{place}; {KEYS_TOLD}")
        raise BrokerUnavailable(f"{refusal.word}: {refusal.detail[:200]}")

    def one(
        self,
        kind: type[Record],
        endpoint: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        *,
        now: datetime,
    ) -> Record | None:
        """Return one record, `None` where there is none; raises `BrokerUnavailable`."""
        told = self.asked(endpoint, path, parameters, now=now)
        return None if told is None else record(kind, told)

    def all_orders(self, parameters: Mapping[str, str], *, after: datetime, now: datetime) -> list[Any]:
        """Return all orders sent after an instant that `parameters` choose, as JSON, ascending.

        The next page begins a moment before the last order's own, since several may have one instant; the
        list is whole once a page has nothing new in it, however few rows a page is given. Raises
        `BrokerUnavailable`.
        """
        found: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            asked = {**parameters, "limit": str(ORDERS_PAGE), "direction": "asc", "nested": "false"}
            asked["after"] = _instant(after)
            page = _rows(self.asked("orders.list", "/v2/orders", asked, now=now))
            orders = [record(OrderOnAlpaca, row) for row in page]
            new = {order.id: row for order, row in zip(orders, page, strict=True) if order.id not in found}
            if not new:
                if len(page) >= ORDERS_PAGE:
                    raise BrokerUnavailable(f"half_reply: over {ORDERS_PAGE} orders of one instant")
                return list(found.values())
            found |= new
            after = max(order.submitted_at for order in orders) - A_MOMENT
        raise BrokerUnavailable(f"half_reply: over {PAGES_MAX} pages of orders")

    def all_activities(self, kind: str, *, after: datetime, now: datetime) -> list[Any]:
        """Return all activities since an instant, as JSON, ascending; `kind` is theirs, empty for every one.

        Raises `BrokerUnavailable`, also where a page says again what an earlier one said.
        """
        path = f"/v2/account/activities/{kind}" if kind else "/v2/account/activities"
        seen: dict[str, Any] = {}
        token: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            asked = {"after": _instant(after), "direction": "asc", "page_size": str(ACTIVITIES_PAGE), **token}
            page = _rows(self.asked("activities.list", path, asked, now=now))
            if not page:
                return list(seen.values())
            for row in page:
                known = record(_Identified, row).id
                if known in seen:
                    raise BrokerUnavailable(f"half_reply: activity {known} is on two pages")
                seen[known] = row
            token = {"page_token": next(reversed(seen))}
        raise BrokerUnavailable(f"half_reply: over {PAGES_MAX} pages of activities")

    def pages(
        self, endpoint: str, path: str, parameters: Mapping[str, str], *, now: datetime
    ) -> Iterator[Any]:
        """Yield the pages of market data until one names no next; raises `BrokerUnavailable`."""
        token: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            page = self.asked(endpoint, path, {**parameters, **token}, now=now)
            if not isinstance(page, dict) or not isinstance(page.get("next_page_token"), str | None):
                raise BrokerUnavailable("unreadable_reply: no page of market data")
            yield page
            if not page.get("next_page_token"):
                return
            if token.get("page_token") == page["next_page_token"]:
                raise BrokerUnavailable("half_reply: a page names itself as the next one")
            token = {"page_token": page["next_page_token"]}
        raise BrokerUnavailable(f"half_reply: over {PAGES_MAX} pages")

    def _reply(self, endpoint: str, path: str, parameters: Mapping[str, str], now: datetime) -> Reply:
        try:
            return self._client.read(
                endpoint, path, parameters=parameters, headers=self.headers(now), now=now
            )
        except (ExchangeFailed, BadInput) as failed:
            raise BrokerUnavailable(str(failed)) from failed


class _Identified(BaseModel):
    id: str


def record(kind: type[Record], told: Any) -> Record:
    """Return JSON as a checked record; raises `BrokerUnavailable` naming the first field that is wrong."""
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        raise BrokerUnavailable(f"unreadable_reply: {fault_of(error)}") from error


def fault_of(error: ValidationError) -> str:
    """Return which field of a reply is wrong and how, without what stood there."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}"[:200]


def _rows(told: Any) -> list[Any]:
    if not isinstance(told, list):
        raise BrokerUnavailable("unreadable_reply: no list")
    return told


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _short(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, UnicodeDecodeError) else str(error)[:100]
