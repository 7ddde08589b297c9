"""The executor's lock on both engines, between real processes: one holder, and what its end proves."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom, FileIO, TextIOWrapper
from pathlib import Path

import psycopg2
import pytest

from resources.journal.lock import ExecutorDatabaseLock, ExecutorFileLock, executor_lock
from trading.errors import BadSetting, JournalUnavailable
from trading.executions import ExecutorBusy

ACCOUNT = "SIM-FIVE"

HOLD = """
import sys
from pathlib import Path
from resources.journal.lock import executor_lock
with executor_lock(sys.argv[1], Path(sys.argv[2]), account=sys.argv[3]) as lock:
    print("held", flush=True)
    for line in sys.stdin:
        print(lock.is_held(), flush=True)
"""


@pytest.fixture(params=["file", "server"])
def new_lock(request, tmp_path) -> Iterator[Callable[..., ExecutorFileLock | ExecutorDatabaseLock]]:
    """Give what makes a lock, in a folder or in a server of the test's own."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    if request.param == "server":
        server = request.getfixturevalue("postgres_server")
        url = server.create("locks")

    def lock(account=ACCOUNT):
        return executor_lock(url, tmp_path, account=account)

    lock.arguments = [url, str(tmp_path)]
    yield lock
    if request.param == "server":
        server.drop("locks")


@contextmanager
def holder(new_lock) -> Iterator[subprocess.Popen]:
    """Run a process that holds the lock, until it is ended or has nothing more to hear."""
    command = [sys.executable, "-c", HOLD, *new_lock.arguments, ACCOUNT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def is_busy(new_lock, account=ACCOUNT) -> bool:
    try:
        with new_lock(account):
            return False
    except ExecutorBusy:
        return True


def wait_until_free(new_lock) -> None:
    """Wait, since a server hears of a client's end a moment later; what never comes, pytest ends."""
    while is_busy(new_lock):
        os.sched_yield()


def test_one_process_holds_an_account_and_is_named_to_the_others(new_lock):
    with holder(new_lock) as process:
        with pytest.raises(ExecutorBusy, match=f"process {process.pid} on .* executes for it"), new_lock():
            pass
        assert not is_busy(new_lock, "OTHER")

        process.stdin.write("?\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"


def test_a_holder_that_is_killed_leaves_the_lock_to_the_next(new_lock):
    with holder(new_lock) as process:
        process.kill()
        process.wait()
        wait_until_free(new_lock)


def test_a_holder_that_is_stopped_still_has_the_lock(new_lock):
    with holder(new_lock) as process:
        process.send_signal(signal.SIGSTOP)
        assert is_busy(new_lock)

        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        process.wait()
        wait_until_free(new_lock)


def test_a_lock_is_held_inside_its_with_only(new_lock):
    lock = new_lock()
    assert not lock.is_held()
    with lock:
        assert lock.is_held()
        assert is_busy(new_lock)

    assert not lock.is_held()
    assert not is_busy(new_lock)


def test_a_lock_that_was_given_back_can_be_taken_at_once(new_lock):
    taken = 0
    for _ in range(100):
        with new_lock():
            taken += 1

    assert taken == 100


def test_a_forked_process_does_not_hold_its_parents_lock_nor_give_it_back(new_lock):
    with new_lock() as lock:
        child = os.fork()
        if child == 0:
            is_held = lock.is_held()
            lock.__exit__(None, None, None)
            os._exit(int(is_held))
        _, status = os.waitpid(child, 0)

        assert status == 0
        assert lock.is_held()
        assert is_busy(new_lock)


@pytest.mark.parametrize("account", ["", "a/b", "a\\b", "a\0b"])
def test_an_account_names_its_lock(new_lock, account):
    with pytest.raises(BadSetting, match="names a lock file"):
        new_lock(account)


def test_only_a_file_proves_that_the_holder_before_is_dead(tmp_path):
    assert executor_lock("sqlite:////x/journal.db", tmp_path, account=ACCOUNT).proves_death
    assert not executor_lock("postgresql://here/journal", tmp_path, account=ACCOUNT).proves_death


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_lock_whose_file_is_gone_is_not_held_any_more(tmp_path, how):
    lock = ExecutorFileLock(tmp_path, account=ACCOUNT)
    with lock:
        lock.path.unlink()
        if how == "replaced":
            lock.path.touch()
        assert not lock.is_held()

        # Without asking there would be two of them now.
        with ExecutorFileLock(tmp_path, account=ACCOUNT) as second:
            assert second.is_held()


def test_a_lock_folder_that_cannot_be_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BadSetting, match=r"cannot be written: File exists; .*TRADING_STATE_DIR"),
        ExecutorFileLock(tmp_path / "file", account=ACCOUNT),
    ):
        pass


class FullDisk(FileIO):
    """Open a file on a disk that has room for nothing more."""

    def write(self, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("when", ["made", "written"])
def test_a_lock_on_a_full_disk_is_no_wrong_setting_and_says_that_room_is_to_be_made(
    tmp_path, monkeypatch, when
):
    def opened(path, *_arguments, **_options):
        if when == "made":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return TextIOWrapper(BufferedRandom(FullDisk(path, "a+")), encoding="utf-8")

    lock = ExecutorFileLock(tmp_path, account=ACCOUNT)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with (
            pytest.raises(JournalUnavailable, match=r"No space left on device: .*make room on the disk"),
            lock,
        ):
            pass
    assert not lock.is_held()

    with lock:
        assert lock.is_held()


def test_a_lock_is_lost_with_its_session(postgres_server):
    url = postgres_server.create("lost_lock")
    lock = ExecutorDatabaseLock(url, account=ACCOUNT)
    with lock:
        other = psycopg2.connect(url)
        with other.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
        other.close()

        assert not lock.is_held()
        with ExecutorDatabaseLock(url, account=ACCOUNT) as second:
            assert second.is_held()
            # What was lost does not come back.
            assert not lock.is_held()
    postgres_server.drop("lost_lock")


def test_a_server_that_is_not_there_holds_no_lock(tmp_path):
    lock = ExecutorDatabaseLock(f"postgresql://ann:hunter2@/journal?host={tmp_path}", account=ACCOUNT)
    with pytest.raises(JournalUnavailable, match="executor lock in postgresql://") as refused, lock:
        pass

    assert "hunter2" not in str(refused.value)
    assert not lock.is_held()


def test_a_lock_is_beside_the_journal_that_its_url_names(tmp_path):
    assert isinstance(executor_lock("sqlite:///x", tmp_path, account=ACCOUNT), ExecutorFileLock)
    for url in ("postgresql://here/j", "postgresql+psycopg2://here/j"):
        assert isinstance(executor_lock(url, Path("/"), account=ACCOUNT), ExecutorDatabaseLock)
