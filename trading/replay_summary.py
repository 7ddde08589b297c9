"""What is told of a replay on one page: its years, and why what was refused was.

Scores with their formulas are scorecard.py; the tables themselves are replayed.py.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.replayed import Columns, Replayed
from trading.verdicts import SOFT_REASONS

EQUITIES_TOLD = 60
"""So many closes show the line of a replay; the table of sessions has them all."""


class Year(NamedTuple):
    """Hold one calendar year of a replay. Money in micro-units, ratios as parts of one.

    `return_ratio` is closing over opening less one, `None` where it opened with nothing. `drawdown_ratio` is
    the deepest fall under the highest close since the year's opening, that opening included: at least 0;
    `None` where it opened with nothing.
    """

    year: int
    sessions: int
    opening_micros: int
    closing_micros: int
    return_ratio: float | None
    drawdown_ratio: float | None
    fills: int
    blocked: int
    traded_micros: int
    commission_micros: int
    slippage_micros: int
    dividend_micros: int


def years_of(replayed: Replayed) -> tuple[Year, ...]:
    """Return the calendar years of a replay, ascending; none for a replay without sessions."""
    table = replayed["sessions"]
    in_year = _year_of(table)
    opening_micros, found = replayed.opening_micros, []
    for year in np.unique(in_year).tolist():
        rows = in_year == year
        equity = table["equity_micros"][rows]
        path = np.concatenate([[opening_micros], equity]).astype(np.float64)
        peaks = np.maximum.accumulate(path)
        closing_micros = int(equity[-1])
        totals = {
            name: int(table[name][rows].sum())
            for name in (
                "fills",
                "blocked",
                "traded_micros",
                "commission_micros",
                "slippage_micros",
                "dividend_micros",
            )
        }
        found.append(
            Year(
                year=year,
                sessions=int(rows.sum()),
                opening_micros=opening_micros,
                closing_micros=closing_micros,
                return_ratio=_grown(opening_micros, closing_micros),
                drawdown_ratio=float(np.max(1 - path / peaks)) if opening_micros > 0 else None,
                **totals,
            )
        )
        opening_micros = closing_micros
    return tuple(found)


def months_of(replayed: Replayed) -> tuple[tuple[int, int, float | None], ...]:
    """Return (year, month, return as a part of one) of each calendar month with a session, ascending.

    The first one begins at the replay's opening; `None` is of one that began with nothing.
    """
    table = replayed["sessions"]
    in_month = table["session"].astype("datetime64[M]").astype(np.int64)
    before, found = replayed.opening_micros, []
    for month in np.unique(in_month).tolist():
        closing = int(table["equity_micros"][in_month == month][-1])
        found.append((1970 + month // 12, 1 + month % 12, _grown(before, closing)))
        before = closing
    return tuple(found)


def _grown(opening_micros: int, closing_micros: int) -> float | None:
    return closing_micros / opening_micros - 1 if opening_micros > 0 else None


def unfilled_years(replayed: Replayed) -> tuple[str, ...]:
    """Return a sentence on each stretch of years that had intents and no fill, with what refused most in it.

    A book that outgrew a limit of an order trades nothing from then on, and looks like one that waits.
    """
    table = replayed["sessions"]
    in_year = _year_of(table)
    idle = []
    for year in np.unique(in_year).tolist():
        rows = in_year == year
        intents = int(table["intents"][rows].sum())
        if intents and not int(table["fills"][rows].sum()):
            idle.append((year, intents, _refused_most(replayed, year)))
    found = []
    # Years in a row have one difference to their place in the list.
    for (_, why), stretch in groupby(enumerate(idle), key=lambda at: (at[1][0] - at[0], at[1][2])):
        years = [one for _, one in stretch]
        first, last = years[0][0], years[-1][0]
        told = f"{first}" if first == last else f"{first} to {last}"
        found.append(f"{told}: {sum(intents for _, intents, _ in years):,} intents and no fill; {why}")
    return tuple(found)


def _refused_most(replayed: Replayed, year: int) -> str:
    refusals = replayed["refusals"]
    pairs = zip(refusals["guard"].tolist(), refusals["reason"].tolist(), _year_of(refusals), strict=True)
    of_year = Counter((guard, reason) for guard, reason, of in pairs if of == year)
    # What a person is asked for comes last: it refuses nothing where whoever is asked approves.
    most = min(of_year, key=lambda one: (one[1] in SOFT_REASONS, -of_year[one], one), default=None)
    return (
        "no guard refused one that is kept"
        if most is None
        else f"the guard {most[0]} refused most: {most[1]}"
    )


def _year_of(table: Columns) -> NDArray[np.int64]:
    return table["session"].astype("datetime64[Y]").astype(np.int64) + 1970


def _ratio_text(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.6f}"


def reasons_of(replayed: Replayed) -> tuple[tuple[str, int], ...]:
    """Return how often each reason stands among the refusals, the most frequent first."""
    counts = Counter(replayed["refusals"]["reason"].tolist())
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` places among `count`, evenly, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def summary_of(replayed: Replayed) -> dict[str, Any]:
    """Return what is told of a replay as plain JSON values, ratios as texts of six decimals or null."""
    days, equity = replayed["sessions"]["session"], replayed["sessions"]["equity_micros"]
    return {
        "book": replayed.book,
        "currency": replayed.currency,
        "sessions": len(days),
        "first_session": str(days[0]) if len(days) else "",
        "last_session": str(days[-1]) if len(days) else "",
        "opening_micros": replayed.opening_micros,
        "closing_micros": int(equity[-1]) if len(days) else replayed.opening_micros,
        "rows": {name: len(table["session"]) for name, table in replayed.tables.items()},
        "equity": [[str(days[at]), int(equity[at])] for at in _spread(len(days), EQUITIES_TOLD)],
        "reasons": dict(reasons_of(replayed)),
        "warnings": list(unfilled_years(replayed)),
        "years": [
            {
                **year._asdict(),
                "return_ratio": _ratio_text(year.return_ratio),
                "drawdown_ratio": _ratio_text(year.drawdown_ratio),
            }
            for year in years_of(replayed)
        ],
    }
