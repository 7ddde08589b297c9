"""Logs: one JSON object a line, events rather than prose, with the ids that were bound around them.

Logs explain, tables prove: nothing is known only from a log. Secrets are starred out by the name of their
key. structlog takes a fifth of a second to import, so only whoever logs imports it.
Not here: the audit log, which is a projection of the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from resources.clocks import system_now

FILE_BYTES_MAX = 10_000_000
"""About forty thousand lines, then the next file."""

FILES_KEPT = 5

STARS = "**********"

_SECRET_WORDS = frozenset(
    {"secret", "secrets", "password", "passwd", "passphrase", "token", "authorization", "credential"}
    | {"credentials", "cookie", "webhook", "dsn"}
)
_SECRET_KEYS = ("api_key", "apikey", "app_key", "access_key", "private_key", "signing_key", "email_url")


def configure_logging(
    path: Path, *, level: str = "INFO", now: Callable[[], datetime] = system_now
) -> Callable[[], None]:
    """Log from here on to a file, rotated by size, as JSON lines of at least a level; return what closes it.

    Makes the folder. Two processes may write the same file: a line is one write, but around a rotation
    lines of the other process may land in the file before.
    """
    import structlog  # noqa: PLC0415 - slow to import, see the module's docstring

    path.parent.mkdir(parents=True, exist_ok=True)
    file = _LogFile(
        RotatingFileHandler(
            path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8", delay=True
        )
    )
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
        logger_factory=lambda *_: _Lines(file),
        cache_logger_on_first_use=False,
    )
    return file.close


def with_ids(**ids: object) -> AbstractContextManager[None]:
    """Bind ids (book, session, run_id, intent_id) to every line logged inside the context."""
    import structlog  # noqa: PLC0415 - slow to import, see the module's docstring

    return structlog.contextvars.bound_contextvars(**{name: str(value) for name, value in ids.items()})


def log_of(part: str) -> Any:
    """Return the logger of a part of the product: `log_of("executor").info("order_submitted", symbol=…)`."""
    import structlog  # noqa: PLC0415 - slow to import, see the module's docstring

    return structlog.get_logger(part=part)


def starred(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Star out what lies under a secret's name, however deep; numbers (counts of tokens) stay."""
    return {key: _starred_value(str(key), value) for key, value in event.items()}


class _LogFile:
    """Write lines through a file handler; a line that comes after the end leaves no file open."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler
        self._is_closed = False

    def write(self, line: str) -> None:
        self._handler.handle(logging.makeLogRecord({"msg": line}))
        if self._is_closed:
            self._handler.close()

    def close(self) -> None:
        self._is_closed = True
        self._handler.close()


class _Lines:
    """Hand rendered lines to a file, under the names by which structlog calls."""

    def __init__(self, file: _LogFile) -> None:
        self._file = file

    def msg(self, line: str) -> None:
        self._file.write(line)

    debug = info = warning = error = critical = exception = fatal = msg


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
