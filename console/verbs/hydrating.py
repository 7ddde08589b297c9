"""The verb that asks every input of a session whether it can be read: `inputs smoke`.

What it shows is made in console/smoke.py; it sends no order and decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import counted, table
from console.verbs.options import RUNNING, BookOption, JsonOption, SessionOption, day_or_none, show
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.smoke import Smoke


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    inputs = typer.Typer(help="What a session is decided on: is it there.", no_args_is_help=True)
    inputs.command("smoke", help=help_of(smoke))(smoke)
    app.add_typer(inputs, name="inputs", rich_help_panel=RUNNING)


def smoke(
    *,
    book: BookOption = None,
    session: SessionOption = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask over the network too what is configured to be reached so.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask each input of the next session from each of its origins, and say who answers. Sends no order.

    trading inputs smoke
    trading inputs smoke --book us_five --json
    trading inputs smoke --connect
    Exit codes: 0 all can be read, 2 one breaks its contract, cannot be read or lacks a setting, 3 one is not
    there yet, 6 a broker does not answer.
    """
    from console.smoke import smoke as smoke_of

    desk = open_desk()
    found = smoke_of(desk, book=book, session=day_or_none(session), connect=connect)
    show(found, _text, as_json=as_json, code=found.exit_code)


def _text(view: Smoke) -> str:
    """Return every read as a table, the counts first."""
    skipped = f", {view.skipped} skipped: they need --connect" if view.skipped else ""
    head = f"{view.ready} of {counted(view.attempted, 'read')} ready{skipped}"
    rows = [
        (row.book, row.session, row.source, row.origin, row.status, row.records, row.detail or row.code)
        for row in view.reads
    ]
    columns = ("book", "session", "source", "origin", "status", "records", "why")
    return f"{head}\n{table(columns, rows)}"
