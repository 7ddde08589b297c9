"""Cancel and look, and nothing else: what a halt holds of an account at Alpaca.

Alpaca has no key that may only cancel, so the object itself is what cannot send: it is given one deed, the
cancel of one order, and not the client that does it. Implements `trading.halting.Canceller`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from http import HTTPStatus

from resources.alpaca_markets.orders import AlpacaOrders, in_our_words
from resources.alpaca_markets.questions import Questions
from resources.alpaca_markets.refusals import NOT_ALLOWED, refusal_of
from resources.outbound.client import ExchangeFailed, OutboundClient, Reply
from trading.errors import BadInput, BrokerUnavailable
from trading.orders import BrokerOrder
from trading.sessions import Calendar
from trading.values import ClientOrderId

Cancel = Callable[[str, datetime], Reply]
"""Asks for the cancel of the order with a broker's id."""


class AlpacaCanceller(AlpacaOrders):
    """Ask for cancels and look at orders; `calendar` says of which session an order is."""

    def __init__(self, questions: Questions, *, cancel: Cancel, calendar: Calendar) -> None:
        super().__init__(questions, calendar=calendar)
        self._cancel = cancel
        self._open: dict[ClientOrderId, str] = {}

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return what `AlpacaOrders` does, and remember what is open: its cancel needs no question more."""
        listed = super().orders(since=since, now=now)
        self._open = {
            order.client_order_id: order.broker_order_id for order in listed if not order.status.is_terminal
        }
        return listed

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for a cancel; what is not there or has ended stays as it is. Raises `BrokerUnavailable`."""
        order_id = self._open.pop(client_order_id, "")
        if not order_id:
            order = self._found(client_order_id, now)
            if order is None or in_our_words(order).status.is_terminal:
                return
            order_id = order.id
        try:
            reply = self._cancel(order_id, now)
        except (ExchangeFailed, BadInput) as failed:
            raise BrokerUnavailable(str(failed)) from failed
        if reply.status in {HTTPStatus.NO_CONTENT, HTTPStatus.OK}:
            return
        refusal = refusal_of(reply.status, reply.content)
        if refusal.word != NOT_ALLOWED:
            raise BrokerUnavailable(f"{refusal.word}: {refusal.detail[:200]}")
        # It ended in between, or its cancel is on its way already: either way there is nothing more to ask.


def canceller_of(questions: Questions, client: OutboundClient, *, calendar: Calendar) -> AlpacaCanceller:
    """Return what cancels through a client, and has no way to its other deeds."""
    return AlpacaCanceller(questions, cancel=cancelling(questions, client), calendar=calendar)


def cancelling(questions: Questions, client: OutboundClient) -> Cancel:
    """Return the one deed of a halt: the cancel of an order by the broker's id of it."""

    def cancel(order_id: str, now: datetime) -> Reply:
        return client.send(
            "orders.cancel",
            "DELETE",
            f"/v2/orders/{order_id}",
            content=None,
            headers=questions.headers(now),
            now=now,
        )

    return cancel
