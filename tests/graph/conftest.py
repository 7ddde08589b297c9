"""The states that tests of the graph begin with: each made once, copied for every test that changes it.

A copy holds the lake, the journal and the paper ledger, like the folder of a machine. What runs there is
desk.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest

from tests.graph.desk import CALENDAR, FIRST, SAID, SESSIONS, WIDE_SESSIONS, WINDOW, Desk, copied, failure_of


@pytest.fixture(scope="session")
def suite_imported() -> None:
    """Import the library behind the check of quotes, which takes seconds and warns of its own imports."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations  # noqa: F401


class Imported(NamedTuple):
    """Hold a state folder with imported quotes, to be copied, and the events of the run that did it."""

    folder: Path
    events: Sequence[dg.DagsterEvent]


@pytest.fixture(scope="session")
def imported(suite_imported: None, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Give the quotes of the last sessions of `us_five` and their windows."""
    return _imported_once(tmp_path_factory, "us_five", SESSIONS)


@pytest.fixture(scope="session")
def imported_wide(suite_imported: None, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Give the quotes of the last sessions of `us_wide` and their windows."""
    return _imported_once(tmp_path_factory, "us_wide", WIDE_SESSIONS)


def _imported_once(factory: pytest.TempPathFactory, book: str, sessions: Sequence[date]) -> Imported:
    """Import in one of the processes that run these tests; the others wait, and know what the suite said."""
    own = factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"imported-{book}"
    place.mkdir(exist_ok=True)
    events, said = place / "events.json", place / "said.json"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not events.exists():
            desk = Desk(place / "desk", book=book)
            result = desk.import_quotes(CALENDAR.before(sessions[0], WINDOW)[0], sessions[-1])
            desk.close()
            assert result.success, failure_of(result)
            said.write_text(json.dumps(SAID))
            events.write_text(dg.serialize_value(result.all_events))
    SAID.update(json.loads(said.read_text()))
    return Imported(place / "desk", dg.deserialize_value(events.read_text(), Sequence))


@pytest.fixture
def desk_on(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Give what opens a desk on a folder of this test, by default one with nothing in it."""
    desks: list[Desk] = []

    def open_desk(state: Path | None = None, *, name: str = "desk", **options: Any) -> Desk:
        """Open a desk on a copy of a state; under a name used before, on what is there."""
        place = tmp_path / name
        if state is not None and not place.exists():
            copied(state, place)
        desks.append(Desk(place, **options))
        return desks[-1]

    yield open_desk
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(imported: Imported, desk_on: Callable[..., Desk]) -> Desk:
    """Give a desk whose quotes are imported, and whose book is not open yet."""
    return desk_on(imported.folder)


@pytest.fixture(scope="session")
def whole_session(
    imported: Imported, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, dg.ExecuteInProcessResult]]:
    """Give a desk on which the first session ran whole, and that run: to look at, not to change."""
    desk = Desk(copied(imported.folder, tmp_path_factory.mktemp("whole") / "desk"))
    result = desk.run("session", FIRST)
    assert result.success, failure_of(result)
    yield desk, result
    desk.close()
