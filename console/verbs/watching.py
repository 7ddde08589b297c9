"""The verbs `signals` and `slo`: whether quotes come, and whether the desk keeps what it promises.

They are made in console/signals.py and console/slo.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.render import counted, pairs, table
from console.verbs.options import READING, BookOption, JsonOption, show
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.signals import BookSignals, SignalLine
    from console.slo import Slo

QUIET_SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command(help=help_of(signals), rich_help_panel=READING)(signals)
    app.command(help=help_of(slo), rich_help_panel=READING)(slo)


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


def slo(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Show what is promised of the desk and what was kept: error budgets, how fast they burn, and the level.

    The level (normal, watch or incident) says how careful to be: how often somebody looks, who is on call and
    how approvals are given. It is the same one everywhere.

    trading slo
    trading slo --book us_five --json
    Exit codes: 0 normal, 3 watch or incident.
    """
    from console.slo import slo_of

    found = slo_of(open_desk(), book=book)
    show(
        found,
        promised,
        as_json=as_json,
        code=ExitCode.DONE if found.level == "normal" else ExitCode.ATTENTION,
    )


def promised(view: Slo) -> str:
    """Return the level in force with its reasons, then an objective a line."""
    head = pairs(
        {
            "level": f"{view.level.upper()} ({view.severity})",
            "because": "; ".join(view.reasons) or view.calm,
            "look every": f"{view.heartbeat_s} s",
            "on call": view.on_call,
            "approvals": view.approvals,
            "recovery p95": "no data"
            if view.recovery_s_p95 is None
            else f"{view.recovery_s_p95:,} s, to be at most {view.recovery_s_max:,} s",
        }
    )
    rows = [
        (
            one.objective,
            f"{one.target:.1%}",
            "no data" if one.ratio is None else f"{one.ratio:.2%}",
            f"{one.good:,} of {one.total:,} {one.unit}",
            "-" if one.budget_left is None else f"{one.budget_left:.0%}",
            "-" if not one.burns or one.burns[0].burn is None else f"{one.burns[0].burn:.1f}",
            one.alert or "-",
            one.good_is,
        )
        for one in view.objectives
    ]
    headers = ("objective", "promised", "kept", "of", "budget left", "last burn", "burns", "good is")
    return f"{head}\n\n{table(headers, rows)}"


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
