"""What a simulated market gives for an order at the open: how much, at what price, for what commission.

Pure integers in and out, in a subset of Python that compiles, so that the paper broker and a replay loop
fill alike. The broker around it is resources/paper_broker/.
"""

from __future__ import annotations

from typing import NamedTuple

from trading.guards import BPS, share_of
from trading.values import Side


class FillModel(NamedTuple):
    """Hold what trading costs, in basis points.

    `participation_bps` is the share of the session's volume that one order may take.
    """

    slippage_bps: int
    commission_bps: int
    participation_bps: int


def fill_at_open(
    side: Side, quantity: int, open_micros: int, volume: int, model: FillModel
) -> tuple[int, int, int]:
    """Return filled shares, price and commission in micro-units; see `filled_at_open`."""
    return filled_at_open(1 if side is Side.BUY else -1, quantity, open_micros, volume, model)


def filled_at_open(
    sign: int, quantity: int, open_micros: int, volume: int, model: FillModel
) -> tuple[int, int, int]:
    """Return filled shares, price and commission in micro-units; 0 shares where the volume gives none.

    `sign` +1 buys, −1 sells. A buy pays the open plus slippage rounded up to the micro-unit, a sale gets it
    less slippage rounded down; the commission is rounded up: a simulation never flatters.
    """
    available = share_of(volume, model.participation_bps)
    filled = min(quantity, available)
    if filled <= 0 or open_micros <= 0:
        return 0, 0, 0
    if sign > 0:
        price = -share_of(-open_micros, BPS + model.slippage_bps)
    else:
        price = share_of(open_micros, BPS - model.slippage_bps)
    if price <= 0:
        return 0, 0, 0
    return filled, price, -share_of(-price * filled, model.commission_bps)


def buy_cost_bps(model: FillModel) -> int:
    """Return what a buy costs over its worth at the open, in basis points rounded up, all taken together."""
    return -(-(BPS + model.slippage_bps) * (BPS + model.commission_bps) // BPS) - BPS


def affordable_quantity(cash_micros: int, price_micros: int, commission_bps: int) -> int:
    """Return the most shares that cash pays at a price (over 0) with the commission on them, rounded up.

    n shares do where n × price + commission ≤ cash, which is n × price ≤ cash × 10,000 / (10,000 + bps).
    """
    whole = BPS + commission_bps
    cash = max(cash_micros, 0)
    return (cash // whole * BPS + cash % whole * BPS // whole) // price_micros
