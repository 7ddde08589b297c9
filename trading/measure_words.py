"""How a measure of a replay or a sweep is written for people: one form, wherever it stands.

What each measure is, is performance.py and scorecard.py; here by name alone. Pure, and of the standard
library only: reading verbs import it.
"""

from __future__ import annotations

SHARES = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "max_drawdown",
        "gain_share",
        "worst_return",
        "best_return",
        "value_at_risk",
        "expected_shortfall",
        "exposure",
        "net_exposure",
        "exposure_max",
        "invested_share",
        "blocked_share",
        "hit_rate",
        "alpha",
    }
)
"""Measures that are parts of one, and told in per cent: a drawdown of 0.49 % is not one of -0.00."""

NO_DATA = "no data"


def measure_text(name: str, value: float | None) -> str:
    """Return a measure as people read it: a share in per cent, a count whole, any other with two decimals."""
    if value is None:
        return NO_DATA
    if name in SHARES:
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
