"""The executor's lock: one process per account may send; who holds it, and what losing it proves.

Beside a journal in a file it is a file's lock, which the kernel gives back when its process dies, however it
ends: whoever gets it knows that the holder before is dead. On PostgreSQL it is a lock of a server's session,
and a session can end while its process lives on. What the lock protects is trading/executions.py; it is held
beside, not instead of, the journal's compare-and-set.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
from contextlib import closing, suppress
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resources.journal.condition import POSTGRESQL, advice
from resources.journal.looking import postgresql_name, postgresql_options, postgresql_text_of
from trading.errors import BadSetting, JournalUnavailable
from trading.executions import ExecutorBusy

ANSWER_S_MAX = 5
"""How long the server may take to say whether the lock is still held; silence means no."""

NO_PLACE = frozenset({errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""How a system says that no file can be at a path, however much room there is."""


class ExecutorFileLock:
    """Hold an account's lock while inside a `with`; entering raises `ExecutorBusy` naming the holder.

    Entering raises `JournalUnavailable` where the disk refuses it, and `BadSetting` where no file can be at
    its path. The file in `folder` stays; who wrote it last is in it. Works on local disks: a network file
    system may not know about a process's death.
    """

    proves_death = True
    """Whoever holds it next knows that the process that held it before is dead."""

    def __init__(self, folder: Path, *, account: str) -> None:
        _check(account)
        self.account = account
        self.path = folder / f"executor-{account}.lock"
        self._file: TextIOWrapper | None = None
        self._process = 0

    def __enter__(self) -> Self:
        """Take the lock at once, or raise."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise _unwritten(self.path, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder_in(file)
            file.close()
            raise ExecutorBusy(
                f"account {self.account}: {holder} executes for it; let it finish, then try again"
                f" (lock {self.path})"
            ) from error
        except BaseException:
            file.close()
            raise
        if not self._is_of_the_path(file):
            file.close()
            raise ExecutorBusy(f"account {self.account}: lock {self.path} was replaced just now; try again")
        try:
            file.seek(0)
            file.truncate()
            file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
            file.flush()
        except OSError as error:
            with suppress(OSError):
                # Closing writes what waits in the buffer once more.
                file.close()
            raise _unwritten(self.path, error) from error
        self._file, self._process = file, os.getpid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_held(self) -> bool:
        """Say whether nobody else can have the lock now.

        Not where its file was deleted or replaced, since the next one locks another file; nor in a process
        that was forked from the holder.
        """
        return self._file is not None and self._process == os.getpid() and self._is_of_the_path(self._file)

    def _is_of_the_path(self, file: TextIOWrapper) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except OSError:
            return False


class ExecutorDatabaseLock:
    """Hold an account's lock in a journal's PostgreSQL while inside a `with`, on a connection of its own.

    Entering raises `ExecutorBusy` naming the holder, or `JournalUnavailable`. The connection must reach the
    server itself, or a pooler that leaves sessions whole.
    """

    proves_death = False
    """A session ends with its connection too, and its process may live on and be about to send."""

    def __init__(self, url: str, *, account: str) -> None:
        _check(account)
        self.account = account
        self._options = postgresql_options(url)
        self._name = postgresql_name(self._options)
        self._key = int.from_bytes(
            hashlib.sha256(f"executor of {account}".encode()).digest()[:8], signed=True
        )
        self._connection: Any = None
        self._process = 0

    def __enter__(self) -> Self:
        """Take the lock at once, or raise."""
        import psycopg2  # noqa: PLC0415 - a journal in a file needs no server's driver

        who = f"process {os.getpid()} on {socket.gethostname()}"
        limits = {
            "application_name": who[:63],
            "tcp_user_timeout": ANSWER_S_MAX * 1000,
            "options": f"{self._options.get('options', '')} -c statement_timeout={ANSWER_S_MAX}s"
            " -c idle_session_timeout=0",
        }
        connection = None
        try:
            connection = psycopg2.connect(**{**self._options, **limits})
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select pg_try_advisory_lock(%s)", (self._key,))
            holder = _holder(connection, self._key)
        except psycopg2.Error as error:
            if connection is not None:
                connection.close()
            raise JournalUnavailable(f"executor lock in {self._name}: {advice(str(error))}") from error
        if holder is None or not holder[1]:
            connection.close()
            who = "another process" if holder is None else holder[0]
            raise ExecutorBusy(
                f"account {self.account}: {who} executes for it; let it finish, then try again"
                f" (lock in {self._name})"
            )
        self._connection, self._process = connection, os.getpid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back; a forked process leaves its parent's alone."""
        import psycopg2  # noqa: PLC0415 - see above

        connection, self._connection = self._connection, None
        if connection is None or self._process != os.getpid():
            return
        # A server hears of a closed connection a moment later: until then nobody else could have the lock.
        with closing(connection), suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("select pg_advisory_unlock(%s)", (self._key,))

    def is_held(self) -> bool:
        """Ask the server whether this very session still has the lock; no answer means no."""
        import psycopg2  # noqa: PLC0415 - see above

        if self._connection is None or self._process != os.getpid():
            return False
        try:
            holder = _holder(self._connection, self._key)
        except psycopg2.Error:
            return False
        return holder is not None and holder[1]


def executor_lock(journal_url: str, folder: Path, *, account: str) -> ExecutorFileLock | ExecutorDatabaseLock:
    """Return an account's lock: in the journal's server where it has one, else in a file of `folder`."""
    if journal_url.startswith(POSTGRESQL):
        return ExecutorDatabaseLock(journal_url, account=account)
    return ExecutorFileLock(folder, account=account)


def _holder(connection: Any, key: int) -> tuple[str, bool] | None:
    """Return what the session that has the lock calls itself, and whether it is this one, or `None`."""
    with connection.cursor() as cursor:
        cursor.execute(postgresql_text_of("find_executor_lock"), {"key": key})
        found: tuple[str, bool] | None = cursor.fetchone()
        return found


def _unwritten(path: Path, error: OSError) -> BadSetting | JournalUnavailable:
    """Return the error of a lock that cannot be written: a setting's fault, or the disk's."""
    told = f"executor lock {path}: cannot be written: "
    if error.errno in NO_PLACE:
        return BadSetting(
            f"{told}{error.strerror}; name another TRADING_STATE_DIR, or move away what is in the way"
        )
    return JournalUnavailable(told + advice(error.strerror or str(error)))


def _check(account: str) -> None:
    if not account or any(character in account for character in "/\\\0"):
        raise BadSetting(f"account {account!r}: names a lock file, so it needs a name without slashes")


def _holder_in(file: TextIOWrapper) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        # It has the lock and is about to write who it is.
        return "another process"
