"""The executor's lock: one process per account may send, and its death is a fact the kernel knows.

A file lock goes with its process, however it ends; no time has to pass, and nobody has to guess. What the
lock protects is trading/executions.py; it is held beside, not instead of, the journal's compare-and-set.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self

from trading.errors import BadSetting
from trading.executions import ExecutorBusy


class ExecutorFileLock:
    """Hold an account's lock while inside a `with`; entering raises `ExecutorBusy` naming the holder.

    The file in `folder` stays; who wrote it last is in it. Works on local disks: a network file system may
    not know about a process's death.
    """

    def __init__(self, folder: Path, *, account: str) -> None:
        if not account or any(character in account for character in "/\\\0"):
            raise BadSetting(f"account {account!r}: names a lock file, so it needs a name without slashes")
        self.account = account
        self.path = folder / f"executor-{account}.lock"
        self._file: TextIOWrapper | None = None

    def __enter__(self) -> Self:
        """Take the lock at once, or raise."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise BadSetting(f"executor lock {self.path}: cannot be written: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder_in(file)
            file.close()
            raise ExecutorBusy(
                f"account {self.account}: {holder} executes for it; let it finish (lock {self.path})"
            ) from error
        except BaseException:
            file.close()
            raise
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _holder_in(file: TextIOWrapper) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        # It has the lock and is about to write who it is.
        return "another process"
