"""What a market of daily bars makes of a resting order: how much of it fills, at what price, and when.

Pure integers; the price that a fill pays is simulation.py's, the broker that keeps orders is
resources/paper_broker/. A daily bar tells four prices and not their order, so every doubt is settled against
the order: a limit fills only where the bar went through it (a touch leaves it in the queue), a stop is hit
where the bar touched it, of a stop and a limit that one bar met the stop came first, and what could have
happened before an order was there does not fill it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from trading.actions import ActionKind, CorporateAction
from trading.guards import share_of
from trading.quotes import Quote, split_price
from trading.simulation import FillModel, filled_at_open
from trading.values import OrderType, TimeInForce


class Moment(StrEnum):
    """Say which part of a session an order is matched in: its open, or all that followed, once it is over."""

    OPEN = "open"
    CLOSE = "close"


class Terms(NamedTuple):
    """Hold what is left of an order: `sign` +1 buys, −1 sells; prices in micro-units where its kind has one.

    `is_triggered` says that its stop was hit before, so that a stop-limit is a limit order now.
    """

    sign: int
    left: int
    order_type: OrderType
    time_in_force: TimeInForce
    limit_micros: int | None = None
    stop_micros: int | None = None
    is_triggered: bool = False


class Match(NamedTuple):
    """Hold what a moment made of an order; 0 shares where nothing filled."""

    quantity: int = 0
    price_micros: int = 0
    commission_micros: int = 0
    is_triggered: bool = False


ONCE = frozenset({TimeInForce.OPG, TimeInForce.CLS, TimeInForce.IOC, TimeInForce.FOK})
"""How long an order may live that has one moment only: what does not fill in it is cancelled."""


def moment_of(time_in_force: TimeInForce) -> Moment | None:
    """Return the one moment of a session in which an order may fill, `None` where it may in both."""
    if time_in_force is TimeInForce.CLS:
        return Moment.CLOSE
    return Moment.OPEN if time_in_force in ONCE else None


def matched(
    terms: Terms, bar: Quote, model: FillModel, *, moment: Moment, taken: int, is_there_from_open: bool
) -> Match:
    """Return what a moment of a session makes of an order.

    `taken` is what the order filled in this session before: it may take the model's share of the bar's
    volume, once. An order that came after the open meets the open's price, the last one known, and then only
    what the close proves.
    """
    allowed = min(terms.left, share_of(bar.volume, model.participation_bps) - taken)
    if moment_of(terms.time_in_force) not in {None, moment}:
        return Match(is_triggered=terms.is_triggered)
    price, is_exact, is_triggered = _price(terms, bar, model, moment, is_there_from_open=is_there_from_open)
    if terms.time_in_force is TimeInForce.FOK and allowed < terms.left:
        allowed = 0
    if price is None or allowed <= 0:
        return Match(is_triggered=is_triggered)
    paid = model._replace(slippage_bps=0) if is_exact else model
    return Match(*filled_at_open(terms.sign, allowed, price, bar.volume, paid), is_triggered)


def adjusted(terms: Terms, action: CorporateAction) -> Terms | None:
    """Return a resting order after a corporate action, or `None` where the action ends it.

    A split restates what is left and its prices in new shares; one that makes fewer shares of many ends the
    order, and so does a delisting. A dividend lowers what rests below the market by what it pays: limits of
    buys and stops of sales (FINRA Rule 5330).
    """
    if action.kind is ActionKind.SPLIT:
        if action.numerator < action.denominator:
            return None
        return terms._replace(
            left=terms.left * action.numerator // action.denominator,
            limit_micros=_split(terms.limit_micros, action),
            stop_micros=_split(terms.stop_micros, action),
        )
    if action.kind is ActionKind.DELISTING:
        return None
    rests_below = (terms.sign > 0) == (terms.order_type is OrderType.LIMIT)
    if not rests_below or terms.order_type is OrderType.MARKET:
        return terms
    lowered = terms._replace(
        limit_micros=_less(terms.limit_micros, action.dividend_micros),
        stop_micros=_less(terms.stop_micros, action.dividend_micros),
    )
    prices = (lowered.limit_micros, lowered.stop_micros)
    return None if any(price is not None and price <= 0 for price in prices) else lowered


def _price(
    terms: Terms, bar: Quote, model: FillModel, moment: Moment, *, is_there_from_open: bool
) -> tuple[int | None, bool, bool]:
    """Return the price before slippage, or `None`; whether it is paid exactly; and whether a stop was hit."""
    at_once = bar.open_micros if moment is Moment.OPEN else bar.close_micros
    is_auction = moment is Moment.OPEN or terms.time_in_force is TimeInForce.CLS
    sign, is_triggered = terms.sign, terms.is_triggered
    if terms.stop_micros is not None and not is_triggered:
        worst = bar.high_micros if sign > 0 else bar.low_micros
        is_triggered = sign * (at_once if is_auction else worst) >= sign * terms.stop_micros
        if not is_triggered:
            return None, False, False
        if terms.limit_micros is None:
            return (at_once if is_auction else _hit_at(terms.stop_micros, sign, bar)), False, True
        if not is_auction:
            # Whether the price came back to the limit after the stop, one bar cannot tell.
            hit_at = _hit_at(terms.stop_micros, sign, bar)
            is_within = sign * _slipped(hit_at, sign, model) <= sign * terms.limit_micros
            return (hit_at if is_within else None), False, True
    if terms.limit_micros is None:
        return (at_once if is_auction else None), False, is_triggered
    if is_auction:
        if sign * at_once > sign * terms.limit_micros:
            return None, False, is_triggered
        is_past = sign * _slipped(at_once, sign, model) > sign * terms.limit_micros
        return (terms.limit_micros if is_past else at_once), is_past, is_triggered
    best = bar.low_micros if sign > 0 else bar.high_micros
    proof = best if is_there_from_open else bar.close_micros
    is_through = sign * proof < sign * terms.limit_micros
    # Of a limit that the whole bar is past, the bar's worst price.
    met_at = min(terms.limit_micros, bar.high_micros) if sign > 0 else max(terms.limit_micros, bar.low_micros)
    return (met_at if is_through else None), True, is_triggered


def _hit_at(stop_micros: int, sign: int, bar: Quote) -> int:
    """Return where a stop was hit within a bar: one that the whole bar is past, at the bar's worst price."""
    if sign > 0:
        return stop_micros if stop_micros >= bar.low_micros else bar.high_micros
    return stop_micros if stop_micros <= bar.high_micros else bar.low_micros


def _slipped(price_micros: int, sign: int, model: FillModel) -> int:
    whole = model._replace(participation_bps=10_000)
    return filled_at_open(sign, 1, price_micros, 1, whole)[1]


def _split(price_micros: int | None, action: CorporateAction) -> int | None:
    return None if price_micros is None else split_price(price_micros, action.numerator, action.denominator)


def _less(price_micros: int | None, amount_micros: int) -> int | None:
    return None if price_micros is None else price_micros - amount_micros
