"""Looking at an account's orders at Alpaca, in our words. Nothing here can send or cancel.

Who cancels is canceller.py; all that an account tells for a proof is statement.py.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from resources.alpaca_markets.questions import Questions, record
from resources.alpaca_markets.wire import OrderOnAlpaca, WholeOrderOnAlpaca
from trading.errors import BrokerUnavailable, OutcomeUnknown, UnknownSession
from trading.order_windows import session_for
from trading.orders import BrokerOrder
from trading.sessions import Calendar
from trading.values import ClientOrderId

NEW_YORK = ZoneInfo("America/New_York")
"""Where Alpaca's market is: its dates are of this zone."""

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Before anybody had an account there: from here on every open order is listed."""

Whole = TypeVar("Whole", bound=WholeOrderOnAlpaca)


class AlpacaOrders:
    """Look at the orders of one account; `calendar` says of which session an order is."""

    def __init__(self, questions: Questions, *, calendar: Calendar) -> None:
        self._questions = questions
        self._calendar = calendar

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`; raises `BrokerUnavailable`."""
        found = self._found(client_order_id, now)
        return None if found is None else in_our_words(found)

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return every open order, and every one of a session from `since` on; raises `BrokerUnavailable`.

        Two lists, since an order may be open from any time: the open ones, and all that were sent after the
        last close before `since`. One that ends between them is in the second.
        """
        return [in_our_words(order) for order in self._listed(WholeOrderOnAlpaca, since=since, now=now)]

    def _listed(self, kind: type[Whole], *, since: date, now: datetime) -> list[Whole]:
        listed = self._questions.all_orders({"status": "open"}, after=BEGINNING, now=now)
        listed += self._questions.all_orders({"status": "all"}, after=self._sent_after(since), now=now)
        rows = {record(OrderOnAlpaca, row).id: row for row in listed}
        chosen = [row for row in rows.values() if self._is_wanted(record(OrderOnAlpaca, row), since)]
        orders = [record(kind, row) for row in chosen]
        return sorted(orders, key=lambda order: (order.submitted_at, order.id))

    def _found(self, client_order_id: ClientOrderId, now: datetime) -> WholeOrderOnAlpaca | None:
        found = self._questions.one(
            WholeOrderOnAlpaca,
            "orders.by_client_order_id",
            "/v2/orders:by_client_order_id",
            {"client_order_id": client_order_id},
            now=now,
        )
        if found is not None and found.client_order_id != client_order_id:
            raise BrokerUnavailable(f"other_order: asked for {client_order_id}, told of another")
        return found

    def _is_wanted(self, order: OrderOnAlpaca, since: date) -> bool:
        if order.ended_at is None or order.ended_at.astimezone(NEW_YORK).date() >= since:
            return True
        session = self.session_of(order)
        return session is None or session >= since

    def session_of(self, order: OrderOnAlpaca) -> date | None:
        """Return the session that an order was sent for, `None` where our calendar does not reach it."""
        try:
            return session_for(order.time_in_force, now=order.submitted_at, calendar=self._calendar)[0]
        except UnknownSession:
            return None

    def _sent_after(self, since: date) -> datetime:
        before = self._calendar.before(since, 1)
        day = before[0] if before else since - timedelta(days=7)
        return datetime.combine(day, time.min, tzinfo=NEW_YORK)


def in_our_words(
    order: WholeOrderOnAlpaca, failure: type[BrokerUnavailable | OutcomeUnknown] = BrokerUnavailable
) -> BrokerOrder:
    """Return an order in our words; raises `failure` where what it says cannot be."""
    try:
        return order.order()
    except ValueError as error:
        raise failure(f"unreadable_reply: {error}") from error
