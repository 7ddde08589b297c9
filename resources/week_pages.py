"""Write what was found of a week: health summary and compliance audit, each as a page and as JSON.

They stand beside the daily reports, as `<folder>/<book>/<week>/health.html` and `audit.html`. What they say
is trading/weekly_health.py and trading/compliance.py; the same look gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resources.reports import BLUE, GREY, TEMPLATES, Plot, ReportPaths, drawn, replace_file
from trading.compliance import WeekAudit
from trading.reporting import money_text
from trading.weekly_health import Kept, WeekHealth

NO_DATA = "no data"
RED = "#c8553d"


class WeekWriter:
    """Write weeks below a folder of reports; the `WeekReports` of trading_assets/stages/weeks.py."""

    def __init__(self, folder: Path) -> None:
        """Write below this folder."""
        self._folder = folder

    def write_health(self, health: WeekHealth) -> ReportPaths:
        """Write a week's summary, each file whole or not at all; an earlier one is replaced."""
        return self._write(health.book, health.week, "health", health_html(health), health.payload())

    def write_audit(self, audit: WeekAudit) -> ReportPaths:
        """Write a week's audit, each file whole or not at all; an earlier one is replaced."""
        return self._write(audit.book, audit.week, "audit", audit_html(audit), audit.payload())

    def _write(self, book: str, week: str, name: str, html: str, payload: Mapping[str, Any]) -> ReportPaths:
        folder = self._folder / book / week
        folder.mkdir(parents=True, exist_ok=True)
        paths = ReportPaths(html=folder / f"{name}.html", json=folder / f"{name}.json")
        replace_file(paths.html, html)
        text = json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False)
        replace_file(paths.json, f"{text}\n")
        return paths


def health_html(health: WeekHealth) -> str:
    """Return a week's health summary as one page. All data is escaped; only our own drawings are markup."""
    return _rendered("week_health.html", health.currency, health=health, plots=draw_health(health))


def audit_html(audit: WeekAudit) -> str:
    """Return a week's compliance audit as one page. All data is escaped."""
    return _rendered("week_audit.html", "", audit=audit, plots=(_areas_plot(audit),))


def draw_health(health: WeekHealth) -> tuple[Plot, ...]:
    """Return the plots that have something to show: equity, orders and what was blocked, budgets, cost."""
    plots = []
    if any(row.equity_micros is not None for row in health.sessions):
        plots.append(_equity_plot(health))
    if health.sessions:
        plots.append(_orders_plot(health))
    if any(row.burn is not None for row in health.budgets):
        plots.append(_budget_plot(health))
    if health.cost is not None:
        plots.append(_cost_plot(health))
    return tuple(plots)


def _rendered(template: str, currency: str, **values: Any) -> str:
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
        "money": lambda micros: NO_DATA if micros is None else money_text(micros, currency),
        "usd": lambda micros: NO_DATA if micros is None else f"{micros / 1e6:.6f} USD",
        "percent": lambda ratio: NO_DATA if ratio is None else f"{ratio:.2%}",
        "number": lambda value: NO_DATA if value is None else f"{value:,.6g}",
        "instant": _instant,
        "words": lambda name: name.replace("_", " "),
    }
    return environment.get_template(template).render(**values)


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# ---------------------------------------------------------------------------------------------- the drawings


def _equity_plot(health: WeekHealth) -> Plot:
    known = [(row.session, row.equity_micros) for row in health.sessions if row.equity_micros is not None]
    days = [f"{session:%a %d}" for session, _ in known]

    def draw(axes: Any) -> None:
        axes.plot(days, [equity / 1e6 for _, equity in known], color=BLUE, linewidth=1.5, marker="o")
        axes.yaxis.set_major_formatter(lambda amount, _: f"{amount:,.0f}")

    told = ", ".join(f"{session} {money_text(equity, health.currency)}" for session, equity in known)
    return Plot(
        title=f"Equity at the close ({health.currency})",
        text=f"{told}.",
        svg=drawn(draw, height_in=2.2, name="equity"),
    )


def _orders_plot(health: WeekHealth) -> Plot:
    days = [f"{row.session:%a %d}" for row in health.sessions]
    sent = [row.orders or 0 for row in health.sessions]
    blocked = [row.blocked or 0 for row in health.sessions]

    def draw(axes: Any) -> None:
        axes.bar(days, sent, color=BLUE, label="sent")
        axes.bar(days, blocked, bottom=sent, color=GREY, label="blocked")
        for place, row in enumerate(health.sessions):
            if row.kept is Kept.MISSED:
                axes.text(place, 0, "missed", ha="center", va="bottom", color=RED)
        axes.legend(frameon=False)

    told = ", ".join(
        f"{row.session} {row.kept.value}: {NO_DATA if row.orders is None else row.orders} sent, "
        f"{NO_DATA if row.blocked is None else row.blocked} blocked"
        for row in health.sessions
    )
    return Plot(
        title="Orders sent, and intents that guards stopped",
        text=f"{told}.",
        svg=drawn(draw, height_in=2.2, name="orders"),
    )


def _budget_plot(health: WeekHealth) -> Plot:
    known = [(row.objective, row.burn) for row in health.budgets if row.burn is not None]

    def draw(axes: Any) -> None:
        bars = axes.barh([name for name, _ in known], [burn for _, burn in known], color=BLUE)
        axes.bar_label(bars, labels=[f"{burn:.2f}" for _, burn in known], padding=3)
        axes.axvline(1, color=RED, linewidth=1)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.grid(visible=False)

    return Plot(
        title="How fast error budgets burned (at 1 they last just their window)",
        text=", ".join(f"{name} {burn:.2f}" for name, burn in known) + ".",
        svg=drawn(draw, height_in=0.6 + 0.3 * len(known), name="budgets"),
    )


def _cost_plot(health: WeekHealth) -> Plot:
    known = [(row.session, row.cost_usd_micros) for row in health.sessions if row.cost_usd_micros is not None]

    def draw(axes: Any) -> None:
        axes.bar([f"{session:%a %d}" for session, _ in known], [cost / 1e6 for _, cost in known], color=BLUE)

    told = ", ".join(f"{session} {cost / 1e6:.6f}" for session, cost in known)
    return Plot(
        title="Cost of the advisor's model by session (USD)",
        text=f"{told}.",
        svg=drawn(draw, height_in=2.0, name="cost"),
    )


def _areas_plot(audit: WeekAudit) -> Plot:
    names = [row.area.value for row in audit.areas]

    def draw(axes: Any) -> None:
        bars = axes.barh(names, [row.findings for row in audit.areas], color=BLUE)
        axes.bar_label(bars, labels=[row.outcome.value for row in audit.areas], padding=3)
        axes.margins(x=0.3)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])

    return Plot(
        title="Findings by area",
        text=", ".join(f"{row.area.value} {row.outcome.value} ({row.findings})" for row in audit.areas) + ".",
        svg=drawn(draw, height_in=2.8, name="areas"),
    )
