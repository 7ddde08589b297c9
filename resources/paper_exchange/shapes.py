"""What clients are told, as Alpaca shapes it: numbers of accounts and orders are strings, times RFC 3339.

What is true is records.py and the paper broker; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from resources.paper_exchange.records import FillRecord, OrderRecord, named_id, public_id
from trading.actions import ActionKind, CorporateAction
from trading.audit import instant_text
from trading.orders import OrderStatus
from trading.values import MICROS, MICROS_DECIMALS, Side, Symbol, amount_from_micros

SESSION_OVER = "session_over"
REPLACED = "replaced"

_STATUS = {
    OrderStatus.PARTIAL_FILL: "partially_filled",
    OrderStatus.FILLED: "filled",
    OrderStatus.REJECTED: "rejected",
}
_CANCELLED_AS = {SESSION_OVER: "expired", REPLACED: "replaced"}


def number(micros: int | None) -> str | None:
    """Return an amount as text without trailing zeros, `None` where there is none."""
    if micros is None:
        return None
    text = f"{amount_from_micros(micros):.{MICROS_DECIMALS}f}"
    return text.rstrip("0").rstrip(".")


def told_kind(action: CorporateAction) -> str:
    """Return what Alpaca's market data calls a kind of action."""
    match action.kind:
        case ActionKind.SPLIT:
            return "forward_splits" if action.numerator > action.denominator else "reverse_splits"
        case ActionKind.DIVIDEND:
            return "cash_dividends"
        case ActionKind.DELISTING:
            return "cash_mergers" if action.dividend_micros else "worthless_removals"


def corporate_action(action: CorporateAction) -> dict[str, Any]:
    """Return an action as Alpaca's market data tells it; there is no CUSIP here, and each is empty."""
    on = action.effective_on.isoformat()
    paid = float(amount_from_micros(action.dividend_micros))
    told: dict[str, Any] = {
        "id": str(named_id("action", f"{action.kind.value} {action.symbol} {on}")),
        "symbol": action.symbol,
        "process_date": on,
    }
    match action.kind:
        case ActionKind.SPLIT:
            rates = {"new_rate": action.numerator, "old_rate": action.denominator, "ex_date": on}
            names = ["cusip"] if action.numerator > action.denominator else ["old_cusip", "new_cusip"]
            return told | rates | dict.fromkeys(names, "")
        case ActionKind.DIVIDEND:
            return told | {"rate": paid, "ex_date": on, "special": False, "foreign": False, "cusip": ""}
        case ActionKind.DELISTING if paid:
            merger = {"acquiree_symbol": action.symbol, "acquiree_cusip": "", "rate": paid}
            return told | merger | {"effective_date": on}
        case ActionKind.DELISTING:
            return told | {"cusip": ""}


def moment(at: datetime | None) -> str | None:
    """Return an instant as text in UTC."""
    return None if at is None else instant_text(at)


def status_of(order: OrderRecord, *, opens_at: datetime, now: datetime) -> str:
    """Return an order's status in Alpaca's words; `opens_at` is when its first session does."""
    match order.status:
        case OrderStatus.CANCELLED:
            return _CANCELLED_AS.get(order.reason, "canceled")
        case OrderStatus.WORKING if order.is_held:
            return "held"
        case OrderStatus.WORKING | OrderStatus.UNKNOWN:
            return "new" if now >= opens_at else "accepted"
        case _:
            return _STATUS[order.status]


def average_price(fills: Iterable[FillRecord]) -> str | None:
    """Return what executions cost on average, busted ones left out, to six decimals (ROUND_HALF_EVEN)."""
    listed = list(fills)
    busted = {fill.takes_back for fill in listed if fill.takes_back}
    counted = [fill for fill in listed if not fill.takes_back and fill.execution_id not in busted]
    shares = sum(fill.quantity for fill in counted)
    if not shares:
        return None
    paid = Decimal(sum(fill.quantity * fill.price_micros for fill in counted))
    return number(int((paid / shares).quantize(Decimal(1), ROUND_HALF_EVEN)))


def order_shape(
    order: OrderRecord, *, status: str, expires_at: datetime, legs: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return one order. `commission` is what its executions paid, a field of Alpaca's broker API."""
    updated_at = max((update.at for update in order.updates), default=order.submitted_at)
    commission = sum(
        -fill.commission_micros if fill.takes_back else fill.commission_micros for fill in order.fills
    )
    return {
        "id": str(order.id),
        "client_order_id": order.client_order_id,
        "created_at": moment(order.submitted_at),
        "updated_at": moment(updated_at),
        "submitted_at": moment(order.submitted_at),
        "filled_at": moment(order.at("fill")) if status == "filled" else None,
        "expired_at": moment(order.at("expired")),
        "expires_at": moment(expires_at),
        "canceled_at": moment(order.at("canceled")),
        "failed_at": moment(order.at("rejected")),
        "replaced_at": moment(order.at("replaced")),
        "replaced_by": str(public_id(order.replaced_by)) if order.replaced_by else None,
        "replaces": str(public_id(order.replaces)) if order.replaces else None,
        "asset_id": str(named_id("asset", order.symbol)),
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": None,
        "qty": str(order.quantity),
        "filled_qty": str(order.filled_quantity),
        "filled_avg_price": average_price(order.fills),
        "order_class": order.order_class,
        "order_type": order.order_type,
        "type": order.order_type,
        "side": order.side.value.lower(),
        "time_in_force": order.time_in_force,
        "limit_price": number(order.limit_micros),
        "stop_price": number(order.stop_micros),
        "status": status,
        "extended_hours": False,
        "legs": legs,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "commission": number(commission),
    }


def asset_shape(symbol: Symbol, *, is_shortable: bool) -> dict[str, Any]:
    """Return one listed symbol. Which exchange lists it is not in the data, so all are said to be on one."""
    return {
        "id": str(named_id("asset", symbol)),
        "class": "us_equity",
        "exchange": "NYSE",
        "symbol": symbol,
        "name": symbol,
        "status": "active",
        "tradable": True,
        "marginable": False,
        "shortable": is_shortable,
        "easy_to_borrow": is_shortable,
        "fractionable": False,
        "maintenance_margin_requirement": 100,
        "attributes": [],
    }


def position_shape(
    symbol: Symbol,
    quantity: int,
    *,
    cost_micros: int,
    price_micros: int | None,
    before_micros: int | None,
    held: int,
) -> dict[str, Any]:
    """Return one position; `cost_micros` is what it cost without commissions, `held` is held for orders."""
    value = None if price_micros is None else price_micros * quantity
    gain = None if value is None else value - cost_micros
    change = (
        None if price_micros is None or before_micros is None else (price_micros - before_micros) * quantity
    )
    return {
        "asset_id": str(named_id("asset", symbol)),
        "symbol": symbol,
        "exchange": "NYSE",
        "asset_class": "us_equity",
        "asset_marginable": False,
        "avg_entry_price": number(round(Decimal(cost_micros) / quantity)),
        "qty": str(quantity),
        "qty_available": str(quantity - held),
        "side": "long" if quantity > 0 else "short",
        "market_value": number(value),
        "cost_basis": number(cost_micros),
        "unrealized_pl": number(gain),
        "unrealized_plpc": _share(gain, abs(cost_micros)),
        "unrealized_intraday_pl": number(change),
        "unrealized_intraday_plpc": _share(change, abs((before_micros or 0) * quantity)),
        "current_price": number(price_micros),
        "lastday_price": number(before_micros),
        "change_today": _share(
            None if price_micros is None or before_micros is None else price_micros - before_micros,
            before_micros or 0,
        ),
    }


def activity_id(at: datetime, known_as: str) -> str:
    """Return an activity's id: its instant to the millisecond, and the id of what it is about."""
    return f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}::{public_id(known_as)}"


def fill_activity(order: OrderRecord, fill: FillRecord, *, cumulative: int, account: str) -> dict[str, Any]:
    """Return one execution as an activity. `commission` is ours: the FEE activity beside it tells the same.

    One that takes another back has the other's id under `busts`, and the quantity that is gone.
    """
    is_whole = cumulative == order.quantity
    return {
        "id": activity_id(fill.filled_at, fill.execution_id),
        "account_id": str(named_id("account", account)),
        "activity_type": "FILL",
        "transaction_time": moment(fill.filled_at),
        "type": "fill" if is_whole else "partial_fill",
        "price": number(fill.price_micros),
        "qty": str(fill.quantity),
        "side": order.side.value.lower() if not fill.takes_back else _opposite(order.side),
        "symbol": order.symbol,
        "leaves_qty": str(order.quantity - cumulative),
        "order_id": str(order.id),
        "client_order_id": order.client_order_id,
        "cum_qty": str(cumulative),
        "order_status": "filled" if is_whole else "partially_filled",
        "execution_id": fill.execution_id,
        "commission": number(fill.commission_micros),
        "busts": fill.takes_back or None,
    }


def cash_activity(
    kind: str,
    *,
    at: datetime,
    on: str,
    known_as: str,
    net_micros: int,
    description: str,
    account: str,
    symbol: Symbol,
    quantity: int | None = None,
    per_share_micros: int | None = None,
) -> dict[str, Any]:
    """Return an activity that is no trade: a fee, a dividend or a split."""
    return {
        "id": activity_id(at, known_as),
        "account_id": str(named_id("account", account)),
        "activity_type": kind,
        "date": on,
        "net_amount": number(net_micros),
        "description": description,
        "symbol": symbol,
        "qty": None if quantity is None else str(quantity),
        "per_share_amount": number(per_share_micros),
        "status": "executed",
    }


def _opposite(side: Side) -> str:
    return "sell" if side is Side.BUY else "buy"


def _share(part: int | None, whole: int) -> str | None:
    """Return a part of a whole as a decimal of at most six places (ROUND_HALF_EVEN)."""
    if part is None or not whole:
        return None
    return number(round(Decimal(part) * MICROS / whole))
