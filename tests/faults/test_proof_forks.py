"""Forked workers end when they are left, however whoever started this process has it take signals."""

from __future__ import annotations

import signal
import time

import pytest

from proof import forks
from tests.served import until


@pytest.fixture
def ignores_sigterm():
    """Ignore SIGTERM, as Dagster has a process do that was started in the background."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def work(folder):
    (folder / "began").touch()
    time.sleep(5)
    (folder / "done").touch()


def break_off_once_at_work(folder):
    with forks.pool(1) as workers:
        workers.apply_async(work, (folder,))
        until("the worker at work", (folder / "began").exists)
        raise KeyError("a violation that is told at once")


@pytest.mark.timeout(60)
def test_a_worker_ends_in_the_midst_of_what_it_does_where_that_is_broken_off(ignores_sigterm, tmp_path):
    with pytest.raises(KeyError):
        break_off_once_at_work(tmp_path)

    assert not (tmp_path / "done").exists()
