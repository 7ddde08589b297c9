"""The verbs about calls to somebody outside: `outbound` and `breakers reset`.

What they show and do is made in console/outbound.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import NONE, instant, table
from console.verbs.deciding import actor_of
from console.verbs.options import DECIDING, READING, AsOption, JsonOption, ReasonOption, show
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.outbound import BreakerLine, OutboundView

CALLS_MAX = 1_000_000


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command(help=help_of(outbound), rich_help_panel=READING)(outbound)
    breakers = typer.Typer(help="Circuit breakers of whoever is called.", no_args_is_help=True)
    breakers.command("reset", help=help_of(breakers_reset))(breakers_reset)
    app.add_typer(breakers, name="breakers", rich_help_panel=DECIDING)


def outbound(
    *,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=CALLS_MAX, help="Of how many calls.")
    ] = 10_000,
    as_json: JsonOption = False,
) -> None:
    """Show who is called outside and how that goes: breakers, errors, answers of 429, latency.

    trading outbound
    trading outbound --last 500 --json
    Exit codes: 0 no breaker holds calls back, 3 one does.
    """
    from console.outbound import outbound_of

    found = outbound_of(open_desk(), last=last)
    show(found, _text, as_json=as_json, code=found.exit_code)


def breakers_reset(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A breaker, as `trading outbound` lists it.")],
    reason: ReasonOption,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a breaker before its time, so that the next call goes out. The next two failures open it again.

    trading breakers reset alpaca --reason "they say it is mended"
    Exit codes: 0 closed, 2 no such breaker, 4 refused: it holds nothing back.
    """
    from console.doing import By
    from console.outbound import reset_breaker

    desk = open_desk()
    line = reset_breaker(desk, name, by=By(actor=actor_of(desk, as_name), reason=reason))
    show(line, lambda _: _breakers([line]), as_json=as_json)


def _text(view: OutboundView) -> str:
    """Return the breakers, then each endpoint's figures; says so where nobody was called."""
    parts = [_breakers(view.breakers)] if view.breakers else []
    if view.endpoints:
        rows = [
            (
                row.provider,
                row.endpoint,
                row.calls,
                row.errors,
                NONE if row.limited_ratio is None else f"{row.limited_ratio:.1%}",
                NONE if row.latency_ms_p95 is None else f"{row.latency_ms_p95} ms",
                row.held_back,
                row.cached,
            )
            for row in view.endpoints
        ]
        columns = ("provider", "endpoint", "calls", "errors", "429s", "p95", "held back", "cached")
        parts.append(
            f"calls from {instant(view.first_at)} to {instant(view.last_at)}\n{table(columns, rows)}"
        )
    return "\n\n".join(parts) or "nobody outside was called\nnext:\n  trading status"


def _breakers(lines: tuple[BreakerLine, ...] | list[BreakerLine]) -> str:
    rows = [
        (line.name, line.state, line.failures, line.trials, instant(line.until), line.word or NONE)
        for line in lines
    ]
    return table(("breaker", "state", "failures", "failed trials", "until", "last failure"), rows)
