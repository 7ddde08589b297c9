"""The states that tests of the graph begin with: each made once, copied for every test that changes it.

A copy holds the lake, the journal and the paper ledger, like the folder of a machine. What runs there is
desk.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.graph.desk import CALENDAR, FIRST, SESSIONS, WIDE_SESSIONS, WINDOW, Desk, copied, failure_of


@pytest.fixture(scope="session")
def suite_imported() -> None:
    """Import the library behind the check of quotes, which takes seconds and warns of its own imports."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations  # noqa: F401


@pytest.fixture(scope="session")
def imported(
    suite_imported: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dg.ExecuteInProcessResult]:
    """Give a folder with the quotes of the last sessions and their windows, and the run of the import."""
    desk = Desk(tmp_path_factory.mktemp("imported"))
    result = desk.import_quotes(CALENDAR.before(FIRST, WINDOW)[0], SESSIONS[-1])
    desk.close()
    assert result.success, failure_of(result)
    return desk.settings.state_dir, result


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
def desk(imported: tuple[Path, Any], desk_on: Callable[..., Desk]) -> Desk:
    """Give a desk whose quotes are imported, and whose book is not open yet."""
    return desk_on(imported[0])


@pytest.fixture(scope="session")
def whole_session(
    imported: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, dg.ExecuteInProcessResult]]:
    """Give a desk on which the first session ran whole, and that run: to look at, not to change."""
    desk = Desk(copied(imported[0], tmp_path_factory.mktemp("whole") / "desk"))
    result = desk.run("session", FIRST)
    assert result.success, failure_of(result)
    yield desk, result
    desk.close()


@pytest.fixture(scope="session")
def imported_wide(
    suite_imported: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dg.ExecuteInProcessResult]:
    """Give a folder with the quotes of the last sessions of `us_wide` and their windows, and the run."""
    desk = Desk(tmp_path_factory.mktemp("wide"), book="us_wide")
    result = desk.import_quotes(CALENDAR.before(WIDE_SESSIONS[0], WINDOW)[0], WIDE_SESSIONS[-1])
    desk.close()
    assert result.success, failure_of(result)
    return desk.settings.state_dir, result
