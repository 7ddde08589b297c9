"""Scores: a scorecard as rows of a table, so that replays are compared by one query.

What each measure is, stands in scorecard.py, performance.py and attribution.py under its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trading.scorecard import Scorecard

MICROS = "_micros"
PARTS = {"year": "years", "regime": "regimes", "symbol": "symbols", "strategy": "strategies"}
"""What one of a scorecard's cuts is called, and where they stand in it."""
WHOLE = ("opening_micros", "closing_micros", "performance", "trading", "round_trips", "beside")
"""What a scorecard says of the whole."""


class Score(NamedTuple):
    """Hold one number of a scorecard: of the whole, or of one year, regime, symbol or strategy.

    `measure` says where it stands there, such as `performance.sharpe` or `beside.beta`, in the names of
    scorecard.py. An amount is in `amount_micros`, anything else in `value`; both are `None` where there is
    no data.
    """

    part: str
    of: str
    measure: str
    value: float | None
    amount_micros: int | None


def scores_of(card: Scorecard) -> tuple[Score, ...]:
    """Return every number of a scorecard: the whole first, then its parts, in the scorecard's order."""
    payload = card.payload()
    rows = list(_numbers("whole", "", {name: payload[name] for name in WHOLE}))
    for part, cuts in PARTS.items():
        for cut in payload[cuts] or ():
            rows += _numbers(part, cut["name"], cut)
    return tuple(rows)


def _numbers(part: str, of: str, measures: Mapping[str, Any], *, within: str = "") -> Iterator[Score]:
    for name, value in measures.items():
        if isinstance(value, Mapping):
            yield from _numbers(part, of, value, within=f"{within}{name}.")
        elif name.endswith(MICROS):
            yield Score(part, of, f"{within}{name}", None, value)
        elif not isinstance(value, str):
            yield Score(part, of, f"{within}{name}", None if value is None else float(value), None)
