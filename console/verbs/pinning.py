"""The verbs of `trading datasets`: what replays stand on, and the manifests that pin it.

What they show is made in console/datasets.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.render import short, table
from console.verbs.options import READING, BookOption, JsonOption, YesOption, answer, confirm, show
from console.verbs.teaching import help_of
from trading.datasets import Difference

if TYPE_CHECKING:
    from console.datasets import Compared, ComparedView, DatasetsView, ManifestView

ThisBookOption = Annotated[str, typer.Option("--book", metavar="NAME", help="A book of config/books.toml.")]
WriteOption = Annotated[
    bool,
    typer.Option(
        "--write", help="Write it to config/datasets/ (beside the file of books); without, it is only shown."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    group = typer.Typer(help="What replays stand on, held to manifests.", no_args_is_help=True)
    group.command("list", help=help_of(listed))(listed)
    group.command(help=help_of(verify))(verify)
    group.command(help=help_of(manifest))(manifest)
    app.add_typer(group, name="datasets", rich_help_panel=READING)


def listed(*, as_json: JsonOption = False) -> None:
    """List each book's data set as its manifest tells it: sessions, symbols, actions, files, digest.

    trading datasets list
    Exit codes: 0 listed, 2 a manifest cannot be read.
    """
    from console.datasets import dataset_lines

    show(dataset_lines(open_desk()), _list, as_json=as_json)


def verify(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Read every file of the data sets, and say where one is not what its manifest says. Changes nothing.

    A replay asks the same and refuses: files and their hashes, calendar, symbols, actions, costs.

    trading datasets verify
    trading datasets verify --book us_five --json
    Exit codes: 0 all are as their manifests say, 2 one has no manifest, 4 one differs.
    """
    from console.datasets import compared

    found = compared(open_desk(), book=book)
    code = ExitCode.DONE
    if any(one.why for one in found["datasets"]):
        code = ExitCode.USAGE
    if any(one.differences for one in found["datasets"]):
        code = ExitCode.REFUSED
    show(found, _compared, as_json=as_json, code=code)


def manifest(
    *, book: ThisBookOption, write: WriteOption = False, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Show the manifest of a book's data set as it is now, or write it: from then on replays take this one.

    Asks back where it takes the place of one that says otherwise.

    trading datasets manifest --book us_five
    trading datasets manifest --book us_five --write
    Exit codes: 0 shown or written, 1 not confirmed, 2 the data cannot be read.
    """
    from console.datasets import manifest_of
    from resources.dataset_files import write_manifest

    desk = open_desk()
    found, view = manifest_of(desk, book)
    if not write:
        show(view, _manifest, as_json=as_json)
        return
    if view["differences"]:
        typer.echo(_told(view["differences"]), err=True)
        confirm(f"Let replays of {book} stand on what it is now?", yes=yes)
    path = write_manifest(found, Path(desk.settings.books_file))
    show(answer(book=book, sha=found.sha, path=str(path)), _wrote, as_json=as_json)


def _wrote(view: dict[str, Any]) -> str:
    return (
        f"wrote {view['path']}: data set {short(view['sha'])}\n\n"
        f"next:\n  trading datasets verify --book {view['book']}"
    )


def _list(view: DatasetsView) -> str:
    headers = ("book", "data set", "source", "first", "last", "sessions", "symbols", "actions", "files")
    rows = [
        (
            line.book,
            short(line.sha),
            line.source,
            line.first_session,
            line.last_session,
            line.sessions,
            line.symbols,
            line.actions,
            ", ".join(line.files),
        )
        if line.sha
        else (line.book, "no manifest", *[None] * 7)
        for line in view["datasets"]
    ]
    return table(headers, rows)


def _compared(view: ComparedView) -> str:
    return "\n".join(_one(one) for one in view["datasets"])


def _one(one: Compared) -> str:
    if one.why:
        return f"{one.book}  no manifest\n  {one.why}"
    if not one.differences:
        return f"{one.book}  {short(one.sha)}  as its manifest says"
    return (
        f"{one.book}  differs from its manifest; replays refuse it\n{_told(one.differences)}\n"
        f"  restore it, or accept what it is now: trading datasets manifest --book {one.book} --write"
    )


def _told(changed: tuple[Difference, ...]) -> str:
    return "\n".join(f"  {one.what}: {one.found}, expected {one.expected}" for one in changed)


def _manifest(view: ManifestView) -> str:
    return view["text"].rstrip("\n")
