"""Replays are recorded as trials before they are whole, once each, whatever becomes of their folders."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from time import perf_counter

import pytest

from resources.profiles import Profiled
from resources.replay_trials import replay_trials_of
from resources.settings import load_settings
from trading.errors import JournalUnavailable
from trading.evidence_ledger import missing_evidence, runs_of
from trading.replay import Asked, request_of
from trading.replay_evidence import subject_of
from trading.replaying import run_replay
from trading.trials import FAILED_CHECKS, IS_WHOLE, trials_of, unrecorded

BOOK = "us_five"
WINDOW = {"first_session": date(2012, 12, 20), "last_session": date(2013, 1, 4)}


class Unreachable:
    """Record nothing, as where the journal's disk is full."""

    def record(self, seen):
        raise JournalUnavailable("journal: no room")


class Noting:
    """Keep what it is given, to be recorded once more."""

    def __init__(self, trials):
        self.trials, self.seen = trials, []

    def record(self, seen):
        self.seen.append(seen)
        self.trials.record(seen)


class House:
    """The books of the box in a state folder of their own."""

    def __init__(self, folder, patch):
        patch.setenv("TRADING_STATE_DIR", str(folder))
        self.profiled = Profiled(load_settings())
        self.noting = Noting(replay_trials_of(self.profiled)[BOOK])

    def replay(self, name="turn", *, trials=None, tell=lambda _: None, **asked):
        config = self.profiled.books[BOOK]
        return run_replay(
            config,
            request_of(Asked(**{**WINDOW, **asked}), config, name=name),
            data_sets=self.profiled.data_sets[BOOK],
            calendar=self.profiled.calendars[BOOK],
            store=self.profiled.replay_stores[BOOK],
            trials=trials or self.noting,
            tell=tell,
            clock=perf_counter,
        )

    @property
    def rows(self):
        return self.profiled.evidence.read().rows

    def tried(self):
        """Give what is recorded, each run of one replay by its name and candidate."""
        return [(run.name, run.candidates[0]) for run in runs_of(self.rows)]

    def counted(self):
        config = self.profiled.books[BOOK]
        subject = subject_of(config, data_set_sha=self.profiled.evidence_data[BOOK], code_sha="any")
        return len(trials_of(subject, self.rows))

    def folder(self, name="turn"):
        return self.profiled.settings.profile_dir / "lake" / BOOK / "replays" / name


@pytest.fixture
def house(tmp_path, monkeypatch):
    opened = House(tmp_path, monkeypatch)
    yield opened
    opened.profiled.journal.close()


def stop_after_a_year(line):
    raise KeyboardInterrupt(line)


def test_a_replay_counts_once_and_stays_when_its_folder_is_removed_and_it_is_made_again(house):
    finished = house.replay()
    ((name, tried),) = house.tried()

    assert (name, tried.sessions, tried.parameters[IS_WHOLE]) == ("replay turn", 10, True)
    assert tried.bound.replay_sha == finished.replay_sha
    assert house.counted() == 1
    assert unrecorded(BOOK, house.profiled.replay_stores[BOOK].whole(), house.rows) == ()

    rows = house.rows
    house.replay()
    shutil.rmtree(house.folder())
    assert house.counted() == 1
    house.replay(name="otherwise")
    assert house.rows == rows
    assert missing_evidence(house.profiled.evidence.read()) == ()


def test_a_replay_that_was_stopped_after_a_year_is_recorded_with_what_could_be_seen_and_counts_once(house):
    with pytest.raises(KeyboardInterrupt):
        house.replay(tell=stop_after_a_year)
    ((name, seen),) = house.tried()
    assert (name, seen.sessions, seen.parameters[IS_WHOLE]) == ("replay turn (stopped)", 7, False)

    house.replay()
    assert [(one.sessions, one.parameters[IS_WHOLE]) for _, one in house.tried()] == [(7, False), (10, True)]
    assert house.counted() == 1


def test_a_replay_in_which_nothing_was_traded_or_a_check_failed_is_recorded_too(house):
    house.replay(name="idle", strategies=("momentum:lookback=2000",), light=True)
    ((_, idle),) = house.tried()
    assert (idle.fills, idle.metrics["sharpe"], idle.equity_levels) == (0, None, 1)
    assert FAILED_CHECKS not in idle.parameters

    (seen,) = house.noting.seen
    broken = replace(seen, failed=("value_is_conserved",), replay_sha="another")
    house.noting.record(broken)
    assert house.tried()[-1][1].parameters[FAILED_CHECKS] == "value_is_conserved"


def test_what_cannot_be_recorded_is_not_whole_and_one_that_is_kept_unrecorded_is_named(house):
    with pytest.raises(JournalUnavailable):
        house.replay(trials=Unreachable())
    assert list(house.folder().glob("*/manifest.json")) == []
    assert house.rows == ()

    house.replay()
    whole = house.profiled.replay_stores[BOOK].whole()
    assert [(one.code, one.about) for one in unrecorded(BOOK, whole, ())] == [
        ("replay_without_record", "us_five replay turn")
    ]
