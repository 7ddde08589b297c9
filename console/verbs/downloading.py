"""The verb that downloads daily bars into a folder that a book can read: `bars download`.

What it does is made in console/bars.py; importing what is in the folder is `quotes import`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import counted, table
from console.verbs.options import RUNNING, JsonOption, day, show, tell
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.bars import DownloadView

FEED_DEFAULT = "iex"


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    bars = typer.Typer(help="Daily bars in a folder of your own: download.", no_args_is_help=True)
    bars.command("download", help=help_of(download))(download)
    app.add_typer(bars, name="bars", rich_help_panel=RUNNING)


def download(
    *,
    symbols: Annotated[
        str, typer.Option("--symbols", metavar="A,B,…", help="Whose bars, as the market writes them.")
    ],
    first_day: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day.")],
    last_day: Annotated[
        str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day, of a session that is over.")
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="FOLDER", help="Where the files go; made where it is missing.")
    ],
    feed: Annotated[
        str,
        typer.Option(
            "--feed",
            metavar="NAME",
            help="iex, which is free and one exchange's, a few percent of the volume; or sip, all of them.",
        ),
    ] = FEED_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Download raw daily bars, splits and dividends from Alpaca, or a paper exchange, into a folder.

    A year at a time. What is there already is not asked for again, so that the same words go on where an
    earlier download stopped, and a later `--to` adds the days since. Which feed the volume is of is recorded
    beside the bars and becomes part of each quote's source.

    trading bars download --symbols AAPL,IBM --from 2012-01-03 --to 2013-02-28 --into data/alpaca_bars
    Exit codes: 0 all is there, 2 a wrong argument, setting or folder, 6 nobody answers there.
    """
    from console.bars import download_into

    found = download_into(
        open_desk(),
        symbols=symbols,
        first=day(first_day),
        last=day(last_day),
        into=into,
        feed=feed,
        progress=tell,
    )
    show(found, _text, as_json=as_json)


def _text(view: DownloadView) -> str:
    """Return what came as a table a year a line, then what somebody has to look at, then what follows."""
    parts = []
    if view["downloads"]:
        rows = [(one.first, one.last, one.rows, one.actions) for one in view["downloads"]]
        parts.append(table(("from", "to", "bars", "actions"), rows))
    else:
        parts.append(f"nothing to download: {view['folder']} has all of it")
    for one in view["downloads"]:
        parts += [f"{one.first} to {one.last}: no bar of {name}" for name in one.without_bars]
        parts += [f"{one.first} to {one.last}: no book can take {told}" for told in one.other_actions]
    parts.append(
        f"{counted(view['symbols'], 'symbol')} of feed {view['feed']} in {view['folder']}\n"
        "next: a book with\n"
        f'  source = "alpaca"\n  path = "{view["folder"]}"\n'
        "in config/books.toml, then\n  trading quotes import --book NAME"
    )
    return "\n".join(parts)
