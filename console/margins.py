"""How far loss, drawdown and exposure of a book are from their limits: what a morning looks at first.

The limits are those that the guards hold orders to; what each guard does with them is trading/guards.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.history import SessionPoint
from trading.guards import BPS
from trading.limits import Limits
from trading.risk import drawdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """Hold one measure in basis points of equity (`None`: not known yet) and its limit."""

    name: str
    observed_bps: int | None
    limit_bps: int

    @property
    def is_reached(self) -> bool:
        """Say whether the limit is reached: nothing that adds to it passes any more."""
        return self.observed_bps is not None and self.observed_bps >= self.limit_bps


def margins_of(
    points: Sequence[SessionPoint], session_pnl_micros: int | None, limits: Limits
) -> tuple[Margin, ...]:
    """Return loss of the session, drawdown and exposure of a book, from its last sessions, ascending."""
    settled = [point for point in points if point.equity_micros is not None]
    worth = [point.equity_micros for point in settled if point.equity_micros is not None]
    of_late = worth[-limits.drawdown_sessions :]
    return (
        Margin(
            name="session loss",
            observed_bps=_loss_bps(session_pnl_micros, worth[-1] if worth else None),
            limit_bps=limits.daily_loss_bps_max,
        ),
        Margin(
            name="drawdown",
            observed_bps=drawdown(of_late).depth_bps if of_late else None,
            limit_bps=limits.drawdown_bps_max,
        ),
        Margin(
            name="exposure",
            observed_bps=_share_bps(settled[-1].exposure_micros, worth[-1]) if settled else None,
            limit_bps=limits.leverage_bps_max,
        ),
    )


def _loss_bps(pnl_micros: int | None, equity_micros: int | None) -> int | None:
    """Return a session's loss of the equity before it, 0 where it gained."""
    if pnl_micros is None or equity_micros is None:
        return None
    return _share_bps(max(-pnl_micros, 0), equity_micros - pnl_micros)


def _share_bps(part_micros: int | None, whole_micros: int) -> int | None:
    """Return a share rounded up, so that a limit is never called kept that is not."""
    return None if part_micros is None or whole_micros <= 0 else -(-part_micros * BPS // whole_micros)
