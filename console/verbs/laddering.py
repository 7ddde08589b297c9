"""The verbs `advisor ladder` and `advisor lift`: how much the advisor may do, and what its advice was worth.

What they show is made in console/advisor_ladder.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import counted, instant, table
from console.verbs.deciding import actor_of
from console.verbs.options import DECIDING, AsOption, JsonOption, OneBookOption, show
from console.verbs.teaching import help_of
from trading.errors import BadInput

if TYPE_CHECKING:
    from console.advisor_ladder import LadderView, LiftView

ADVISOR = "advisor"

ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Why; needed to change anything, kept with your name."),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line, in the group of the advisor's."""
    group = next((one.typer_instance for one in app.registered_groups if one.name == ADVISOR), None)
    if group is None:
        group = typer.Typer(
            help="The advisor: a model that may make orders smaller, and nothing else.", no_args_is_help=True
        )
        app.add_typer(group, name=ADVISOR, rich_help_panel=DECIDING)
    group.command("ladder", help=help_of(ladder))(ladder)
    group.command("lift", help=help_of(lift))(lift)


def ladder(
    *,
    book: OneBookOption = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="STEP", help="Move to off, shadow, veto or veto_and_shrink."),
    ] = None,
    reason: ReasonOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how much the advisor may do for a book, and what the next step lacks; with --to, move it.

    Down is always allowed. Up goes one step at a time, and is refused while a gate of that step does not
    pass. After a step back by itself only a person's move lets anything be sent live again.

    trading advisor ladder --book us_five
    trading advisor ladder --book us_five --to veto --reason "a month in shadow, read the lift"
    Exit codes: 0 done, 2 no such book or step, 3 a step back waits for a person, 4 a gate does not pass.
    """
    from console.actions import require_actor
    from console.advisor_ladder import ladder_view, move_ladder

    desk = open_desk()
    name = desk.one(book).name
    if to is None:
        _refuse_words(reason, as_name, needed="--to STEP")
        view = ladder_view(desk, book=name)
    else:
        actor = actor_of(desk, as_name)
        require_actor(actor, reason or "")
        view = move_ladder(desk, book=name, to=to, actor=actor, reason=reason or "")
    show(view, _ladder, as_json=as_json, code=view.exit_code)


def lift(
    *,
    book: OneBookOption = None,
    at: Annotated[
        str,
        typer.Option("--at", metavar="STEP", help="As if advice were followed at this step, also in shadow."),
    ] = "veto_and_shrink",
    horizon: Annotated[
        int, typer.Option("--horizon", metavar="N", help="Mark so many sessions after a decision's own.")
    ] = 5,
    filed: Annotated[
        bool, typer.Option("--file", help="File the report for the ladder, by your name, whatever it says.")
    ] = False,
    reason: ReasonOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what advice was worth: each advised decision against its twin without it, both marked later.

    Only sessions after the model's stated training cut-off count. Where that is too little, it says so and
    shows no number.

    trading advisor lift --book us_five
    trading advisor lift --book us_five --file --reason "month of shadow"
    Exit codes: 0 known, 2 no such book, step or horizon, 3 not enough evidence, 4 no model is configured.
    """
    from console.actions import require_actor
    from console.advisor_ladder import lift_view

    desk = open_desk()
    actor = ""
    if filed:
        actor = actor_of(desk, as_name)
        require_actor(actor, reason or "")
    else:
        _refuse_words(reason, as_name, needed="--file")
    view = lift_view(
        desk,
        book=desk.one(book).name,
        step=at,
        horizon_sessions=horizon,
        filed_by=actor,
        reason=reason or "",
    )
    show(view, _lift, as_json=as_json, code=view.exit_code)


def _refuse_words(reason: str | None, as_name: str | None, *, needed: str) -> None:
    """Refuse a name or a reason for nothing: whoever gives one means to change something."""
    if reason is not None or as_name is not None:
        raise BadInput(f"--reason and --as are of a change; it needs {needed}")


def _ladder(view: LadderView) -> str:
    head = f"{view.book}: {view.step}" + (f" ({view.why})" if view.why else "")
    lines = [head, f"the reviewed file allows {view.ceiling}; {counted(view.sessions, 'advised session')}"]
    if view.lock:
        lines.append(f"models {', '.join(view.models)}, lock {view.lock[:12]}")
    if view.stepped_back:
        lines.append(
            f"! stepped back: {view.stepped_back}; nothing is sent live until a person moves the ladder"
        )
    if view.gates:
        rows = [(one.standing, one.gate, one.observed, one.needed, one.asks) for one in view.gates]
        asked = table(("", "gate", "observed", "needed", "what it asks"), rows)
        lines += ["", f"for {view.next_step}:", asked]
    if view.moves:
        moves = [
            (instant(one.at), one.before, one.after, one.actor or "by itself", one.reason)
            for one in view.moves
        ]
        lines += ["", table(("at", "from", "to", "by", "why"), moves)]
    return "\n".join(lines)


def _lift(view: LiftView) -> str:
    head = f"{view.book} at {view.step}: {view.standing.upper().replace('_', ' ')}"
    if view.mean_bps is None:
        lines = [f"{head}: {view.why}"]
    else:
        between = f"{view.level:.0%} between {view.low_bps:+.1f} and {view.high_bps:+.1f}"
        lines = [f"{head}: {view.mean_bps:+.1f} bps a session, {between}"]
    left = ", ".join(f"{count} {why.replace('_', ' ')}" for why, count in view.left_out.items())
    lines.append(
        f"{counted(view.counted, 'session')} of {view.sessions} counted, {counted(view.changed, 'decision')}"
        f" changed by advice{f'; left out: {left}' if left else ''}"
    )
    if view.twins:
        rows = [
            (
                one.session,
                one.symbol,
                one.side,
                one.verdict,
                one.unadvised_quantity,
                one.quantity,
                one.marked_on or "not yet",
                "" if one.gain_micros is None else f"{one.gain_micros / 1e6:+,.2f}",
            )
            for one in view.twins
        ]
        columns = ("session", "symbol", "side", "advice", "twin", "advised", "marked on", "gain")
        lines += ["", f"the last {len(view.twins)} of {view.twins_total} twins:", table(columns, rows)]
    if view.is_filed:
        lines += ["", f"filed for the ladder as {view.report_sha[:12]}"]
    return "\n".join(lines)
