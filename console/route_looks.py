"""Do the routes lead anywhere: each adapter over a network that a book's lines name, its keys and account.

The lines are asked by the process that may hold keys (ask_process.py); without such a line nobody is asked.
Shown by doctor.py and preflight.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from console.asking import answer_apart
from console.desk import Desk
from trading.routing import EMBEDDED_PAPER

FILE = "routes.toml"

REMEDIES = {
    "setting": "set it, or route the book elsewhere; `trading config show` shows what is in force",
    "keys": "the broker does not know these keys: TRADING_BROKER_APP_KEY and TRADING_BROKER_APP_SECRET",
    "blocked": "the broker takes nothing of this account: see there why, and route nothing to it until then",
    "other_account": "TRADING_BROKER_ACCOUNT_NO names another account than the keys reach: correct either",
    "unreachable": "start it, or correct its address; until it answers nothing of its accounts is sent",
}
"""What a person does about a route that leads nowhere, by what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSeen:
    """Hold how one adapter of a book's routes answered; `remedy` is empty where orders can go there."""

    book: str
    adapter: str
    is_ok: bool
    found: str
    remedy: str


def routes_seen(desk: Desk, books: Collection[str]) -> tuple[RouteSeen, ...]:
    """Return how each adapter over a network answers that the routes of books name; empty for none."""
    if not names_another(desk):
        return ()
    answer = answer_apart([f"--routes={book}" for book in sorted(books)])
    if isinstance(answer, str):
        return (RouteSeen(book="", adapter="", is_ok=False, found=answer, remedy=REMEDIES["setting"]),)
    return tuple(_seen(row) for row in answer["routes"])


def names_another(desk: Desk) -> bool:
    """Say whether a line names another adapter than the embedded one, or cannot be read plainly."""
    path = desk.settings.config_dir / FILE
    if not path.exists():
        return False
    try:
        lines = tomllib.loads(path.read_text(encoding="utf-8"))["routes"]
        return any(set(line["adapters"]) != {EMBEDDED_PAPER} for line in lines)
    except (OSError, ValueError, KeyError, TypeError):
        # What is wrong with the file, who reads it properly says.
        return True


def _seen(row: dict[str, Any]) -> RouteSeen:
    return RouteSeen(
        book=row["book"],
        adapter=row["adapter"],
        is_ok=not row["word"],
        found=row["found"],
        remedy=REMEDIES[row["word"]] if row["word"] else "",
    )
