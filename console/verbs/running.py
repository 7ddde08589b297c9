"""The verbs that run something: run-once, quotes import, demo, ui. The launcher asks the graph for it.

Slow by nature; progress goes to stderr. Looking is reading.py, deciding is deciding.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.desk import Desk, open_desk
from console.exit_codes import ExitCode, exit_code_named
from console.render import counted, instant
from console.verbs import texts
from console.verbs.options import (
    RUNNING,
    BookOption,
    JsonOption,
    OneBookOption,
    YesOption,
    confirm,
    day_or_none,
    show,
    tell,
)
from console.verbs.teaching import help_of
from resources.settings import load_settings
from trading.clock import Phase
from trading.errors import BadInput, TradingError
from trading.lifecycle import IntentState

if TYPE_CHECKING:
    from console.launcher import Launcher
    from trading.journal import JournalIntent

ALL_PHASES = "all"
PORT_DEFAULT = 3000


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command("run-once", help=help_of(run_once), rich_help_panel=RUNNING)(run_once)
    quotes = typer.Typer(help="Market data in the lake: import.", no_args_is_help=True)
    quotes.command("import", help=help_of(quotes_import))(quotes_import)
    app.add_typer(quotes, name="quotes", rich_help_panel=RUNNING)
    app.command(help=help_of(demo), rich_help_panel=RUNNING)(demo)
    app.command(help=help_of(ui), rich_help_panel=RUNNING)(ui)


def run_once(
    *,
    book: BookOption = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            metavar="YYYY-MM-DD",
            help="A session; the next one that is not settled when left out.",
        ),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", help="The last N sessions up to today, in order.")
    ] = None,
    phase: Annotated[
        str,
        typer.Option("--phase", metavar="PHASE", help="decide, execute, settle, or all of them in order."),
    ] = ALL_PHASES,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run sessions through the graph: by default the next one that is not settled, of every book.

    Again is harmless: the same session gives the same tables and no second order. Where an intent still
    waits for approval, and a simulated day that is run ends its time, it is named, and asked for first.
    Of each session that ran it says how many intents are in which state by then.

    trading run-once --book us_five
    trading run-once --book us_five --last 20
    trading run-once --book us_five --session 2013-02-28 --phase settle
    Exit codes: 0 done, 1 a run failed or it was not confirmed, 2 no such session or a setting is wrong or
    missing, 4 a stage refused, 5 halted, 6 a broker does not answer.
    """
    from console.runs import bounded_by_source, ended_by, intents_by_state, plan_of

    desk = open_desk()
    phases = _phases(phase)
    asked = day_or_none(session)
    outlines = desk.chosen(book)
    if asked is None:
        outlines = [bounded_by_source(desk, outline) for outline in outlines]
    plans = [plan_of(desk, outline, session=asked, last=last) for outline in outlines]
    _confirm_ended([row for plan in plans for row in ended_by(desk, plan, phases)], yes=yes)
    found = []
    for plan in plans:
        if plan.sessions:
            runs_of = _launcher().run_sessions(plan.book, plan.sessions, phases, tell)
            found += [(plan.book, row) for row in runs_of]
        else:
            tell(f"{plan.book}: {plan.nothing_because}")
    after = open_desk()
    runs = tuple(
        {
            "book": name,
            "session": row.session,
            "run_id": row.run_id,
            "success": row.success,
            "stage": row.stage,
            "message": row.message,
            "refused": row.refused,
            "refused_by": row.refused_by,
            "intents": intents_by_state(after, name, row.session),
        }
        for name, row in found
    )
    control = after.journal.run_control()
    view = {"runs": runs, "halted": control.kill_switch_on, "paused": control.paused}
    is_torn = not all(run["success"] for run in runs) and _is_torn(after)
    show(
        view,
        lambda _: _runs_text(view, phases, is_torn=is_torn),
        as_json=as_json,
        code=_code(after, runs),
    )


def _is_torn(desk: Desk) -> bool:
    """Say whether the stores do not belong together, or one of them cannot be looked at.

    That one may be what the run failed of: what the run said is told all the same.
    """
    from console.agreement import disagreements

    try:
        return bool(disagreements(desk))
    except (OSError, TradingError):
        return True


def _confirm_ended(rows: Sequence[JournalIntent], *, yes: bool) -> None:
    """Name the intents that a run ends unsent, and ask back."""
    if not rows:
        return
    for row in rows:
        tell(
            f"{texts.named(row)} ({row.state.value}): its time ends {instant(row.not_after)}, "
            f"this run ends it unsent; `trading approvals preview {row.intent_id}` shows it"
        )
    confirm(f"let {counted(len(rows), 'intent')} expire?", yes=yes)


def quotes_import(
    *,
    book: OneBookOption = None,
    through: Annotated[
        str | None,
        typer.Option(
            "--through",
            metavar="YYYY-MM-DD",
            help="This session and those that a decision for it reads; the source's last when left out.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a book's market data into the lake, bad rows into quarantine.

    trading quotes import --book us_wide --through 2010-05-06
    Exit codes: 0 done, 1 the import failed, 2 the source cannot be read, 6 the journal cannot be used.
    """
    desk = open_desk()
    outline = desk.one(book)
    # A lost journal is told of as one: within the import, which asks it what people released, a stage fails.
    desk.journal.run_control()
    count = _launcher().import_quotes(outline.name, first=None, through=day_or_none(through), progress=tell)
    view = {"book": outline.name, "sessions": count}
    following = (
        f"next:\n  trading run-once --book {outline.name}\n  trading quarantine list --book {outline.name}"
    )
    show(
        view,
        lambda _: f"{outline.name}: {counted(count, 'session')} in the lake\n{following}",
        as_json=as_json,
    )


def demo(*, as_json: JsonOption = False) -> None:
    """Run the data in the box through the whole graph, then say what happened and where to look.

    trading demo
    Exit codes: 0 done, 1 a run failed.
    """
    from console.summary import summary_of

    runs = _launcher().run_demo(tell)
    failed = tuple(f"{row.session} {row.stage}: {row.message}" for row in runs if not row.success)
    code = ExitCode.FAILED if failed else ExitCode.DONE
    show(summary_of(open_desk(), failed=failed), texts.summary, as_json=as_json, code=code)


def ui(
    *,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="The port on this machine, loopback only.")
    ] = PORT_DEFAULT,
    console_port: Annotated[
        int | None,
        typer.Option(
            "--console-port",
            min=0,
            max=65535,
            help="The console's port; the one after --port when left out, and 0 is without the console.",
        ),
    ] = None,
) -> None:
    """Serve the graph's pages and the console on this machine, with schedules and sensors, until interrupted.

    The console prints the link that signs a browser in, once, within a minute.

    trading ui --port 3000 --console-port 3001
    Exit codes: 2 a port is taken, 4 this state folder is served already, 130 interrupted.
    """
    from console.serving import serve_ui
    from resources.paper_broker.behaviour_file import check_behaviour

    beside = port % 65535 + 1 if console_port is None else console_port
    settings = load_settings()
    check_behaviour(settings.paper_behaviour)
    raise typer.Exit(serve_ui(settings, port, tell, console_port=beside or None))


def _launcher() -> Launcher:
    """Return the launcher, and with it all of Dagster: seconds, so only where something runs."""
    from console.launcher import open_launcher

    return open_launcher()


def _phases(name: str) -> tuple[str, ...]:
    known = [phase.value for phase in Phase]
    if name == ALL_PHASES:
        return tuple(known)
    if name in known:
        return (name,)
    raise BadInput(f"--phase {name!r}: one of {', '.join([*known, ALL_PHASES])}")


def _code(desk: Desk, runs: tuple[dict[str, Any], ...]) -> ExitCode:
    """Return how runs ended: halted and refused are told apart from failed, since a person acts otherwise."""
    failed = [row for row in runs if not row["success"]]
    if not failed:
        return ExitCode.DONE
    if desk.journal.run_control().kill_switch_on:
        return ExitCode.HALTED
    codes = {exit_code_named(row["refused_by"]) for row in failed}
    for code in (ExitCode.USAGE, ExitCode.DEPENDENCY_DOWN):
        # What a person corrects or waits for, and no rule of ours.
        if code in codes:
            return code
    for row in failed:
        if row["refused"]:
            continue
        record = desk.journal.session_record(book=row["book"], lane=desk.lane, session=row["session"])
        if record is None or not record.refused:
            return ExitCode.FAILED
    return ExitCode.REFUSED


def _runs_text(view: dict[str, Any], phases: tuple[str, ...], *, is_torn: bool) -> str:
    if not view["runs"]:
        return "nothing to run\nnext:\n  trading status"
    from console.render import table

    listed = table(
        ("book", "session", "came out", "at", "message"),
        [
            (
                row["book"],
                row["session"],
                "done" if row["success"] else "FAILED",
                row["stage"],
                texts.intents_counted(row["intents"]) if row["success"] else row["message"],
            )
            for row in view["runs"]
        ],
    )
    last = view["runs"][-1]
    of_session = f"--book {last['book']} --session {last['session']}"
    # A report there is once a session is settled. Of a run that failed, why is what a person asks.
    follow = f"trading report --book {last['book']}"
    if not last["success"]:
        follow = f"trading why {of_session}"
        if is_torn:
            # Where the stores do not belong together nothing is resumed before somebody has looked.
            return f"{listed}\nnext:\n  trading verify\n  trading doctor\n  {follow}"
    elif Phase.SETTLE.value not in phases:
        following = Phase.SETTLE if Phase.EXECUTE.value in phases else Phase.EXECUTE
        follow = f"trading run-once {of_session} --phase {following.value}"
        if last["intents"].get(IntentState.PENDING_APPROVAL):
            follow = f"trading approvals list --book {last['book']}\n  {follow}"
    is_stopped = not last["success"] and (view["halted"] or view["paused"])
    resume = "\n  trading resume --reason TEXT" if is_stopped else ""
    return f"{listed}\nnext:\n  trading status\n  {follow}{resume}"
