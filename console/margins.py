"""How far loss, drawdown and exposure of a book are from their limits: what a morning looks at first.

The limits are those of the reviewed file, by name; what each guard does with them is trading/guards.py. A
limit that the file does not have is none, and said to be none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.history import SessionPoint
from trading.guards import BPS
from trading.risk import drawdown

DAILY_LOSS, DRAWDOWN, DRAWDOWN_SESSIONS = "daily_loss_bps_max", "drawdown_bps_max", "drawdown_sessions"
LEVERAGE = "leverage_bps_max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """Hold one measure in basis points of equity and its limit, `None` where it is not known or not set.

    `is_reached` says that nothing which adds to it passes any more.
    """

    name: str
    observed_bps: int | None
    limit_bps: int | None

    @property
    def is_reached(self) -> bool:
        """Say whether the limit is reached."""
        known = self.observed_bps is not None and self.limit_bps is not None
        return known and (self.observed_bps or 0) >= (self.limit_bps or 0)


def margins_of(
    points: Sequence[SessionPoint], session_pnl_micros: int | None, limits: Mapping[str, str]
) -> tuple[Margin, ...]:
    """Return loss of the session, drawdown and exposure of a book, from its last sessions, ascending."""
    settled = [point for point in points if point.equity_micros is not None]
    worth = [point.equity_micros for point in settled if point.equity_micros is not None]
    of_late = worth[-(_limit(limits, DRAWDOWN_SESSIONS) or len(worth)) :]
    return (
        Margin(
            name="session loss",
            observed_bps=_loss_bps(session_pnl_micros, worth[-1] if worth else None),
            limit_bps=_limit(limits, DAILY_LOSS),
        ),
        Margin(
            name="drawdown",
            observed_bps=drawdown(of_late).depth_bps if of_late else None,
            limit_bps=_limit(limits, DRAWDOWN),
        ),
        Margin(
            name="exposure",
            observed_bps=_share_bps(settled[-1].exposure_micros, worth[-1]) if settled else None,
            limit_bps=_limit(limits, LEVERAGE),
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


def _limit(limits: Mapping[str, str], name: str) -> int | None:
    text = limits.get(name, "")
    return int(text) if text.isdecimal() else None
