"""Write the daily report: a page for people (`report.html`) and the same for machines (`report.json`).

The same report gives the same bytes. What stands in it is trading/reporting.py; the page is
`templates/report.html`. The page needs no script and no other file.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from trading.reporting import DailyReport, money_text

TEMPLATES = Path(__file__).parent / "templates"

PLOT_WIDTH_IN = 4.6
BLUE = "#3b76c4"
GREY = "#888888"
PLOT_STYLE: Any = {
    # Element ids are hashes of this and the content, so that equal reports are equal bytes.
    "svg.hashsalt": "trading-assets",
    # Text stays text: small, selectable, and coloured by the page.
    "svg.fonttype": "none",
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class ReportPaths(NamedTuple):
    """Hold where a report's two files are."""

    html: Path
    json: Path


class Plot(NamedTuple):
    """Hold one drawing: its title, what it shows in words, and the image as inline SVG."""

    title: str
    text: str
    svg: str


class ReportWriter:
    """Write reports below a folder, as `<folder>/<book>/<session>/report.html` and `report.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def paths_of(self, *, book: str, session: str) -> ReportPaths:
        """Return where a session's report is, or would be."""
        folder = self._folder / book / session
        return ReportPaths(html=folder / "report.html", json=folder / "report.json")

    def write(self, report: DailyReport) -> ReportPaths:
        """Write both files, each whole or not at all; a report of the session before is replaced."""
        paths = self.paths_of(book=report.book, session=report.session.isoformat())
        paths.html.parent.mkdir(parents=True, exist_ok=True)
        replace_file(paths.html, render_html(report))
        replace_file(paths.json, render_json(report))
        return paths


def render_json(report: DailyReport) -> str:
    """Return a report as JSON, keys in a fixed order."""
    return json.dumps(report.payload(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_html(report: DailyReport) -> str:
    """Return a report as one page. All data is escaped; only our own drawings are markup."""
    values = {row.name: row.value for row in report.metrics}
    return str(
        _page(report.currency).render(
            report=report,
            pnl={line.name: line.micros for line in report.pnl},
            values=values,
            plots=draw_plots(report),
        )
    )


@lru_cache(maxsize=8)
def _page(currency: str) -> Any:
    """Return the page of a report in a currency, compiled once a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only a report needs it

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "money": lambda micros: "–" if micros is None else money_text(micros, currency),
        "signed": lambda micros: "–" if micros is None else _signed(micros, currency),
        "usd": lambda micros: "–" if micros is None else f"{micros / 1e6:.6f} USD",
        "percent": lambda ratio: "–" if ratio is None else f"{ratio:.2%}",
        "instant": _instant,
        "words": lambda name: name.replace("_", " "),
    }
    return environment.get_template("report.html")


def draw_plots(report: DailyReport) -> tuple[Plot, ...]:
    """Return the plots that have something to show: equity, funnel, exposure."""
    plots = []
    if report.equities:
        plots.append(_equity_plot(report))
    plots.append(_funnel_plot(report))
    if report.positions:
        plots.append(_exposure_plot(report))
    return tuple(plots)


# ---------------------------------------------------------------------------------------------- the drawings


def _equity_plot(report: DailyReport) -> Plot:
    first, last = report.equities[0], report.equities[-1]
    sessions = [point.session for point in report.equities]
    values = [point.equity_micros / 1e6 for point in report.equities]

    def draw(axes: Any) -> None:
        axes.plot(
            sessions,
            values,
            color=BLUE,
            linewidth=1.5,
            marker="o" if len(values) == 1 else None,
        )
        axes.set_xticks(sessions[:: -(-len(sessions) // DATES_SHOWN)])
        axes.yaxis.set_major_formatter(lambda amount, _: f"{amount:,.0f}")
        axes.figure.autofmt_xdate(rotation=30)

    return Plot(
        title=f"Equity at the close ({report.currency})",
        text=(
            f"{len(values)} sessions: {money_text(first.equity_micros, report.currency)} on {first.session}, "
            f"{money_text(last.equity_micros, report.currency)} on {last.session}."
        ),
        svg=drawn(draw, height_in=2.4, name="equity"),
    )


def _funnel_plot(report: DailyReport) -> Plot:
    stages = [stage.stage.replace("_", " ") for stage in report.funnel]
    numbers = [stage.number or 0 for stage in report.funnel]
    labels = ["no data" if stage.number is None else f"{stage.number:,}" for stage in report.funnel]

    def draw(axes: Any) -> None:
        bars = axes.barh(stages, numbers, color=BLUE)
        axes.bar_label(bars, labels=labels, padding=3)
        # A universe of hundreds beside a handful of orders: on a linear scale the orders would not be seen.
        axes.set_xscale("symlog", linthresh=10)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])

    return Plot(
        title="From quotes to fills (bars on a logarithmic scale)",
        text=", ".join(f"{stage} {label}" for stage, label in zip(stages, labels, strict=True)) + ".",
        svg=drawn(draw, height_in=2.8, name="funnel"),
    )


def _exposure_plot(report: DailyReport) -> Plot:
    largest_first = sorted(report.positions, key=lambda line: (-abs(line.value_micros), line.symbol))
    shown = largest_first[:POSITIONS_SHOWN]
    rest = len(largest_first) - len(shown)
    percents = [100 * (line.weight or 0.0) for line in shown]

    def draw(axes: Any) -> None:
        bars = axes.barh(range(len(shown)), percents, color=BLUE)
        axes.set_yticks(range(len(shown)), [line.symbol for line in shown])
        axes.bar_label(bars, labels=[f"{percent:.1f} %" for percent in percents], padding=3)
        axes.margins(x=0.15)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=False)
        axes.set_xticks([])

    told = ", ".join(f"{line.symbol} {percent:.1f} %" for line, percent in zip(shown, percents, strict=True))
    return Plot(
        title="Exposure by symbol (share of equity)",
        text=told + (f", and {rest} smaller ones." if rest else "."),
        svg=drawn(draw, height_in=0.3 + 0.25 * len(shown), name="exposure"),
    )


DATES_SHOWN = 6
"""More dates than this run into each other on a small screen."""

POSITIONS_SHOWN = 20
"""More bars than this say less than the table below them."""


def drawn(draw: Callable[[Any], None], *, height_in: float, name: str) -> str:
    """Return one drawing as SVG that can stand inside a page, the same bytes each time."""
    from matplotlib import rc_context, rcdefaults, rcParams  # noqa: PLC0415 - half a second, for reports only
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context():
        # Whatever a user's own matplotlibrc says, a report looks the same everywhere.
        rcdefaults()
        rcParams.update(PLOT_STYLE)
        figure = Figure(figsize=(PLOT_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        image = io.StringIO()
        figure.savefig(image, format="svg", transparent=True, metadata=NO_METADATA)
    drawn = image.getvalue()
    return _with_own_ids(drawn[drawn.index("<svg") :], name)


def _with_own_ids(svg: str, name: str) -> str:
    """Return a drawing whose element ids begin with its name, since an id may stand on a page only once."""

    def renamed(tag: re.Match[str]) -> str:
        return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag.group())

    return re.sub(r"<[^>]*>", renamed, svg)


# ------------------------------------------------------------------------------------------------- the files


def replace_file(path: Path, text: str) -> None:
    """Put a text in a file's place, on disk before it gets the name; nothing else is ever seen there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _signed(micros: int, currency: str) -> str:
    return ("+" if micros > 0 else "") + money_text(micros, currency)


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
