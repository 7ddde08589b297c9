"""What a client may send of an order: Alpaca's fields, read exactly; numbers are text or JSON's."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from resources.paper_exchange.refusals import bad_body, not_enough, unprocessable
from trading.errors import BadInput
from trading.values import MICROS, micros_from_text

CLIENT_ORDER_ID_LENGTH_MAX = 128
QUANTITY_MAX = 10**9
CENT_MICROS = 10_000

Id = Annotated[
    str, StringConstraints(min_length=1, max_length=CLIENT_ORDER_ID_LENGTH_MAX, pattern="^[^\\x00]*$")
]
SymbolText = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern="^[^\\x00]*$")]


class _Body(BaseModel):
    """Read what is known, and pass over what is not, as Alpaca does."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TakeProfitBody(_Body):
    """Hold where a bracket takes its profit."""

    limit_price: Decimal


class StopLossBody(_Body):
    """Hold where a bracket cuts its loss."""

    stop_price: Decimal
    limit_price: Decimal | None = None


class OrderBody(_Body):
    """Hold one order as a client asks for it."""

    symbol: SymbolText
    qty: Decimal | None = None
    notional: Decimal | None = None
    side: Literal["buy", "sell"]
    type: Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
    time_in_force: Literal["day", "gtc", "opg", "cls", "ioc", "fok"]
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    extended_hours: bool | None = None
    client_order_id: Id | None = None
    order_class: Literal["", "simple", "bracket", "oco", "oto", "mleg"] | None = None
    take_profit: TakeProfitBody | None = None
    stop_loss: StopLossBody | None = None


class ReplaceBody(_Body):
    """Hold what a replacement changes; what is left out stays as it was."""

    qty: Decimal | None = None
    time_in_force: Literal["day", "gtc", "opg", "cls", "ioc", "fok"] | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    client_order_id: Id | None = None


def order_body(content: bytes) -> OrderBody:
    """Return the order that a body asks for; raises `ApiRefusal` naming the field that is wrong."""
    try:
        return OrderBody.model_validate_json(content)
    except ValidationError as error:
        raise bad_body(_first_fault(error)) from error


def replace_body(content: bytes) -> ReplaceBody:
    """Return the replacement that a body asks for; raises `ApiRefusal` naming the field that is wrong."""
    try:
        return ReplaceBody.model_validate_json(content or b"{}")
    except ValidationError as error:
        raise bad_body(_first_fault(error)) from error


def shares(quantity: Decimal | None, symbol: str) -> int:
    """Return a quantity in whole shares; raises `ApiRefusal` for none, a fraction, or too many."""
    if quantity is None:
        raise unprocessable("qty is required: an order by notional is not served here")
    if not quantity.is_finite() or quantity <= 0 or quantity > QUANTITY_MAX:
        raise unprocessable("qty must be > 0")
    if quantity != quantity.to_integral_value():
        raise not_enough(f'asset "{symbol}" is not fractionable')
    return int(quantity)


def price_micros(price: Decimal | None, name: str) -> int | None:
    """Return a price in micro-units, `None` where none is given; raises `ApiRefusal` for one that is none.

    Increments are Alpaca's: a cent from one dollar on, a hundredth of a cent below.
    """
    if price is None:
        return None
    try:
        micros = micros_from_text(str(price))
    except BadInput as error:
        raise unprocessable(f"invalid {name} {price}: {error}") from error
    if micros <= 0:
        raise unprocessable(f"{name} must be > 0")
    if micros % (CENT_MICROS if micros >= MICROS else CENT_MICROS // 100):
        raise unprocessable(
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )
    return micros


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return (
        f"request body format is invalid: {place}: {fault['msg']}"
        if place
        else "request body format is invalid"
    )
