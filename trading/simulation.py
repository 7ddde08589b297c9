"""What a simulated market gives for an order at the open: how much, at what price, for what commission.

Pure integers in and out, in a subset of Python that compiles, so that the paper broker and a replay loop
fill alike. The broker around it is resources/paper_broker/.
"""

from __future__ import annotations

from typing import NamedTuple

from trading.guards import BPS
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
    """Return filled shares, price and commission in micro-units; 0 shares where the volume gives none.

    A buy pays the open plus slippage rounded up to the micro-unit, a sale gets it less slippage rounded
    down; the commission is rounded up: a simulation never flatters.
    """
    available = volume * model.participation_bps // BPS
    filled = min(quantity, available)
    if filled <= 0 or open_micros <= 0:
        return 0, 0, 0
    if side == Side.BUY:
        price = -(-open_micros * (BPS + model.slippage_bps) // BPS)
    else:
        price = open_micros * (BPS - model.slippage_bps) // BPS
    if price <= 0:
        return 0, 0, 0
    commission = -(-price * filled * model.commission_bps // BPS)
    return filled, price, commission
