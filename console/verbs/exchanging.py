"""The verb that serves a paper broker over Alpaca's protocol: `paper-exchange`.

What answers is resources/paper_exchange/; it is imported only here, when it is asked for.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.render import json_text
from console.verbs.options import RUNNING, tell
from console.verbs.teaching import help_of
from trading.errors import BadInput

REQUESTS_PER_MINUTE_DEFAULT = 200


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    app.command("paper-exchange", help=help_of(paper_exchange), rich_help_panel=RUNNING)(paper_exchange)


def paper_exchange(
    *,
    book: Annotated[
        str | None, typer.Option("--book", metavar="NAME", help="The book whose market and account it is.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="The port, on this machine alone.")
    ] = 3003,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="Its ledger; one beside the profile's when left out."),
    ] = None,
    clock: Annotated[
        str, typer.Option("--clock", metavar="KIND", help="simulated: clients move it; system: real time.")
    ] = "simulated",
    starts_at: Annotated[
        str | None,
        typer.Option(
            "--starts-at",
            metavar="INSTANT",
            help="Where a simulated clock begins; an hour before the open of the data's last session.",
        ),
    ] = None,
    key_id: Annotated[
        str | None, typer.Option("--key-id", metavar="TEXT", help="APCA-API-KEY-ID; made up when left out.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", metavar="TEXT", help="APCA-API-SECRET-KEY; made up when left out."),
    ] = None,
    behaviour: Annotated[
        Path | None,
        typer.Option("--behaviour", metavar="FILE", help="How it misbehaves; kind when left out."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            help="What its market is made of: bokeh_stocks, bytetheory, folder or alpaca; the book's own "
            "first source when left out.",
        ),
    ] = None,
    path: Annotated[
        Path | None, typer.Option("--path", metavar="FOLDER", help="The bars of --source folder or alpaca.")
    ] = None,
    requests_per_minute: Annotated[
        int,
        typer.Option("--requests-per-minute", min=0, max=1_000_000, help="More are refused; 0 refuses none."),
    ] = REQUESTS_PER_MINUTE_DEFAULT,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it answers, and its keys, as one JSON object.")
    ] = False,
) -> None:
    """Serve a paper broker that speaks Alpaca's protocol, until interrupted: point Alpaca's client at it.

    It prints where it answers and the keys to show. Nobody's money moves; only this machine reaches it.

    trading paper-exchange --book us_five
    trading paper-exchange --book us_five --starts-at 2013-02-27T14:00:00Z --key-id KEY --secret SECRET
    trading paper-exchange --book my_bars --source folder --path data/my_spare_bars
    Exit codes: 2 a wrong argument, or a port or ledger that is taken, 6 a ledger that cannot be read,
    130 interrupted.
    """
    from resources.paper_exchange.application import Keys
    from resources.paper_exchange.starting import Wanted, generated_keys, serve

    desk = open_desk()
    outline = desk.one(book)
    if clock not in {"simulated", "system"}:
        raise BadInput(f"--clock {clock[:100]!r}: must be simulated or system")
    if (key_id is None) != (secret is None) or key_id == "" or secret == "":
        raise BadInput("--key-id and --secret: name both, or neither")
    keys = generated_keys() if key_id is None or secret is None else Keys(key_id, secret)
    wanted = Wanted(
        book=outline.name,
        ledger=ledger or desk.settings.profile_dir / "paper-exchange" / f"{outline.name}.db",
        config_dir=desk.settings.config_dir,
        books_file=Path(desk.settings.books_file),
        keys=keys,
        port=port,
        is_simulated=clock == "simulated",
        starts_at=None if starts_at is None else _instant(starts_at),
        behaviour=behaviour,
        requests_per_minute=requests_per_minute,
        source=source,
        path=path,
    )

    def ready(url: str, exchange: Any, time: Any) -> None:
        told = {
            "url": url,
            "stream": url.replace("http", "ws", 1) + "/stream",
            "account": exchange.account,
            "now": time.now().isoformat(),
            "key_id": keys.key_id,
            "secret": keys.secret,
        }
        if as_json:
            typer.echo(json_text(told))
            return
        typer.echo("\n".join(f"{name.replace('_', ' '):8} {value}" for name, value in told.items()))
        tell("Ctrl-C stops it")

    serve(wanted, ready=ready)
    raise typer.Exit(ExitCode.INTERRUPTED)


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"--starts-at {text[:100]!r}: write it as 2013-02-27T14:00:00Z") from error
    if at.tzinfo is None:
        raise BadInput(f"--starts-at {text}: has no time zone; write it as 2013-02-27T14:00:00Z")
    return at
