"""What Alpaca sends, checked field by field and said in our words; pydantic stands here, and not further in.

Its numbers are texts, and market data's are JSON numbers: both are read exactly, or refused. Fields that we
do not read may come and go. Nothing here opens a connection.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal, DecimalException, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from trading.brokers import (
    ActivityKind,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerFill,
    OrderTerms,
)
from trading.errors import BadInput
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.values import (
    MICROS,
    MICROS_MAX,
    NOTIONAL_MICROS_MAX,
    ClientOrderId,
    OrderType,
    Side,
    Symbol,
    amount_from_micros,
    digest,
    micros_from_text,
)

QUANTITY_MAX = 10**12
NUMBER_LENGTH_MAX = 64
"""Characters of a number: one that is longer is no amount of money or shares."""

RATIO_PLACES_MAX = 20
"""Places after the point at which a split's number may begin: a smaller one is none that was meant."""

WITHOUT_NUL = "^[^\\x00]*$"

_STATUSES = {
    "new": OrderStatus.WORKING,
    "accepted": OrderStatus.WORKING,
    "pending_new": OrderStatus.WORKING,
    "accepted_for_bidding": OrderStatus.WORKING,
    "pending_review": OrderStatus.WORKING,
    "pending_cancel": OrderStatus.WORKING,
    "pending_replace": OrderStatus.WORKING,
    "held": OrderStatus.WORKING,
    "stopped": OrderStatus.WORKING,
    "suspended": OrderStatus.WORKING,
    "calculated": OrderStatus.WORKING,
    "done_for_day": OrderStatus.WORKING,
    "partially_filled": OrderStatus.PARTIAL_FILL,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.CANCELLED,
    "replaced": OrderStatus.CANCELLED,
    "rejected": OrderStatus.REJECTED,
}
"""Where an order is in its life by their words. Only the last five end it; any other word is unreadable."""

_KINDS = {
    "FILL": ActivityKind.FILL,
    "SPLIT": ActivityKind.SPLIT,
    "FEE": ActivityKind.FEE,
    "CFEE": ActivityKind.FEE,
    "PTC": ActivityKind.FEE,
    "CSD": ActivityKind.TRANSFER,
    "CSW": ActivityKind.TRANSFER,
    "JNLC": ActivityKind.TRANSFER,
    "JNLS": ActivityKind.TRANSFER,
    "TRANS": ActivityKind.TRANSFER,
}


def loaded(content: bytes) -> Any:
    """Return a body's JSON with every fraction exact; raises `ValueError` for what is none, or is NaN."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
    except InvalidOperation:
        # An exponent of twenty digits: what cannot be read proves nothing, and must not fell who asks.
        raise ValueError("a number that is none") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _number_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic tells of a ValueError, not of a TypeError
    text = str(value).strip()
    if not text or len(text) > NUMBER_LENGTH_MAX:
        raise ValueError(f"a number of {len(text)} characters")
    return text


def _micros(value: Any) -> int:
    try:
        return micros_from_text(_number_text(value))
    except BadInput as error:
        raise ValueError(str(error)) from error


def _estimated_micros(value: Any) -> int:
    """Return an amount that is estimated (what is held is worth something), rounded down to a micro-unit."""
    try:
        amount = Decimal(_number_text(value))
        micros = int((amount * MICROS).to_integral_value(ROUND_FLOOR)) if amount.is_finite() else None
    except DecimalException as error:
        raise ValueError("not a number") from error
    if micros is None or abs(micros) > MICROS_MAX:
        raise ValueError("not a number that 64 bits can hold")
    return micros


def _shares(value: Any) -> int:
    micros = _micros(value)
    shares, fraction = divmod(micros, MICROS)
    if fraction:
        raise ValueError(f"{amount_from_micros(micros)} shares: only whole ones are traded here")
    return shares


def _ratio(value: Any) -> Decimal:
    """Return a number of shares that others are given for, exact as written."""
    try:
        ratio = Decimal(_number_text(value))
    except InvalidOperation as error:
        raise ValueError("not a number") from error
    if not ratio.is_finite() or not 0 < ratio <= QUANTITY_MAX or ratio.adjusted() < -RATIO_PLACES_MAX:
        raise ValueError("not a number of shares that others are given for")
    return ratio


Ratio = Annotated[Decimal, BeforeValidator(_ratio)]
Micros = Annotated[int, BeforeValidator(_micros), Field(ge=-MICROS_MAX, le=MICROS_MAX)]
Estimated = Annotated[int, BeforeValidator(_estimated_micros)]
Price = Annotated[int, BeforeValidator(_micros), Field(ge=0, le=NOTIONAL_MICROS_MAX)]
Shares = Annotated[int, BeforeValidator(_shares), Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
Count = Annotated[int, BeforeValidator(_shares), Field(ge=0, le=QUANTITY_MAX)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:.-]{1,128}$")]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=WITHOUT_NUL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=WITHOUT_NUL)]
Words = Annotated[str, StringConstraints(max_length=4000, pattern=WITHOUT_NUL)]


class _Alpaca(BaseModel):
    """Read what is known, and pass over fields that are not: theirs grow without notice."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class ErrorOnAlpaca(_Alpaca):
    """Hold why something was not granted; wrong keys are told without a code."""

    code: Annotated[int, Field(strict=True)] | None = None
    message: Words


class OrderOnAlpaca(_Alpaca):
    """Hold what every order tells: which it is, whose, and when it came and went."""

    id: Id
    client_order_id: ClientId
    symbol: Name
    side: Literal["buy", "sell", "sell_short"]
    type: Name
    time_in_force: Name
    status: Name
    submitted_at: AwareDatetime
    filled_at: AwareDatetime | None = None
    expired_at: AwareDatetime | None = None
    canceled_at: AwareDatetime | None = None
    failed_at: AwareDatetime | None = None
    replaced_at: AwareDatetime | None = None

    @property
    def ended_at(self) -> datetime | None:
        """Return when it ended, `None` for one that is open."""
        if not _STATUSES.get(self.status, OrderStatus.UNKNOWN).is_terminal:
            return None
        ends = (self.filled_at, self.expired_at, self.canceled_at, self.failed_at, self.replaced_at)
        return max((end for end in ends if end is not None), default=self.submitted_at)


class WholeOrderOnAlpaca(OrderOnAlpaca):
    """Hold an order whose quantities we can say; one by amount of money or of a fraction is refused."""

    qty: Annotated[int, BeforeValidator(_shares), Field(gt=0, le=QUANTITY_MAX)]
    filled_qty: Count

    def order(self) -> BrokerOrder:
        """Return it in our words; raises `ValueError` where what it says cannot be."""
        status = _STATUSES.get(self.status)
        if status is None:
            raise ValueError(f"order {self.id}: status {self.status!r} is not among those known")
        if self.filled_qty > self.qty or (status is OrderStatus.FILLED and self.filled_qty != self.qty):
            raise ValueError(f"order {self.id}: {self.status} with {self.filled_qty} of {self.qty} filled")
        if status is OrderStatus.WORKING and self.filled_qty:
            status = OrderStatus.PARTIAL_FILL
        is_short_of_all = status.is_terminal and status is not OrderStatus.FILLED
        return BrokerOrder(
            broker_order_id=self.id,
            client_order_id=ClientOrderId(self.client_order_id),
            symbol=Symbol(self.symbol),
            side=Side.BUY if self.side == "buy" else Side.SELL,
            quantity=self.qty,
            filled_quantity=self.filled_qty,
            status=status,
            reason=self.status if is_short_of_all else "",
        )


class TermsOnAlpaca(WholeOrderOnAlpaca):
    """Hold an order with its limit, for the proof that it asks for what was prepared."""

    limit_price: Annotated[int, BeforeValidator(_micros), Field(gt=0, le=NOTIONAL_MICROS_MAX)] | None = None

    def terms(self) -> OrderTerms:
        """Return what it asks for, digested as the request was that it was made of."""
        asked = {
            "client_order_id": self.client_order_id,
            "symbol": self.symbol,
            "side": "BUY" if self.side == "buy" else "SELL",
            "quantity": self.qty,
            "order_type": self.type,
            "time_in_force": self.time_in_force,
            "limit_micros": self.limit_price,
        }
        return OrderTerms(ClientOrderId(self.client_order_id), digest(asked), self.id)


class FillOnAlpaca(_Alpaca):
    """Hold one execution, from the list of activities.

    A paper exchange of ours also tells the execution's id, its commission, and which one it takes back;
    Alpaca charges no commission for shares.
    """

    id: Id
    activity_type: Literal["FILL"]
    transaction_time: AwareDatetime
    type: Literal["fill", "partial_fill"]
    price: Annotated[int, BeforeValidator(_micros), Field(gt=0, le=NOTIONAL_MICROS_MAX)]
    qty: Annotated[int, BeforeValidator(_shares), Field(gt=0, le=QUANTITY_MAX)]
    side: Literal["buy", "sell", "sell_short"]
    symbol: Name
    order_id: Id
    execution_id: Id | None = None
    commission: Micros | None = None
    busts: Id | None = None

    def fill(self, client_order_id: ClientOrderId) -> BrokerFill:
        """Return it in our words, as of the order under an id."""
        return BrokerFill(
            execution_id=self.execution_id or self.id,
            client_order_id=client_order_id,
            quantity=self.qty,
            price_micros=self.price,
            commission_micros=self.commission or 0,
            filled_at=self.transaction_time,
            takes_back=self.busts or "",
        )

    def activity(self) -> BrokerActivity:
        """Return what it added to the account."""
        bought = self.qty if self.side == "buy" else -self.qty
        return BrokerActivity(
            activity_id=self.execution_id or self.id,
            kind=ActivityKind.FILL,
            happened_at=self.transaction_time,
            symbol=self.symbol,
            quantity=bought,
            price_micros=self.price,
            cash_micros=-bought * self.price,
            about=self.order_id,
            detail=f"takes back {self.busts}" if self.busts else "",
        )


class CashActivityOnAlpaca(_Alpaca):
    """Hold a change of the account that is no execution: a fee, a dividend, a split, money that came."""

    id: Id
    activity_type: Annotated[str, StringConstraints(pattern="^[A-Z]{2,16}$")]
    date: date
    net_amount: Micros | None = None
    symbol: Annotated[str, StringConstraints(max_length=32, pattern=WITHOUT_NUL)] | None = None
    qty: Shares | None = None
    per_share_amount: Estimated | None = None
    description: Words = ""
    status: str = "executed"

    def activity(self, happened_at: datetime) -> BrokerActivity:
        """Return it in our words; `happened_at` is the instant that stands for its day."""
        is_dividend = self.activity_type.startswith("DIV")
        kind = ActivityKind.DIVIDEND if is_dividend else _KINDS.get(self.activity_type, ActivityKind.OTHER)
        # A dividend's quantity is the shares that it was paid on; only a split or a journal moves some.
        moves_shares = kind in {ActivityKind.SPLIT, ActivityKind.TRANSFER, ActivityKind.OTHER}
        return BrokerActivity(
            activity_id=self.id,
            kind=kind,
            happened_at=happened_at,
            symbol=self.symbol or "",
            quantity=(self.qty or 0) if moves_shares else 0,
            price_micros=max(self.per_share_amount or 0, 0),
            cash_micros=self.net_amount or 0,
            detail=self.description[:500],
        )


class PositionOnAlpaca(_Alpaca):
    """Hold what the account has of one symbol; what is owed is told by its side, below 0 or not."""

    symbol: Name
    qty: Shares
    side: Literal["long", "short"]

    def shares(self) -> int:
        """Return the shares, below 0 where they are owed."""
        return -abs(self.qty) if self.side == "short" else self.qty


class AccountOnAlpaca(_Alpaca):
    """Hold the account's money, and what may hold it up."""

    account_number: Name
    status: Name
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
    cash: Micros
    buying_power: Estimated
    equity: Estimated
    trading_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool = False

    def account(self) -> BrokerAccount:
        """Return it in our words."""
        is_held = self.trading_blocked or self.account_blocked or self.trade_suspended_by_user
        return BrokerAccount(
            account=self.account_number,
            currency=self.currency,
            cash_micros=self.cash,
            buying_power_micros=self.buying_power,
            equity_micros=self.equity,
            is_blocked=is_held or self.status != "ACTIVE",
        )


class ClockOnAlpaca(_Alpaca):
    """Hold the exchange's time and hours."""

    timestamp: AwareDatetime
    is_open: bool
    next_open: AwareDatetime
    next_close: AwareDatetime

    def clock(self) -> BrokerClock:
        """Return it in our words."""
        return BrokerClock(self.timestamp, self.is_open, self.next_open, self.next_close)


class LatestQuote(_Alpaca):
    """Hold the best bid and ask; a price of 0 says that nobody bids or asks."""

    t: AwareDatetime
    bp: Price
    ap: Price


class LatestTrade(_Alpaca):
    """Hold the last trade."""

    t: AwareDatetime
    p: Price


class LatestQuotes(_Alpaca):
    """Hold the latest quotes by symbol."""

    quotes: dict[str, LatestQuote]


class LatestTrades(_Alpaca):
    """Hold the last trades by symbol."""

    trades: dict[str, LatestTrade]


def order_body(request: OrderRequest) -> bytes:
    """Return the body of a send; raises `ValueError` for a price that is none."""
    body = {
        "symbol": request.symbol,
        "qty": str(request.quantity),
        "side": request.side.value.lower(),
        "type": request.order_type.value,
        "time_in_force": request.time_in_force.value,
        "client_order_id": request.client_order_id,
        **_limit_of(request),
    }
    return json.dumps(body).encode()


def replacement_body(request: OrderRequest) -> bytes:
    """Return the body of a replacement: what can change of an order, and its new id of ours."""
    body = {
        "qty": str(request.quantity),
        "time_in_force": request.time_in_force.value,
        "client_order_id": request.client_order_id,
        **_limit_of(request),
    }
    return json.dumps(body).encode()


def _limit_of(request: OrderRequest) -> dict[str, str]:
    if request.order_type is not OrderType.LIMIT:
        return {}
    if request.reference_price_micros <= 0:
        raise ValueError(f"limit {request.reference_price_micros}: must be over 0")
    return {"limit_price": f"{amount_from_micros(request.reference_price_micros):f}"}
