"""Fakes of ports, which obey one and remember what they were told, and examples of values.

The journal has no fake: the real one on a temporary file is as quick, and keeps the promises that matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from enum import StrEnum

from trading.brokers import BrokerFill, Capabilities, DedupScope, DuplicateClientOrderId
from trading.decisions import Decision, Outcome
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.intents import Intent, hashed, intent_id_of
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.values import ClientOrderId, OrderType, Side, Slot, Symbol, TimeInForce


class SendOutcome(StrEnum):
    """Say what becomes of one send."""

    ACCEPT = "accept"
    ACCEPT_THEN_TIME_OUT = "accept_then_time_out"
    TIME_OUT = "time_out"
    REFUSE = "refuse"
    ACCEPT_OTHER_QUANTITY = "accept_other_quantity"


REMEMBERS = Capabilities(
    is_live=False,
    dedup_scope=DedupScope.ALL_TIME,
    is_query_authoritative=True,
    settle_time_s=0,
    definitive_errors=frozenset({"refused"}),
)
"""A broker that remembers client order ids for good, and whose answers can be believed at once."""


class FakeBroker:
    """Obey `trading.executions.Broker` in memory, by a script.

    Each send takes the next of `outcomes`, then `accept`. `submitted` holds every request that was sent,
    `accepted` each that became an order, `orders` the last one under each id. With `fills_at_micros` an
    accepted order fills whole at that price; `fill` and `end` do it by hand. While `is_down` every query
    fails.
    """

    def __init__(
        self,
        *,
        outcomes: Iterable[SendOutcome] = (),
        capabilities: Capabilities = REMEMBERS,
        fills_at_micros: int = 0,
    ) -> None:
        self.capabilities = capabilities
        self.submitted: list[OrderRequest] = []
        self.accepted: list[OrderRequest] = []
        self.orders: dict[ClientOrderId, BrokerOrder] = {}
        self.executions: dict[ClientOrderId, list[BrokerFill]] = {}
        self.cancels: list[ClientOrderId] = []
        self.is_down = False
        self._outcomes = list(outcomes)
        self._fills_at_micros = fills_at_micros

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Do what the script says with one send."""
        self.submitted.append(request)
        outcome = self._outcomes.pop(0) if self._outcomes else SendOutcome.ACCEPT
        if outcome is SendOutcome.TIME_OUT:
            raise OutcomeUnknown("timed out before the order arrived")
        is_remembered = self.capabilities.dedup_scope is DedupScope.ALL_TIME
        if is_remembered and request.client_order_id in self.orders:
            raise DuplicateClientOrderId(request.client_order_id, self.orders[request.client_order_id])
        if outcome is SendOutcome.REFUSE:
            raise BrokerRejected("refused: by the script")
        is_other = outcome is SendOutcome.ACCEPT_OTHER_QUANTITY
        accepted = BrokerOrder(
            broker_order_id="fake-" + hashed(request.client_order_id),
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity + (1 if is_other else 0),
            filled_quantity=0,
            status=OrderStatus.WORKING,
        )
        self.accepted.append(request)
        self.orders[request.client_order_id] = accepted
        if self._fills_at_micros:
            self.fill(request.client_order_id, accepted.quantity, self._fills_at_micros, now=now)
        if outcome is SendOutcome.ACCEPT_THEN_TIME_OUT:
            raise OutcomeUnknown("timed out after the order arrived")
        return accepted

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`."""
        self._answer()
        return self.orders.get(client_order_id)

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return an order's executions."""
        self._answer()
        return list(self.executions.get(client_order_id, []))

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Remember that a cancel was asked for; `end` makes it true."""
        self._answer()
        self.cancels.append(client_order_id)

    def fill(
        self, client_order_id: ClientOrderId, quantity: int, price_micros: int, *, now: datetime
    ) -> BrokerFill:
        """Fill some of an order; the last share ends it."""
        order = self.orders[client_order_id]
        earlier = self.executions.setdefault(client_order_id, [])
        execution = BrokerFill(
            execution_id="exe-" + hashed(client_order_id, str(len(earlier) + 1)),
            client_order_id=client_order_id,
            quantity=quantity,
            price_micros=price_micros,
            commission_micros=0,
            filled_at=now,
        )
        earlier.append(execution)
        filled = order.filled_quantity + quantity
        status = OrderStatus.FILLED if filled == order.quantity else OrderStatus.PARTIAL_FILL
        self.orders[client_order_id] = replace(order, filled_quantity=filled, status=status)
        return execution

    def end(self, client_order_id: ClientOrderId, status: OrderStatus, reason: str = "") -> None:
        """End an order as cancelled or rejected."""
        self.orders[client_order_id] = replace(self.orders[client_order_id], status=status, reason=reason)

    def _answer(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("query failed: by the script")


def example_intent(
    symbol: str = "AAPL",
    *,
    side: Side = Side.BUY,
    quantity: int = 10,
    price_micros: int = 100_000_000,
    book: str = "us_five",
    session: date = date(2013, 2, 28),
    slot: Slot = Slot.REBALANCE,
) -> Intent:
    """Return an intent that differs from the next one only in what is asked for."""
    return Intent(
        book=book,
        strategy="council",
        strategy_version="example@1",
        session=session,
        symbol=Symbol(symbol),
        slot=slot,
        side=side,
        quantity=quantity,
        price_micros=price_micros,
        currency="USD",
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.OPG,
        rationale="example",
    )


def example_decision(
    intent: Intent,
    *,
    not_after: datetime,
    outcome: Outcome = Outcome.APPROVED,
    account: str = "SIM-FIVE",
    lane: str = "simulated",
) -> Decision:
    """Return the decision that gives an intent an outcome, unadvised."""
    sends = outcome in {Outcome.APPROVED, Outcome.PENDING_APPROVAL}
    return Decision(
        intent=intent,
        account=account,
        lane=lane,
        intent_id=intent_id_of(account=account, lane=lane, intent_key=intent.intent_key),
        outcome=outcome,
        reason="within_policy" if outcome is Outcome.APPROVED else outcome.value,
        quantity=intent.quantity if sends else 0,
        unadvised_quantity=0 if outcome is Outcome.BLOCKED else intent.quantity,
        not_after=not_after,
        verdicts_sha="verdicts",
        limits_sha="limits",
        inputs_sha="inputs",
    )
