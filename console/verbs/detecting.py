"""The verb `detect`: whether a strategy sees ahead, or depends on chance, memory or where history begins.

What it finds is made in console/detecting.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.render import counted, table
from console.verbs.options import READING, BookOption, JsonOption, show, tell
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.detecting import Detected
    from trading.lookahead import Accusation, Detection

SESSIONS = 20
"""Sessions looked at by default: some seconds for the wide book."""
CHANGES_SHOWN = 3


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    app.command(help=help_of(detect), rich_help_panel=READING)(detect)


def detect(
    *,
    book: BookOption = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME|FILE[:KEY=VALUE,…]",
            help="A configured strategy, or a file, with parameters that differ; again for more. "
            "The book's own when left out.",
        ),
    ] = None,
    sessions: Annotated[
        int,
        typer.Option("--sessions", metavar="N", help="How many sessions, spread over the data; at least 1."),
    ] = SESSIONS,
    as_json: JsonOption = False,
) -> None:
    """Decide sessions again on false futures and other histories: names what changes and whose rule it is.

    Look-ahead, chance, memory, a history that begins elsewhere; and how much history each rule needs. On the
    book's own bars; it changes nothing.

    trading detect
    trading detect --book us_five --strategy momentum:lookback=60,skip=5
    trading detect --book us_five --strategy examples/strategies/biased/own_close.py --sessions 5
    Exit codes: 0 clean, 2 a strategy or a parameter is wrong, or it raises, 3 a rule is biased, or had no
    opinion in any session, 130 interrupted.
    """
    from console.detecting import detected

    found = detected(open_desk(), book=book, strategies=strategy or (), sessions=sessions, progress=tell)
    code = ExitCode.DONE if found.is_clean else ExitCode.ATTENTION
    show(found, told, as_json=as_json, code=code)


def told(view: Detected) -> str:
    """Return a block a book: the verdict, each accusation with its first changes, what each rule needs."""
    return "\n\n".join(_book(one) for one in view.books)


def _book(found: Detection) -> str:
    looked_at = f"{counted(len(found.sessions), 'session')}, {found.rows:,} rows compared"
    verdict = "clean" if found.is_clean else f"{counted(len(found.accusations), 'accusation')}"
    if found.is_clean and found.silent:
        verdict = "no data"
    lines = [f"{found.book}: {verdict}   ({looked_at})"]
    lines += [f"! {name} had no opinion in these sessions: no data; look at more" for name in found.silent]
    for accusation in found.accusations:
        lines += ["", *_accusation(accusation)]
    if found.following:
        lines += ["", f"{found.following:,} values of votes, intents and verdicts follow from these"]
    needs = [
        (need.suspect, found.opinions.get(need.suspect, ""), need.least_sessions, need.window_sessions)
        for need in found.warm_ups
    ]
    if needs:
        lines += ["", table(("rule", "opinions", "sessions needed", "sessions given"), needs)]
    return "\n".join(lines)


def _accusation(accusation: Accusation) -> list[str]:
    from trading.lookahead import MEANINGS

    largest = "" if accusation.size_max is None else f", up to {accusation.size_max:.2%} of the value"
    in_sessions = f"{accusation.values:,} values in {counted(accusation.sessions, 'session')}"
    lines = [f"! {accusation.suspect} {MEANINGS[accusation.bias]} ({accusation.bias.value})"]
    lines.append(f"  {in_sessions}{largest}")
    for change in accusation.changes[:CHANGES_SHOWN]:
        row = change.difference
        both = f"{row.column}: {row.live} → {row.replayed}"
        lines.append(f"    {change.session} {change.symbol} {both}   ({change.done})")
    return lines
