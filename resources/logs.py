"""Logs: one JSON object a line, events rather than prose, with the ids that were bound around them.

Logs explain, tables prove: nothing is known only from a log. Secrets are starred out by the name of their
key. A process that was never told where its log is says nothing, so that no line lands on a terminal.
structlog takes a fifth of a second to import, so only whoever logs imports it.
Not here: the audit log, which is a projection of the journal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from resources.clocks import system_now

FILE_BYTES_MAX = 10_000_000
"""About forty thousand lines, then the next file."""

FILES_KEPT = 5

WAITS_S_MAX = 0.2
"""How long a line waits for another writer: far longer than one writes, and no order waits for a log."""

LOOKS_EVERY_S = 0.005

STARS = "**********"

_SECRET_WORDS = frozenset(
    {"secret", "secrets", "password", "passwd", "passphrase", "token", "authorization", "credential"}
    | {"credentials", "cookie", "webhook", "dsn"}
)
_SECRET_KEYS = ("api_key", "apikey", "app_key", "access_key", "private_key", "signing_key", "email_url")


def configure_logging(path: Path, *, level: str = "INFO", now: Callable[[], datetime] = system_now) -> None:
    """Log from here on to a file, rotated by size, as JSON lines of at least a level.

    Makes the folder. Several processes may write the same file. A folder that cannot be made and a line that
    cannot be written are told on stderr: no order is lost for them.
    """
    import structlog  # noqa: PLC0415 - slow to import, see the module's docstring

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _complain(f"the log's folder was not made: {error}")
    lines = _Lines(path, bytes_max=FILE_BYTES_MAX)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamped_by(now),
            structlog.processors.format_exc_info,
            starred,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )


def with_ids(**ids: object) -> AbstractContextManager[None]:
    """Bind ids (book, session, run_id, client_order_id) to every line logged inside the context."""
    if not _is_configured():
        return nullcontext()
    import structlog  # noqa: PLC0415 - slow to import, see the module's docstring

    return structlog.contextvars.bound_contextvars(**{name: str(value) for name, value in ids.items()})


def log_of(part: str) -> Any:
    """Return the logger of a part of the product: `log_of("notifier").info("delivered", channel=…)`.

    One that says nothing where this process was never told where its log is.
    """
    if not _is_configured():
        return _SILENT
    import structlog  # noqa: PLC0415 - slow to import, see the module's docstring

    return structlog.get_logger(part=part)


def starred(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Star out what lies under a secret's name, however deep; numbers (counts of tokens) stay."""
    return {key: _starred_value(str(key), value) for key, value in event.items()}


def _is_configured() -> bool:
    """Say whether a log was configured, without importing what would say so where nobody did."""
    structlog = sys.modules.get("structlog")
    return structlog is not None and structlog.is_configured()


class _Silent:
    """Be a logger that says nothing."""

    def msg(self, event: str, **values: object) -> None:
        """Say nothing."""

    debug = info = warning = error = critical = exception = fatal = msg


_SILENT = _Silent()


class _Lines:
    """Append lines to a file, under the names by which structlog calls, and make room when it is full.

    Whoever writes holds the lock of the folder, and opens the file anew: threads, forked children and other
    processes write one after the other, and nobody goes on writing to a file that another one has put away.
    """

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max

    def msg(self, line: str) -> None:
        """Append one line, whole or not at all."""
        written = (line + "\n").encode(errors="backslashreplace")
        try:
            with _held(self._path.parent) as is_ours:
                if is_ours and self._size() + len(written) > self._bytes_max:
                    self._make_room()
                _append(self._path, written)
        except OSError as error:
            _complain(f"a line of the log was not written to {self._path}: {error}")

    debug = info = warning = error = critical = exception = fatal = msg

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _make_room(self) -> None:
        """Put the file away as the youngest of those that are kept; the oldest gives way."""
        kept = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, FILES_KEPT + 1))]
        for older, newer in zip(kept[:0:-1], kept[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock and say so; it ends with the process that held it.

    Whoever holds it for long is stopped, or was forked while it was held: then the line goes in without it,
    and only who makes room needs it.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        is_ours = _locked(opened)
        try:
            yield is_ours
        finally:
            # A child that was forked meanwhile has it open as well: to close ours would not end it.
            fcntl.flock(opened, fcntl.LOCK_UN)
    finally:
        os.close(opened)


def _locked(opened: int) -> bool:
    until = time.monotonic() + WAITS_S_MAX
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOKS_EVERY_S)
        else:
            return True


def _complain(what: str) -> None:
    """Tell of a log that does not work; where stderr does not either, nobody is left to tell."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{what}\n")


def _append(path: Path, written: bytes) -> None:
    """Append to a file; what a full disk took only in part is taken back."""
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        before = os.fstat(opened).st_size
        if os.write(opened, written) != len(written):
            os.ftruncate(opened, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(opened)


def _stamped_by(now: Callable[[], datetime]) -> Callable[..., MutableMapping[str, Any]]:
    def stamped(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"at": now().isoformat(), **event}

    return stamped


def _starred_value(key: str, value: Any) -> Any:
    if _is_secret(key) and value is not None and not isinstance(value, bool | int | float):
        return STARS
    if isinstance(value, Mapping):
        return {name: _starred_value(str(name), part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_starred_value(key, part) for part in value]
    return value


def _is_secret(key: str) -> bool:
    name = key.lower().replace("-", "_")
    return bool(_SECRET_WORDS & set(name.split("_"))) or any(part in name for part in _SECRET_KEYS)
