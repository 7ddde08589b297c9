"""What models cost as a page: in all, a run and an intent, and by week, session, run and model.

What it says is console/costs.py; here it gets its plot.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.costs import Costs, costs_of
from console.desk import Desk
from console.history import SESSIONS_SHOWN
from console.pages.plots import POINTS_MIN, Plot, Series, plot_of
from trading.values import MICROS


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsShown:
    """Hold the page; `plot` is `None` before two sessions cost something."""

    costs: Costs
    plot: Plot | None


def costs_shown(desk: Desk) -> CostsShown:
    """Return the page."""
    costs = costs_of(desk)
    points = costs.sessions[-SESSIONS_SHOWN:]
    sessions = [point.session for point in points]
    series = [Series(name="cost", numbers=tuple(point.cost_micros / MICROS for point in points))]
    drawn = None
    if len(points) >= POINTS_MIN:
        drawn = plot_of("Model cost", sessions, series, lambda usd: f"{usd:.4f} USD", from_zero=True)
    return CostsShown(costs=costs, plot=drawn)
