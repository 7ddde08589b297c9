"""The verbs that look and change nothing, from `status` to `doctor`.

They start in a moment, so what is slow to import is imported where it is needed. What they show is made in
`console`; what people decide is deciding.py.
"""

from __future__ import annotations

from typing import Annotated

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.verbs import texts
from console.verbs.options import (
    READING,
    BookOption,
    JsonOption,
    SessionOption,
    day_or_none,
    show,
    tell,
)
from console.verbs.teaching import help_of

IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="An intent, its key, an order (ours or the broker's), an execution, or SYMBOL@SESSION; "
        "any unique beginning will do.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    for verb in (status, why, positions, trace, explain):
        app.command(help=help_of(verb), rich_help_panel=READING)(verb)
    app.command("doctor", help=help_of(doctor), rich_help_panel=READING)(doctor)
    config = typer.Typer(help="What is in force here: settings, limits, books.", no_args_is_help=True)
    config.command("show", help=help_of(config_show))(config_show)
    app.add_typer(config, name="config", rich_help_panel=READING)


def status(*, book: BookOption = None, session: SessionOption = None, as_json: JsonOption = False) -> None:
    """Show the morning check: one verdict, how far each book is, its funnel, P&L, what needs you.

    trading status
    trading status --book us_five --json
    Exit codes: 0 all well or nothing yet, 3 attention needed, 5 halted.
    """
    from console.status import status_of

    found = status_of(open_desk(), book=book, session=day_or_none(session))
    show(found, texts.status, as_json=as_json, code=found.exit_code)


def why(*, book: BookOption = None, session: SessionOption = None, as_json: JsonOption = False) -> None:
    """Say why nothing was traded: the first stage at zero and its reason, for each book.

    trading why
    trading why --book us_five --session 2013-02-18
    Exit codes: 0 an ordinary reason, 3 a person is needed, 5 halted.
    """
    from console.why import why as why_not

    desk = open_desk()
    asked = day_or_none(session)
    answers = tuple(why_not(desk, book=outline, session=asked) for outline in desk.chosen(book))
    code = max((row.exit_code for row in answers), default=ExitCode.DONE)
    show({"books": answers}, lambda _: texts.why(answers), as_json=as_json, code=code)


def positions(*, book: BookOption = None, session: SessionOption = None, as_json: JsonOption = False) -> None:
    """Show what each book holds after its latest settled session: cash, shares, cost, worth.

    trading positions --book us_five
    Exit codes: 0 done.
    """
    from console.holdings import holdings_of

    desk = open_desk()
    asked = day_or_none(session)
    held = tuple(holdings_of(desk, outline, asked) for outline in desk.chosen(book))
    show({"books": held}, lambda _: texts.positions(held), as_json=as_json)


def trace(*, identity: IdArgument, as_json: JsonOption = False) -> None:
    """Show where one order came from: quotes, score, verdicts, advice, approver, order, fills, result.

    Content hashes are computed again from the files; nothing has to be running for it.

    trading trace AAPL@2013-02-28
    trading trace ta-5f0c
    Exit codes: 0 done, 2 no such id or several fit, 3 a table it stands on was altered.
    """
    from console.order_trace import trace as trace_of

    found = trace_of(open_desk(), identity)
    code = ExitCode.ATTENTION if found.quotes.altered else ExitCode.DONE
    show(found, texts.trace, as_json=as_json, code=code)


def explain(*, identity: IdArgument, as_json: JsonOption = False) -> None:
    """Explain why an intent was blocked: each guard's reason, what it saw, its limit, what would pass.

    trading explain AAPL@2013-02-28
    Exit codes: 0 done, 2 no such id or several fit.
    """
    from console.explain import explain as explain_intent

    show(explain_intent(open_desk(), identity), texts.explain, as_json=as_json)


def config_show(*, as_json: JsonOption = False) -> None:
    """Show settings in force and where they come from, limits, books. Secrets stay hidden.

    trading config show
    Exit codes: 0 done, 2 a setting or a file is wrong.
    """
    from console.effective import effective

    show(effective(open_desk()), texts.config, as_json=as_json)


def doctor(*, as_json: JsonOption = False) -> None:
    """Check whether this installation is fit to trade: each check with what to do about it. Changes nothing.

    Reads all of the journal's events and of the audit log, and tells how far it is where they are long.

    trading doctor
    Exit codes: 0 fit, 1 a check failed.
    """
    from console.doctor import diagnose

    found = diagnose(open_desk, tell)
    show(found, texts.doctor, as_json=as_json, code=found.exit_code)
