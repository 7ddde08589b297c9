"""A small file that only its owner reads: lists of JSON objects, changed as a whole by one process at a time.

What is in it are digests and names, never a token itself. Tokens are tokens.py, one-time links sign_in.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trading.errors import BadSetting

OWNER_ONLY = 0o600

Rows = list[dict[str, Any]]


class SecretFile:
    """Read and change one such file; where it is not there yet, it is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> Rows:
        """Return what it holds; raises `BadSetting` where others may read it, or it is not ours."""
        try:
            with self.path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                    raise BadSetting(f"{self.path}: others can read or change it; chmod 600, and ask who did")
                content = json.loads(file.read())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            # Not the parser's own words: they may quote what it could not read.
            raise BadSetting(
                f"{self.path}: cannot be read ({type(error).__name__}); "
                "move it away, and make what it held anew"
            ) from None
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            raise BadSetting(f"{self.path}: is not a list of ours; move it away, and make what it held anew")
        return content

    @contextmanager
    def changing(self) -> Iterator[Rows]:
        """Give the rows to change, and keep what they are in the end; nobody else changes them meanwhile.

        Raises `BadSetting` where that cannot be, and then keeps nothing.
        """
        with self._locked():
            rows = self.rows()
            before = json.dumps(rows)
            yield rows
            after = json.dumps(rows, indent=1)
            if json.dumps(rows) != before:
                with self._in_reach():
                    self._replace(after.encode())

    @property
    def state(self) -> tuple[int, int, int] | None:
        """Return what changes whenever the file does, `None` where there is none; raises `BadSetting`."""
        try:
            with self._in_reach():
                found = self.path.stat()
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._in_reach():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self.path.with_name(f"{self.path.name}.lock").open("a", encoding="utf-8")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _in_reach(self) -> Iterator[None]:
        """Raise `BadSetting` where the disk refuses what is done inside; that nothing is there passes."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BadSetting(
                f"{self.path}: cannot be reached or changed ({type(error).__name__}); "
                "see to its folder, its lock beside it, and room on the disk"
            ) from error

    def _replace(self, content: bytes) -> None:
        """Put the new content in place, whole and durable or not at all."""
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(self.path)
