"""Draw a replay's tear sheet: one page with plots that opens in any browser and needs no other file.

The same scorecard and tables give the same bytes. What the measures are is trading/scorecard.py; the page is
`templates/tear_sheet.html`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.reports import BLUE, GREY, TEMPLATES, Plot, drawn
from trading.replay_summary import months_of, reasons_of, unfilled_years, years_of
from trading.replayed import Replayed
from trading.reporting import money_text
from trading.scorecard import Scorecard
from trading.verdicts import SOFT_REASONS

PERCENTS = (
    "total_return",
    "cagr",
    "volatility",
    "max_drawdown",
    "gain_share",
    "value_at_risk",
    "expected_shortfall",
    "exposure",
    "blocked_share",
    "hit_rate",
    "alpha",
)
NUMBERS = (
    "sharpe",
    "sortino",
    "calmar",
    "skew",
    "kurtosis",
    "tail_ratio",
    "turnover",
    "profit_factor",
    "beta",
    "correlation",
    "information_ratio",
)
BASIS_POINTS = ("commission_bps", "slippage_bps", "cost_bps_a_year")
NO_DATA = "no data"


class TearSheets:
    """Draw pages; a `TearSheets` of trading_assets/stages/scorecards.py."""

    def page(self, name: str, card: Scorecard, replayed: Replayed) -> str:
        """Return a page with plots. All data is escaped; only our own drawings are markup."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only a page needs it

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters |= {
            "money": lambda micros: NO_DATA if micros is None else money_text(micros, card.currency),
            "percent": lambda ratio: _told(ratio, lambda known: f"{known:.2%}"),
            "number": lambda number: _told(number, lambda known: f"{known:.2f}"),
        }
        return environment.get_template("tear_sheet.html").render(
            name=name,
            card=card,
            measures=measures_told(card),
            plots=draw_plots(replayed),
            months=_month_table(replayed),
            years=years_of(replayed),
            reasons=reasons_of(replayed),
            warnings=unfilled_years(replayed),
            soft_reasons=SOFT_REASONS,
        )


def measures_told(card: Scorecard) -> dict[str, str]:
    """Return the measures of a scorecard as people read them, by name; *no data* is said."""
    payload = card.payload()
    groups = ("performance", "trading", "round_trips", "beside")
    values: Mapping[str, Any] = {
        name: value for group in groups for name, value in (payload[group] or {}).items()
    } | payload["performance"]
    told = {name: _told(values.get(name), lambda ratio: f"{ratio:.2%}") for name in PERCENTS}
    told |= {name: _told(values.get(name), lambda number: f"{number:.2f}") for name in NUMBERS}
    return told | {name: _told(values.get(name), lambda bps: f"{bps:.1f}") for name in BASIS_POINTS}


def draw_plots(replayed: Replayed) -> tuple[Plot, ...]:
    """Return the plots of a replay: equity, drawdown, exposure, turnover by year; none without a session."""
    table = replayed["sessions"]
    if not len(table["session"]):
        return ()
    days = table["session"]
    equity = table["equity_micros"].astype(np.float64) / 1e6
    path = np.concatenate([[replayed.opening_micros / 1e6], equity])
    drawdown = (path / np.maximum.accumulate(path) - 1.0)[1:] * 100
    gross = table["gross_micros"].astype(np.float64) / 1e6
    # Of a book worth nothing no share can be told: the lines leave its sessions out.
    exposure = 100 * np.divide(gross, equity, out=np.full(equity.shape, np.nan), where=equity > 0)
    years = [year for year in years_of(replayed) if year.opening_micros + year.closing_micros > 0]
    turnover = [2 * year.traded_micros / (year.opening_micros + year.closing_micros) for year in years]

    def draw_turnover(axes: Any) -> None:
        axes.bar([str(year.year) for year in years], turnover, color=BLUE)
        axes.tick_params(axis="x", rotation=45)

    return (
        _line(f"Equity at the close ({replayed.currency})", days, equity, name="equity", unit=""),
        _line("Drawdown from the highest close (%)", days, drawdown, name="drawdown", unit="%", filled=True),
        _line("Positions as a share of equity (%)", days, exposure, name="exposure", unit="%", filled=True),
        Plot(
            title="Turnover by year (traded over mean equity)",
            text=", ".join(f"{year.year} {value:.1f}" for year, value in zip(years, turnover, strict=True))
            + ".",
            svg=drawn(draw_turnover, height_in=2.0, name="turnover"),
        ),
    )


def _line(
    title: str, days: Any, values: NDArray[np.float64], *, name: str, unit: str, filled: bool = False
) -> Plot:
    def draw(axes: Any) -> None:
        axes.plot(days.astype("datetime64[D]").astype(object), values, color=BLUE, linewidth=0.9)
        if filled:
            axes.fill_between(days.astype(object), values, 0, color=BLUE, alpha=0.2, linewidth=0)
        axes.axhline(values[0] if not filled else 0, color=GREY, linewidth=0.5)
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.figure.autofmt_xdate(rotation=30)

    return Plot(
        title=title,
        text=f"{len(values):,} sessions, {days[0]} to {days[-1]}: {_span(values, unit)}.",
        svg=drawn(draw, height_in=2.2, name=name),
    )


def _span(values: NDArray[np.float64], unit: str) -> str:
    known = values[~np.isnan(values)]
    if not known.size:
        return NO_DATA
    at_end = NO_DATA if np.isnan(values[-1]) else f"{values[-1]:,.2f}{unit}"
    return f"from {known.min():,.2f}{unit} to {known.max():,.2f}{unit}, {at_end} at the end"


def _month_table(replayed: Replayed) -> dict[int, list[str]]:
    """Return the returns of each year's twelve months as text, empty where there was no session."""
    table: dict[int, list[str]] = {}
    for year, month, ratio in months_of(replayed):
        table.setdefault(year, [""] * 12)[month - 1] = _told(ratio, lambda known: f"{known:.1%}")
    return table


def _told(value: float | None, how: Callable[[float], str]) -> str:
    return NO_DATA if value is None else how(value)
