"""Lines over sessions, as the points of an SVG: small, without script, and told in words as well.

A plot is drawn by `templates/plot.html`. A line is known by its dashes and by the name at its end, never by
colour alone; where a session has no value the line has a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from console.history import SessionPoint
from console.render import counted, money

WIDTH, HEIGHT = 372, 120
LEFT, RIGHT, TOP, BOTTOM = 84, 66, 10, 20
"""Margins in the units of the drawing: the scale stands on the left, names on the right, dates below."""

POINTS_MIN = 2
"""Fewer sessions make no line."""

NAME_APART = 11
"""Names of lines that end close together are moved this far apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Hold one line: its name, and a number a session (`None`: there is none)."""

    name: str
    numbers: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Hold one line as it is drawn: runs of points as SVG has them, and where its name stands."""

    name: str
    style: int
    runs: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    name_x: float
    name_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Hold one drawing; `text` says what it shows, `highest` and `lowest` are the bounds of its scale."""

    title: str
    text: str
    first: str
    last: str
    highest: str
    lowest: str
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def plots_of(points: Sequence[SessionPoint], currency: str) -> tuple[Plot, ...]:
    """Return equity, exposure and the funnel over sessions; none where nothing is to be drawn."""
    if len(points) < POINTS_MIN:
        return ()
    sessions = [point.session for point in points]

    def in_money(micros: float) -> str:
        return money(int(micros), currency)

    drawn = (
        plot_of("Equity", sessions, [_series("equity", points, "equity_micros")], in_money),
        plot_of(
            "Exposure", sessions, [_series("exposure", points, "exposure_micros")], in_money, from_zero=True
        ),
        plot_of(
            "From intents to fills",
            sessions,
            [_series(name, points, name) for name in ("intents", "blocked", "filled")],
            lambda number: f"{int(number):,}",
            from_zero=True,
        ),
    )
    return tuple(plot for plot in drawn if plot is not None)


def _series(name: str, points: Sequence[SessionPoint], field: str) -> Series:
    return Series(name=name, numbers=tuple(getattr(point, field) for point in points))


def plot_of(
    title: str,
    sessions: Sequence[date],
    series: Sequence[Series],
    say: Callable[[float], str],
    *,
    from_zero: bool = False,
) -> Plot | None:
    """Return lines over sessions, `None` where no session has a value.

    `say` puts a number into words; `from_zero` begins the scale at zero where no value is below it.
    """
    known = [number for one in series for number in one.numbers if number is not None]
    if not known:
        return None
    lowest, highest = (min(0.0, *known) if from_zero else min(known)), max(known)
    lines = [_line(one, style, lowest, highest) for style, one in enumerate(series)]
    return Plot(
        title=title,
        text=_told(title, sessions, series, say),
        first=sessions[0].isoformat(),
        last=sessions[-1].isoformat(),
        highest=say(highest),
        lowest=say(lowest),
        lines=_apart([line for line in lines if line is not None]),
    )


def _told(title: str, sessions: Sequence[date], series: Sequence[Series], say: Callable[[float], str]) -> str:
    """Return in words what a plot shows: for each line its first, last, lowest and highest value."""
    lines = []
    for one in series:
        known = [number for number in one.numbers if number is not None]
        if known:
            lines.append(
                f"{one.name} from {say(known[0])} to {say(known[-1])}, "
                f"lowest {say(min(known))}, highest {say(max(known))}"
            )
    over = f"over {counted(len(sessions), 'session')}, {sessions[0]} to {sessions[-1]}"
    return f"{title} {over}: {'; '.join(lines)}."


def _line(series: Series, style: int, lowest: float, highest: float) -> Line | None:
    """Return a line in the units of the drawing, `None` where it has no point."""
    steps = max(len(series.numbers) - 1, 1)
    scale = (highest - lowest) or 1.0
    runs: list[list[tuple[float, float]]] = [[]]
    for place, number in enumerate(series.numbers):
        if number is None:
            runs.append([])
            continue
        across = LEFT + (WIDTH - LEFT - RIGHT) * place / steps
        down = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (number - lowest) / scale
        runs[-1].append((round(across, 1), round(down, 1)))
    drawn = [run for run in runs if run]
    if not drawn:
        return None
    last_x, last_y = drawn[-1][-1]
    return Line(
        name=series.name,
        style=style,
        runs=tuple(" ".join(f"{x},{y}" for x, y in run) for run in drawn if len(run) > 1),
        dots=tuple(run[0] for run in drawn if len(run) == 1),
        name_x=last_x + 4,
        name_y=last_y + 3,
    )


def _apart(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines with their names so far apart that each can be read, within the drawing."""
    placed: list[Line] = []
    lowest = float(HEIGHT - BOTTOM)
    for line in sorted(lines, key=lambda one: one.name_y, reverse=True):
        placed.append(replace(line, name_y=round(min(line.name_y, lowest), 1)))
        lowest = placed[-1].name_y - NAME_APART
    highest = float(TOP)
    for place, line in reversed(list(enumerate(placed))):
        placed[place] = replace(line, name_y=round(max(line.name_y, highest), 1))
        highest = placed[place].name_y + NAME_APART
    return tuple(sorted(placed, key=lambda one: one.style))
