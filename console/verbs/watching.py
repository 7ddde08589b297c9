"""The verb `signals`: whether quotes come as they should, and what their absence holds back.

What it shows is made in console/signals.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.render import counted, table
from console.verbs.options import READING, BookOption, JsonOption, show
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.signals import BookSignals, SignalLine

QUIET_SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command(help=help_of(signals), rich_help_panel=READING)(signals)


def signals(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Show whether signals come: the last window of each book, why windows were empty, and what is held back.

    A window is one look before a decision. Two empty ones in a row, or quotes that are five minutes late,
    hold back promotion and live trading until two good ones have followed.

    trading signals
    trading signals --book us_five --json
    Exit codes: 0 nothing is held back, 3 something is.
    """
    from console.signals import signals_of

    rows = signals_of(open_desk(), book=book)
    code = ExitCode.ATTENTION if any(row.held for row in rows) else ExitCode.DONE
    show({"books": rows}, lambda _: told(rows), as_json=as_json, code=code)


def told(rows: Sequence[BookSignals]) -> str:
    """Return each book's continuity, and its latest empty windows."""
    listed = table(
        ("book", "windows", "empty", "last", "state", "reason", "lag s", "market", "signals", "held back"),
        [_cells(row) for row in rows],
    )
    quiet = [line for row in rows for line in row.quiet[:QUIET_SHOWN]]
    return listed + "".join(
        f"\n{line.book} {line.session}: {line.reason}, {counted(line.rows, 'quote')}, {line.lag_s:,} s late"
        for line in quiet
    )


def _cells(row: BookSignals) -> tuple[str, ...]:
    last: SignalLine | None = row.last
    if last is None:
        return (row.book, "0", "0", "-", "no window yet", "-", "-", "-", "-", "-")
    return (
        row.book,
        f"{row.windows:,}",
        f"{row.empty:,}",
        str(last.session),
        last.state,
        last.reason or "-",
        f"{last.lag_s:,}",
        last.session_state,
        str(last.signals),
        row.held or "-",
    )
