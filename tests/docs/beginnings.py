"""The state folders that pages begin with, each made once by whichever process of the tests comes first.

Not here: who reads them, which is fixtures (conftest.py), and how a page is followed (reader.py).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest

from console.launcher import ALL_PHASES, Launcher
from proof.quotes_of_books import write_quotes
from resources.profiles import Profiled
from resources.settings import load_settings
from tests.docs.pages import ROOT
from tests.docs.reader import copied, without_settings

FIVE, WIDE = "us_five", "us_wide"

TODAY = {FIVE: date(2013, 3, 1), WIDE: date(2010, 8, 20)}
"""Each book's last session."""

LAKE = "simulated/lake"

MORE = 1
"""So many sessions before it a page may decide in a state folder of its own."""


def five_ran(factory: pytest.TempPathFactory) -> Path:
    """Give a state folder in which the last session of `us_five` ran whole."""
    quotes = only_quotes(factory, FIVE)

    def make(state: Path) -> None:
        copied(quotes, state)
        _run(FIVE, ALL_PHASES)

    return _made_once(factory, "five-ran", make)


def both_ran(factory: pytest.TempPathFactory) -> Path:
    """Give one in which the last session of `us_wide` was decided as well, with an approval that waits."""
    five, quotes = five_ran(factory), only_quotes(factory, WIDE)

    def make(state: Path) -> None:
        copied(five, state)
        copied(quotes / LAKE / WIDE, state / LAKE / WIDE)
        _run(WIDE, ("decide",))
        # The demo's replay leaves all of the data as one panel, from which each other replay is cut.
        profiled = Profiled(load_settings())
        profiled.data_sets[FIVE].data_set(TODAY[FIVE], TODAY[FIVE])
        profiled.journal.close()

    return _made_once(factory, "both-ran", make)


def both_quotes(factory: pytest.TempPathFactory) -> Path:
    """Give one with the quotes of both books, of which nothing ran."""
    five, wide = only_quotes(factory, FIVE), only_quotes(factory, WIDE)

    def make(state: Path) -> None:
        copied(five, state)
        copied(wide / LAKE / WIDE, state / LAKE / WIDE)

    return _made_once(factory, "both-quotes", make)


def only_quotes(factory: pytest.TempPathFactory, book: str) -> Path:
    """Give one with the quotes before the last session of a book, as an import would leave them."""

    def make(_: Path) -> None:
        launcher = Launcher(load_settings())
        profiled = launcher.profiled
        window_sessions = profiled.books[book].rules.window_sessions
        write_quotes(profiled, book, profiled.calendars[book].before(TODAY[book], window_sessions + MORE))
        launcher.instance.dispose()  # Dagster's own storage takes a while to make
        launcher.profiled.journal.close()

    return _made_once(factory, f"quotes-{book}", make)


def entered(project: Path, patch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with the reviewed files and the examples, with no setting made."""
    for folder in ("config", "examples"):
        shutil.copytree(ROOT / folder, project / folder)
    without_settings(patch)
    patch.setenv("TRADING_OPERATOR", "reader")
    patch.chdir(project)


def suite_imported() -> None:
    """Import the library behind the check of quotes, which takes seconds and warns, once a process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations  # noqa: F401


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Give a state folder that one of the processes of the tests makes, while the others wait for it."""
    own = factory.getbasetemp()
    project = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    state = project / ".trading"
    with project.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (project / "made").exists():
            shutil.rmtree(project, ignore_errors=True)  # what somebody began and could not end
            project.mkdir()
            with pytest.MonkeyPatch.context() as patch:
                entered(project, patch)
                make(state)
            (project / "made").touch()
    return state


def _run(book: str, phases: Sequence[str]) -> None:
    suite_imported()
    launcher = Launcher(load_settings())
    (result,) = launcher.run_sessions(book, [TODAY[book]], phases, print)
    launcher.instance.dispose()
    launcher.profiled.journal.close()
    assert result.success, result
