"""The verbs of `trading db`: what is done to the journal's database as such, and never to what it tells."""

from __future__ import annotations

from typing import TypedDict

import typer

from console.desk import open_desk
from console.verbs.options import RUNNING, JsonOption, show
from console.verbs.teaching import help_of


class Upgraded(TypedDict):
    """Hold the schema that the journal has now."""

    schema: str


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    group = typer.Typer(help="The journal's database.", no_args_is_help=True)
    group.command(help=help_of(upgrade))(upgrade)
    app.add_typer(group, name="db", rich_help_panel=RUNNING)


def upgrade(*, as_json: JsonOption = False) -> None:
    """Bring the journal's database to the schema of this version; one that has it stays as it is.

    Needed once after a new version was installed. Take a copy of the state folder before: an older version
    cannot read it afterwards.

    trading db upgrade
    Exit codes: 0 it has this version's schema, 6 it cannot be read, or is of a newer version.
    """
    from resources.journal.condition import SCHEMA_REVISION

    with open_desk().open_journal():
        view: Upgraded = {"schema": SCHEMA_REVISION}
    show(view, _upgraded, as_json=as_json)


def _upgraded(view: Upgraded) -> str:
    return f"the journal has schema {view['schema']}\n\nnext:\n  trading status"
