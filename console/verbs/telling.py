"""The verb of the delivery log: `trading deliveries`. It looks and changes nothing.

What an attempt is, is console/deliveries.py; alerts themselves are console/verbs/alerting.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import instant, table
from console.verbs.options import READING, JsonOption, day_or_none, show
from console.verbs.teaching import help_of
from resources.setting_names import CHANNELS
from trading.alerts import Reason

if TYPE_CHECKING:
    from console.deliveries import DeliveryCount, DeliveryLine

LAST_MAX = 10_000


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    app.command(help=help_of(deliveries), rich_help_panel=READING)(deliveries)


def deliveries(
    *,
    reason: Annotated[
        Reason | None, typer.Option("--reason", help="What came of the attempt; all when left out.")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="NAME", help=f"One of {', '.join(CHANNELS)}; all when left out."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="YYYY-MM-DD", help="From this day on, of UTC.")
    ] = None,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=LAST_MAX, help="How many lines at most.")
    ] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show the attempts to tell people of alerts: when, over which channel, and what came of each.

    trading deliveries --channel webhook --since 2013-02-01
    trading deliveries --reason missing_webhook_url --json
    Exit codes: 0 done.
    """
    from console.deliveries import DeliveryFilter, deliveries_of, delivery_counts

    wanted = DeliveryFilter(reason=reason, channel=channel, since=day_or_none(since))
    desk = open_desk()
    rows, counts = deliveries_of(desk, wanted, last=last), delivery_counts(desk, wanted)
    show(
        {"items": rows, "counts": counts},
        lambda _: _text(rows, counts, is_all=wanted == DeliveryFilter()),
        as_json=as_json,
    )


def _text(rows: Sequence[DeliveryLine], counts: Sequence[DeliveryCount], *, is_all: bool) -> str:
    """Return the attempts, then how many there were by channel and reason; says so where there is none."""
    if not rows:
        if not is_all:
            return "no attempt is like that; `trading deliveries` shows all"
        return "nobody was told anything, and nobody tried"
    lines = table(
        ("when", "message", "try", "channel", "reason", "severity", "subject", "now"),
        [
            (
                instant(row.at),
                str(row.outbox_id),
                str(row.attempt),
                row.channel,
                row.reason,
                row.severity,
                row.subject,
                row.status,
            )
            for row in rows
        ],
    )
    summed = table(
        ("channel", "reason", "attempts"), [(row.channel, row.reason, f"{row.attempts:,}") for row in counts]
    )
    return f"{lines}\n\n{summed}"
