"""Draw a sweep's page: its variants beside each other with plots; it opens anywhere and needs no other file.

The same sweep gives the same bytes. What it says is trading/sweeping.py; the page of one replay is
tear_sheets.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from resources.reports import BLUE, GREY, TEMPLATES, Plot, drawn
from trading.measure_words import NO_DATA, measure_text
from trading.sweeping import Swept
from trading.sweeps import Outcome

CURVES = 8
"""Variants whose equity is drawn: more lines nobody tells apart."""

BARS = 40
"""Variants whose measure is drawn."""

TICKS_MAX = 20
"""Places that are written under the bars: more would run into each other."""

COLUMNS = (
    "total_return",
    "cagr",
    "volatility",
    "max_drawdown",
    "exposure",
    "sharpe",
    "sortino",
    "calmar",
    "turnover",
    "fills",
)
COLORS = (BLUE, "#c8553d", "#588157", "#9d4edd", "#bc8a00", "#118ab2", "#6c584c", GREY)


def sweep_page(swept: Swept) -> str:
    """Return the page of a sweep. All data is escaped; only our own drawings are markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only a page needs it

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("sweep.html").render(
        swept=swept,
        columns=COLUMNS,
        rows=[(outcome.variant.label, measures_shown(outcome)) for outcome in swept.outcomes],
        warnings=[(one.variant.label, warning) for one in swept.outcomes for warning in one.warnings],
        honest=honest_shown(swept),
        plots=draw_sweep(swept),
    )


def measures_shown(outcome: Outcome) -> list[str]:
    """Return the measures of a variant as people read them, in the order of the columns."""
    return [measure_text(name, outcome.measures.get(name)) for name in COLUMNS]


def honest_shown(swept: Swept) -> dict[str, str]:
    """Return what all variants say together as people read it."""
    whole = swept.together
    honesty, overfitting = whole.honesty, whole.overfitting
    told = {
        "variants": f"{whole.variants:,}",
        "sessions": f"{len(swept.sessions):,}",
        "best by sharpe": whole.best.variant.label,
        "luck gives the best": _told(honesty.luck_sharpe, "{:.2f}"),
        "deflated sharpe": _told(honesty.deflated_sharpe, "{:.1%}"),
        "sessions to be sure": _told(honesty.track_record_sessions_min, "{:,.0f}"),
    }
    if overfitting is None:
        return {**told, "overfitting": NO_DATA}
    return {
        **told,
        "overfitting": f"{overfitting.pbo:.0%} of {overfitting.splits:,} splits",
        "sharpe where chosen": f"{overfitting.sharpe_chosen:.2f}",
        "sharpe elsewhere": f"{overfitting.sharpe_after:.2f}",
    }


def draw_sweep(swept: Swept) -> tuple[Plot, ...]:
    """Return the plots of a sweep: equity of the best variants, and the measure that ranks of them all."""
    shown = [outcome for outcome in swept.outcomes if outcome.has_data][:CURVES]
    days = list(swept.sessions)
    curves = [np.cumprod(1.0 + outcome.returns) for outcome in shown]

    def draw_curves(axes: Any) -> None:
        for outcome, curve, color in zip(shown, curves, COLORS, strict=False):
            axes.plot(days, curve, color=color, linewidth=0.9, label=outcome.variant.label)
        axes.axhline(1.0, color=GREY, linewidth=0.5)
        axes.legend(fontsize=6, frameon=False)
        axes.figure.autofmt_xdate(rotation=30)

    by = swept.asked.by
    told = [(one.variant.label, one.measures[by]) for one in swept.outcomes[:BARS]]
    values = [(label, value) for label, value in told if value is not None]

    def draw_bars(axes: Any) -> None:
        axes.bar(range(1, len(values) + 1), [value for _, value in values], color=BLUE)
        # A place is a whole number: of few variants the axis would be marked between them.
        axes.set_xticks(list(range(1, len(values) + 1))[:: -(-len(values) // TICKS_MAX) or 1])
        axes.set_xlabel("place")
        axes.yaxis.set_major_formatter(lambda number, _: measure_text(by, number))

    return (
        Plot(
            title=f"Equity of the best {len(shown)} by {by} (1 at the beginning)",
            text=_listed(
                (one.variant.label, f"{curve[-1]:.3f}") for one, curve in zip(shown, curves, strict=True)
            ),
            svg=drawn(draw_curves, height_in=3.0, name="curves"),
        ),
        Plot(
            title=f"{by.replace('_', ' ')} by place",
            text=_listed((label, measure_text(by, value)) for label, value in values),
            svg=drawn(draw_bars, height_in=2.0, name="bars"),
        ),
    )


def _listed(values: Iterable[tuple[str, str]]) -> str:
    return ("; ".join(f"{label}: {told}" for label, told in values) or NO_DATA) + "."


def _told(value: float | None, how: str) -> str:
    return NO_DATA if value is None else how.format(value)
