"""The state that every page begins with: what `make run` leaves behind, with fewer sessions.

`us_five` has its last session settled, `us_wide` its last one decided, with an approval that waits.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import structlog

import trading.strategies
from console.launcher import ALL_PHASES, Launcher
from resources.profiles import Profiled
from resources.settings import load_settings
from tests.docs.pages import ROOT
from tests.docs.reader import Reader, copied, without_settings
from trading.actions import CorporateAction
from trading.quality import dates_of, judge_range
from trading.quotes import Quarantined, Quote

TODAY = {"us_five": date(2013, 3, 1), "us_wide": date(2010, 8, 20)}
"""Each book's last session."""

MORE = 1
"""So many sessions before it a page may decide in a state folder of its own."""


@pytest.fixture(scope="session")
def quotes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a state folder with the quotes before the last sessions, as an import would leave them."""
    project = tmp_path_factory.mktemp("quotes")
    with pytest.MonkeyPatch.context() as patch:
        _enter(project, patch)
        profiled = Profiled(load_settings())
        for book, today in TODAY.items():
            _import(profiled, book, today)
        profiled.journal.close()
        _ = Launcher(load_settings()).instance  # Dagster's own storage takes a while to make
    return project / ".trading"


@pytest.fixture(scope="session")
def ran(quotes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a state folder in which the last sessions ran through the graph."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations  # noqa: F401 - takes seconds and warns, once a process

    project = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        _enter(project, patch)
        copied(quotes, project / ".trading")
        launcher = Launcher(load_settings())
        for book, phases in (("us_five", ALL_PHASES), ("us_wide", ("decide",))):
            (result,) = launcher.run_sessions(book, [TODAY[book]], phases, print)
            assert result.success, result
        # The demo's replay leaves all of the data as one panel, from which each other replay is cut.
        launcher.profiled.data_sets["us_five"].data_set(TODAY["us_five"], TODAY["us_five"])
        launcher.profiled.journal.close()
    return project / ".trading"


@pytest.fixture
def reader(ran: Path, quotes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Give a reader in a project folder of their own, in which `make run` has run."""
    project = tmp_path / "project"
    project.mkdir()
    _enter(project, monkeypatch)
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


def _enter(project: Path, patch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with the reviewed files and the examples, with no setting made."""
    for folder in ("config", "examples"):
        shutil.copytree(ROOT / folder, project / folder)
    without_settings(patch)
    patch.setenv("TRADING_OPERATOR", "reader")
    patch.chdir(project)


def _import(profiled: Profiled, book: str, today: date) -> None:
    """Write what the import job writes, by the same rules, without a run for it."""
    config, calendar, source = profiled.books[book], profiled.calendars[book], profiled.sources[book]
    wanted = calendar.before(today, config.rules.window_sessions + MORE)
    first, last = dates_of(calendar, first=wanted[0], last=wanted[-1])
    sha, actions = source.source_sha(), source.actions()
    judged = judge_range(
        sessions=wanted,
        raw=source.raw_bars(first, last),
        calendar=calendar,
        previous={},
        actions=actions,
        released=profiled.quality.released(),
        limits=profiled.quality.limits,
        source_sha=sha,
    )
    lake = profiled.lake
    lake.write_rows((book, "corporate_actions"), None, CorporateAction, actions, inputs_sha=sha)
    for day in judged:
        told = {"unfit_reason": day.unfit_reason} if day.unfit_reason else {}
        key = day.session.isoformat()
        lake.write_rows((book, "market_quotes"), key, Quote, day.accepted, inputs_sha=sha, extra=told)
        lake.write_rows((book, "quarantined_quotes"), key, Quarantined, day.quarantined, inputs_sha=sha)
