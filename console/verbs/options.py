"""The options that verbs share, and what is done with them: printing, asking back, reading dates.

The views themselves are made in `console`; how they look is console/render.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from console.exit_codes import ExitCode
from console.render import in_lines, in_one_line, json_text
from trading.errors import AnswerUnwritten, BadInput

if TYPE_CHECKING:
    from console.desk import Desk
    from resources.journal.store import SqlJournal

READING = "Look"
DECIDING = "Decide"
RUNNING = "Run"

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

View = TypeVar("View")
Done = TypeVar("Done")

JsonOption = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object, also on errors.")]
BookOption = Annotated[
    str | None,
    typer.Option("--book", metavar="NAME", help="One book of config/books.toml; all when left out."),
]
OneBookOption = Annotated[
    str | None,
    typer.Option(
        "--book", metavar="NAME", help="A book of config/books.toml; needed where there are several."
    ),
]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", metavar="YYYY-MM-DD", help="A session; the book's latest one when left out."),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal with your name.")
]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Who acts, kept as you say it: a claim, since who runs this has the state folder. The console "
        "proves names. TRADING_OPERATOR when left out.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask back. For scripts; never the default.")]


def show(view: View, text: Callable[[View], str], *, as_json: bool, code: ExitCode = ExitCode.DONE) -> None:
    """Print a view for people or as one JSON object, and end the verb with its exit code.

    Raises `AnswerUnwritten` where it cannot be printed, as on a full disk.
    """
    told = json_text(view) if as_json else in_lines(text(view))
    try:
        typer.echo(told)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AnswerUnwritten(
            f"the answer could not be written ({error.strerror}): what was asked for is done; look again"
            " where there is room"
        ) from error
    if code is not ExitCode.DONE:
        raise typer.Exit(code)


def tell(line: str) -> None:
    """Tell a person how things go, beside the answer: on stderr. Where nobody can be told, it goes on."""
    with suppress(OSError):
        typer.echo(in_lines(line), err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask back unless told not to; anything but a yes ends the verb with nothing changed."""
    if yes or typer.confirm(in_one_line(question), default=False, err=True):
        return
    raise typer.Abort


def confirm_change(desk: Desk, change: Callable[[SqlJournal], Done], question: str, *, yes: bool) -> Done:
    """Ask back before a change of the journal, and make it.

    What the journal would refuse is refused before anybody is asked: a yes to it would change nothing, and
    who has no terminal is told why.
    """
    require_allowed(desk, change, yes=yes)
    confirm(question, yes=yes)
    with desk.open_journal() as journal:
        return change(journal)


def require_allowed(desk: Desk, change: Callable[[SqlJournal], object], *, yes: bool) -> None:
    """Raise what a change of the journal would raise; with `yes` the change itself says it."""
    if not yes:
        with desk.rehearse_journal() as journal:
            change(journal)


def day(text: str) -> date:
    """Return the date of an argument; raises `BadInput` naming it."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        rule = "no such date" if _DATE.fullmatch(text) else "write it as YYYY-MM-DD, e.g. 2013-03-01"
        raise BadInput(f"date {text!r}: {rule}") from error


def day_or_none(text: str | None) -> date | None:
    """Return the date of an option, `None` where it was left out."""
    return None if text is None else day(text)


def answer(**items: Any) -> dict[str, Any]:
    """Return a small view of an action done, by name."""
    return dict(items)
