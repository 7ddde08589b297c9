"""The verbs of alerts: list, show, ack, silence, unsilence. The first two look and change nothing.

What an alert is to people now is console/alerts.py; what the deeds mean is trading/alert_log.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.verbs import texts
from console.verbs.deciding import actor_of
from console.verbs.options import (
    READING,
    AsOption,
    BookOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    show,
)
from console.verbs.teaching import help_of

AlertArgument = Annotated[
    str, typer.Argument(metavar="ALERT", help="An alert's code, or the beginning of its fingerprint.")
]
MINUTES_MAX = 30 * 24 * 60
"""Thirty days, the longest silence, in minutes."""


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    listed = typer.Typer(help=help_of(alerts), invoke_without_command=True)
    listed.callback(help=help_of(alerts))(alerts)
    for name, verb in (
        ("list", alerts_list),
        ("show", alerts_show),
        ("ack", alerts_ack),
        ("silence", alerts_silence),
        ("unsilence", alerts_unsilence),
    ):
        listed.command(name, help=help_of(verb))(verb)
    app.add_typer(listed, name="alerts", rich_help_panel=READING)


def alerts(context: typer.Context, *, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Show what people should know of: what fires, what is known, silenced or kept back, and the silences.

    `ack`, `silence` and `unsilence` say who knows, and keep people from being told.

    trading alerts
    trading alerts --book us_five --json
    Exit codes: 0 nothing fires from the policy's `fail_on` on, 3 something does that nobody knows of.
    """
    if context.invoked_subcommand is None:
        _show_list(book, is_all=False, as_json=as_json)


def alerts_list(
    *,
    book: BookOption = None,
    is_all: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what fires, the worst first; with `--all` what is over as well.

    trading alerts list --all
    Exit codes: 0 nothing fires from the policy's `fail_on` on, 3 something does that nobody knows of.
    """
    _show_list(book, is_all=is_all, as_json=as_json)


def alerts_show(*, alert: AlertArgument, as_json: JsonOption = False) -> None:
    """Show one alert: what was seen, since when, whose it is, its runbook, and what was done about it.

    trading alerts show drawdown_high
    Exit codes: 0 done.
    """
    from console.alerts import alert_of

    view = alert_of(open_desk(), alert)
    show(view, texts.alert, as_json=as_json)


def alerts_ack(
    *,
    alert: AlertArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you know of an alert and act on it: it is not told again while it goes on.

    trading alerts ack drawdown_high --reason "reducing since 10:00"
    Exit codes: 0 done, 2 no such alert, 4 refused: it is over.
    """
    from console.alerts import acknowledge

    desk = open_desk()
    show(acknowledge(desk, alert, actor=actor_of(desk, as_name), reason=reason), texts.alert, as_json=as_json)


def alerts_silence(
    *,
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="MATCHER…",
            help="LABEL=VALUE, or != or =~ or !~; labels: alertname, book, severity, about.",
        ),
    ],
    reason: ReasonOption,
    minutes: Annotated[
        int, typer.Option("--minutes", metavar="MINUTES", help="For how long.", min=1, max=MINUTES_MAX)
    ] = 60,
    as_name: AsOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep people from being told of matching alerts for a while; they stay in the list.

    trading alerts silence alertname=drawdown_high book=us_five --minutes 120 --reason "known since the gap"
    Exit codes: 0 done.
    """
    from console.alerts import silence

    desk = open_desk()
    actor = actor_of(desk, as_name)
    confirm(f"tell nobody of {', '.join(matchers)} for {minutes:,} minutes?", yes=yes)
    view = silence(desk, matchers, lasts=timedelta(minutes=minutes), actor=actor, reason=reason)
    show(view, texts.silence, as_json=as_json)


def alerts_unsilence(
    *,
    silence_id: Annotated[str, typer.Argument(metavar="SILENCE", help="The id of a silence in force.")],
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence before its time: what fires is told again.

    trading alerts unsilence SILENCE_ID --reason "it was another fault"
    Exit codes: 0 done.
    """
    from console.alerts import end_silence

    desk = open_desk()
    view = end_silence(desk, silence_id, actor=actor_of(desk, as_name), reason=reason)
    show(view, texts.silence, as_json=as_json)


def _show_list(book: str | None, *, is_all: bool, as_json: bool) -> None:
    from console.alerts import alerts_of, is_failing, silences_of

    desk = open_desk()
    rows = alerts_of(desk, book=book, is_all=is_all)
    silences = tuple(one for one in silences_of(desk) if one.is_in_force)
    show(
        {"items": rows, "silences": silences},
        lambda _: texts.alerts(rows, silences),
        as_json=as_json,
        code=ExitCode.ATTENTION if is_failing(desk, rows) else ExitCode.DONE,
    )
