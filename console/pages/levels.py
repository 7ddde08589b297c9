"""How careful to be as a page: the level with its reasons, each promise with its budget, and how it burns.

What it says is console/slo.py, as `trading slo` says it; here it gets its plots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from console.desk import Desk
from console.history import SESSIONS_SHOWN
from console.pages.plots import POINTS_MIN, Plot, Series, plot_of
from console.slo import Slo, slo_of, standings_of
from trading.slos import Standing

BySession = Sequence[tuple[date, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Hold the page; `is_empty` says that nothing was counted yet."""

    slo: Slo
    plots: tuple[Plot, ...]

    @property
    def is_empty(self) -> bool:
        """Say whether no objective has counted anything."""
        return all(one.total == 0 for one in self.slo.objectives)


def levels_of(desk: Desk) -> Levels:
    """Return the page."""
    return Levels(slo=slo_of(desk), plots=plots_of_budgets(standings_of(desk)))


def plots_of_budgets(standings: Sequence[Standing]) -> tuple[Plot, ...]:
    """Return what was left of each budget and how fast it burned, session by session; none before two."""
    drawn = (
        _plot("Error budget left", standings, lambda one: one.left_by_session, lambda share: f"{share:.0%}"),
        _plot("Burn rate", standings, lambda one: one.burn_by_session, lambda rate: f"{rate:.1f}"),
    )
    return tuple(plot for plot in drawn if plot is not None)


def _plot(
    title: str,
    standings: Sequence[Standing],
    values: Callable[[Standing], BySession],
    say: Callable[[float], str],
) -> Plot | None:
    sessions = sorted({session for one in standings for session, _ in values(one)})[-SESSIONS_SHOWN:]
    if len(sessions) < POINTS_MIN:
        return None
    series = []
    for one in standings:
        known = dict(values(one))
        numbers = tuple(known.get(session) for session in sessions)
        series.append(Series(name=one.objective.value, numbers=numbers))
    return plot_of(title, sessions, series, say, from_zero=True)
