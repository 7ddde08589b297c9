"""The state that every page begins with: what `make run` leaves behind, with fewer sessions.

`us_five` has its last session settled, `us_wide` its last one decided, with an approval that waits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import trading.strategies
from tests.docs.beginnings import both_quotes, both_ran, entered, suite_imported
from tests.docs.reader import Reader, copied


@pytest.fixture(scope="session")
def quotes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a state folder with the quotes before the last sessions."""
    return both_quotes(tmp_path_factory)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a state folder in which the last sessions ran through the graph."""
    suite_imported()
    return both_ran(tmp_path_factory)


@pytest.fixture
def reader(ran: Path, quotes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Give a reader in a project folder of their own, in which `make run` has run."""
    project = tmp_path / "project"
    project.mkdir()
    entered(project, monkeypatch)
    copied(ran, project / ".trading")
    strategies = project / "trading" / "strategies"
    monkeypatch.setattr(trading.strategies, "__path__", [*trading.strategies.__path__, str(strategies)])
    known = set(sys.modules)
    following = Reader(project, quotes=quotes, monkeypatch=monkeypatch)
    yield following
    following.stop()
    # What a verb set up to log would else complain, in a later test, that its folder is gone.
    structlog.reset_defaults()
    for module in set(sys.modules) - known:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(strategies)):
            delattr(trading.strategies, sys.modules.pop(module).__name__.rpartition(".")[2])
