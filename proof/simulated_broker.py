"""The broker at the far end of the simulation: it takes, remembers, forgets and fills as it is told.

It is honest about everything but, where asked, for how long it remembers a client order id. What happens to
messages on their way is simulation.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from trading.brokers import (
    ActivityKind,
    Arrival,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    DedupScope,
    DuplicateClientOrderId,
    Holdings,
    replacement_fault,
    request_payload,
)
from trading.errors import BrokerRejected
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.values import ClientOrderId, Side, Symbol, digest


class SimulatedBroker:
    """Obey `trading.brokers.Broker` in memory, for one account.

    `scope` is how long it truly remembers an id, whatever `capabilities` declare. Orders under one id are
    kept apart by their broker order ids; a question by client order id is answered with the last one.
    `opening` are the shares and cash that the account begins with.
    """

    def __init__(
        self,
        *,
        account: str,
        capabilities: Capabilities,
        scope: DedupScope,
        opening: Holdings,
    ) -> None:
        self.account_name = account
        self.capabilities = capabilities
        self.scope = scope
        self.taken: list[BrokerOrder] = []
        self.executions: list[BrokerFill] = []
        self.arrivals: list[Arrival] = []
        self.cancels: list[ClientOrderId] = []
        self._opening = opening
        self._sessions: dict[str, date] = {}
        self._taken_at: dict[str, datetime] = {}

    def submit(self, request: OrderRequest, *, now: datetime, extra_quantity: int = 0) -> BrokerOrder:
        """Take an order, unless its id is still remembered; with `extra_quantity` it is one of other size."""
        sha = digest(request_payload(request))
        known = self._last(request.client_order_id)
        if known is not None and self._is_remembered(known, now):
            self.arrivals.append(Arrival(request.client_order_id, sha, ""))
            raise DuplicateClientOrderId(request.client_order_id)
        order = BrokerOrder(
            broker_order_id=f"sb-{len(self.taken) + 1}",
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity + extra_quantity,
            filled_quantity=0,
            status=OrderStatus.WORKING,
        )
        self.taken.append(order)
        self._sessions[order.broker_order_id] = request.session
        self._taken_at[order.broker_order_id] = now
        self.arrivals.append(Arrival(request.client_order_id, sha, order.broker_order_id))
        return order

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the last order under an id, or `None`."""
        del now
        return self._last(client_order_id)

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return the executions under an id, ascending in time."""
        del now
        return [one for one in self.executions if one.client_order_id == client_order_id]

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Remember that a cancel was asked for; `end` makes it true."""
        del now
        self.cancels.append(client_order_id)

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return what is open, and what is of a session from `since` on."""
        del now
        return [
            order
            for order in self.taken
            if not order.status.is_terminal or self._sessions[order.broker_order_id] >= since
        ]

    def holdings(self, *, now: datetime) -> Holdings:
        """Return the opening holdings with all executions since."""
        del now
        quantities = dict(self._opening.quantities)
        cash = self._opening.cash_micros
        for one in self.executions:
            order = self._last(one.client_order_id)
            if order is not None:
                sign = 1 if order.side is Side.BUY else -1
                quantities[order.symbol] = quantities.get(order.symbol, 0) + sign * one.quantity
                cash -= sign * one.quantity * one.price_micros + one.commission_micros
        return Holdings(quantities=_without_zeros(quantities), cash_micros=cash)

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Take an order in the place of an open one."""
        known = self._last(client_order_id)
        why = "no such order" if known is None else replacement_fault(request, known)
        if known is None or why:
            raise BrokerRejected(f"refused: {why}")
        order = self.submit(request, now=now)
        self.end(known.broker_order_id, OrderStatus.CANCELLED, "replaced")
        return order

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares of the account."""
        return self.holdings(now=now).quantities

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return the account; what its shares are worth is not known here."""
        held = self.holdings(now=now)
        return BrokerAccount(
            account=self.account_name,
            currency="USD",
            cash_micros=held.cash_micros,
            buying_power_micros=max(held.cash_micros, 0),
            equity_micros=None if held.quantities else held.cash_micros,
        )

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return the executions from a day (UTC) on."""
        del now
        listed = []
        for one in self.executions:
            order = self._last(one.client_order_id)
            if order is not None and one.filled_at.date() >= since:
                bought = one.quantity if order.side is Side.BUY else -one.quantity
                listed.append(
                    BrokerActivity(
                        activity_id=one.execution_id,
                        kind=ActivityKind.FILL,
                        happened_at=one.filled_at,
                        symbol=order.symbol,
                        quantity=bought,
                        price_micros=one.price_micros,
                        cash_micros=-bought * one.price_micros,
                        about=order.broker_order_id,
                    )
                )
        return listed

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return nothing: no market is simulated here, only messages."""
        del symbol, now
        return None

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the simulation's time, in a market that never closes."""
        return BrokerClock(now.astimezone(UTC), is_open=True, next_open=None, next_close=None)

    def fill(self, broker_order_id: str, quantity: int, price_micros: int, *, now: datetime) -> None:
        """Fill some of an order; the last share ends it."""
        order = self.order(broker_order_id)
        filled = order.filled_quantity + quantity
        self.executions.append(
            BrokerFill(
                execution_id=f"{broker_order_id}-{filled}",
                client_order_id=order.client_order_id,
                quantity=quantity,
                price_micros=price_micros,
                commission_micros=0,
                filled_at=now,
            )
        )
        status = OrderStatus.FILLED if filled == order.quantity else OrderStatus.PARTIAL_FILL
        self._put(replace(order, filled_quantity=filled, status=status))

    def end(self, broker_order_id: str, status: OrderStatus, reason: str) -> None:
        """End an order with what it has filled."""
        self._put(replace(self.order(broker_order_id), status=status, reason=reason))

    def order(self, broker_order_id: str) -> BrokerOrder:
        """Return an order by the broker's own id."""
        return next(order for order in self.taken if order.broker_order_id == broker_order_id)

    def dump(self) -> BrokerDump:
        """Return all there is."""
        return BrokerDump(
            account=self.account_name,
            is_live=self.capabilities.is_live,
            orders=tuple(self.taken),
            fills=tuple(self.executions),
            arrivals=tuple(self.arrivals),
        )

    def _is_remembered(self, known: BrokerOrder, now: datetime) -> bool:
        match self.scope:
            case DedupScope.ALL_TIME | DedupScope.SESSION:
                return True
            case DedupScope.WINDOW:
                window = timedelta(seconds=self.capabilities.dedup_window_s)
                return now - self._taken_at[known.broker_order_id] <= window
            case DedupScope.OPEN_ONLY:
                return not known.status.is_terminal
            case DedupScope.NONE:
                return False

    def _last(self, client_order_id: ClientOrderId) -> BrokerOrder | None:
        found = [order for order in self.taken if order.client_order_id == client_order_id]
        return found[-1] if found else None

    def _put(self, changed: BrokerOrder) -> None:
        self.taken = [
            changed if order.broker_order_id == changed.broker_order_id else order for order in self.taken
        ]


def _without_zeros(quantities: Mapping[Symbol, int]) -> dict[Symbol, int]:
    return {symbol: quantity for symbol, quantity in quantities.items() if quantity}
