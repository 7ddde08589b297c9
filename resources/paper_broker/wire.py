"""What goes over the wire to the paper broker and back: JSON, checked at both ends.

Nothing here opens a connection: server.py answers, client.py asks.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from trading.brokers import (
    ActivityKind,
    Arrival,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    Holdings,
)
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.values import (
    MICROS_MAX,
    NOTIONAL_MICROS_MAX,
    ClientOrderId,
    OrderType,
    Side,
    Symbol,
    TimeInForce,
)

DUPLICATE_CODE = "duplicate_client_order_id"

ROWS_MAX = 200_000
"""The longest list that either end takes."""

QUANTITY_MAX = 10**12

WITHOUT_NUL = "^[^\\x00]*$"
"""What a journal can keep of a text: one with NUL is no answer of ours either."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=WITHOUT_NUL)]
MaybeId = Annotated[str, StringConstraints(max_length=100, pattern=WITHOUT_NUL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=WITHOUT_NUL)]
Words = Annotated[str, StringConstraints(max_length=500, pattern=WITHOUT_NUL)]
Quantity = Annotated[int, Field(ge=0, le=QUANTITY_MAX)]
Micros = Annotated[int, Field(ge=-MICROS_MAX, le=MICROS_MAX)]
Price = Annotated[int, Field(ge=0, le=NOTIONAL_MICROS_MAX)]


class _Wire(BaseModel):
    """Be strict: an unknown field, a text for a number or a number past its bound is no answer of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestOnWire(_Wire):
    """Hold one send. A quantity may be anything here: to refuse a wrong one is the broker's to say."""

    client_order_id: Id
    account: Name
    session: date
    symbol: Name
    side: Side
    quantity: Annotated[int, Field(strict=True, ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
    order_type: OrderType
    time_in_force: TimeInForce
    reference_price_micros: Annotated[int, Field(strict=True, ge=0, le=NOTIONAL_MICROS_MAX)]

    def request(self) -> OrderRequest:
        """Return it in our words."""
        return OrderRequest(
            client_order_id=ClientOrderId(self.client_order_id),
            account=self.account,
            session=self.session,
            symbol=Symbol(self.symbol),
            side=self.side,
            quantity=self.quantity,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
            reference_price_micros=self.reference_price_micros,
        )


class SendOnWire(_Wire):
    """Hold a send and its time: the simulated market's, since that is where the broker lives."""

    now: AwareDatetime
    order: RequestOnWire


class CancelOnWire(_Wire):
    """Hold a cancel and its time."""

    now: AwareDatetime
    client_order_id: Id


class ReplaceOnWire(SendOnWire):
    """Hold a send that is to take the place of the order under `replaces`."""

    replaces: Id


class OrderOnWire(_Wire):
    """Hold an order as the broker tells it."""

    broker_order_id: Id
    client_order_id: Id
    symbol: Name
    side: Side
    quantity: Annotated[int, Field(gt=0, le=QUANTITY_MAX)]
    filled_quantity: Quantity
    status: OrderStatus
    reason: Words

    def order(self) -> BrokerOrder:
        """Return it in our words."""
        return BrokerOrder(
            broker_order_id=self.broker_order_id,
            client_order_id=ClientOrderId(self.client_order_id),
            symbol=Symbol(self.symbol),
            side=self.side,
            quantity=self.quantity,
            filled_quantity=self.filled_quantity,
            status=self.status,
            reason=self.reason,
        )


class FillOnWire(_Wire):
    """Hold an execution as the broker tells it; without an id where it gives none."""

    execution_id: MaybeId
    client_order_id: Id
    quantity: Annotated[int, Field(gt=0, le=QUANTITY_MAX)]
    price_micros: Price
    commission_micros: Micros
    filled_at: AwareDatetime
    takes_back: MaybeId

    def fill(self) -> BrokerFill:
        """Return it in our words."""
        return BrokerFill(
            execution_id=self.execution_id,
            client_order_id=ClientOrderId(self.client_order_id),
            quantity=self.quantity,
            price_micros=self.price_micros,
            commission_micros=self.commission_micros,
            filled_at=self.filled_at,
            takes_back=self.takes_back,
        )


class FoundOnWire(_Wire):
    """Hold the answer to a question by client order id: `order` is there, and null where there is none."""

    order: OrderOnWire | None


Row = TypeVar("Row", bound=BaseModel)


class ListOnWire(_Wire, Generic[Row]):
    """Hold a list and how long it is in whole: one that is shorter has been cut."""

    count: Annotated[int, Field(ge=0, le=ROWS_MAX)]
    rows: Annotated[tuple[Row, ...], Field(max_length=ROWS_MAX)]


class HoldingsOnWire(_Wire):
    """Hold what the account has; shares below 0 are owed."""

    quantities: dict[Name, Annotated[int, Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]]
    cash_micros: Micros

    def holdings(self) -> Holdings:
        """Return it in our words."""
        return Holdings(
            quantities={Symbol(symbol): shares for symbol, shares in self.quantities.items() if shares},
            cash_micros=self.cash_micros,
        )


class QuoteOnWire(_Wire):
    """Hold what the broker last saw of a symbol."""

    symbol: Name
    bid_micros: Price | None
    ask_micros: Price | None
    last_micros: Price | None
    quoted_at: AwareDatetime

    def quote(self) -> BrokerQuote:
        """Return it in our words."""
        return BrokerQuote(
            Symbol(self.symbol), self.bid_micros, self.ask_micros, self.last_micros, self.quoted_at
        )


class QuotedOnWire(_Wire):
    """Hold the answer to a question for a quote: `quote` is there, and null where there is none."""

    quote: QuoteOnWire | None


class AccountOnWire(_Wire):
    """Hold an account's money."""

    account: Name
    currency: Name
    cash_micros: Micros
    buying_power_micros: Micros
    equity_micros: Micros | None
    is_blocked: bool

    def account_told(self) -> BrokerAccount:
        """Return it in our words."""
        return BrokerAccount(**self.model_dump())


class ClockOnWire(_Wire):
    """Hold the broker's time, and when it opens and closes next."""

    now: AwareDatetime
    is_open: bool
    next_open: AwareDatetime | None
    next_close: AwareDatetime | None

    def clock(self) -> BrokerClock:
        """Return it in our words."""
        return BrokerClock(self.now, self.is_open, self.next_open, self.next_close)


class ActivityOnWire(_Wire):
    """Hold one change of the account."""

    activity_id: Id
    kind: ActivityKind
    happened_at: AwareDatetime
    symbol: Annotated[str, StringConstraints(max_length=32, pattern=WITHOUT_NUL)]
    quantity: Annotated[int, Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
    price_micros: Price
    cash_micros: Micros
    about: MaybeId
    detail: Words

    def activity(self) -> BrokerActivity:
        """Return it in our words."""
        return BrokerActivity(**self.model_dump())


class ArrivalOnWire(_Wire):
    """Hold one send as it arrived."""

    client_order_id: Id
    request_sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    broker_order_id: MaybeId

    def arrival(self) -> Arrival:
        """Return it in our words."""
        return Arrival(ClientOrderId(self.client_order_id), self.request_sha, self.broker_order_id)


class DumpOnWire(_Wire):
    """Hold everything that the broker knows."""

    account: Name
    is_live: bool
    orders: ListOnWire[OrderOnWire]
    fills: ListOnWire[FillOnWire]
    arrivals: ListOnWire[ArrivalOnWire]

    def dump(self) -> BrokerDump:
        """Return it in our words."""
        return BrokerDump(
            account=self.account,
            is_live=self.is_live,
            orders=tuple(row.order() for row in self.orders.rows),
            fills=tuple(row.fill() for row in self.fills.rows),
            arrivals=tuple(row.arrival() for row in self.arrivals.rows),
        )


class RefusalOnWire(_Wire):
    """Hold why there is no order: a code of a closed list and words."""

    code: Id
    message: Words


def order_on_wire(order: BrokerOrder) -> OrderOnWire:
    """Return an order as it is told."""
    return OrderOnWire(
        broker_order_id=order.broker_order_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        filled_quantity=order.filled_quantity,
        status=order.status,
        reason=order.reason,
    )


def fill_on_wire(fill: BrokerFill) -> FillOnWire:
    """Return an execution as it is told."""
    return FillOnWire(**fill._asdict())


def dump_on_wire(dump: BrokerDump) -> DumpOnWire:
    """Return everything as it is told."""
    return DumpOnWire(
        account=dump.account,
        is_live=dump.is_live,
        orders=ListOnWire[OrderOnWire](
            count=len(dump.orders), rows=tuple(order_on_wire(order) for order in dump.orders)
        ),
        fills=ListOnWire[FillOnWire](
            count=len(dump.fills), rows=tuple(fill_on_wire(fill) for fill in dump.fills)
        ),
        arrivals=ListOnWire[ArrivalOnWire](
            count=len(dump.arrivals),
            rows=tuple(ArrivalOnWire(**arrival._asdict()) for arrival in dump.arrivals),
        ),
    )
