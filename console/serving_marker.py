"""Who serves a state folder, and where: a small file that its server holds locked while it lives.

The lock is the truth, the content only tells: whoever died left no lock behind, however that came.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.2
PATIENCE_S = 1.0
"""Longer than somebody holds the lock who only asks."""


def told_by(path: Path) -> dict[str, Any] | None:
    """Return what the server that holds a marker says, `None` where none is up and ready."""
    try:
        with path.open(encoding="utf-8") as marker:
            if locked(marker, fcntl.LOCK_SH):
                return None  # nobody holds it: whoever wrote it has ended
            said = json.load(marker)
    except (FileNotFoundError, ValueError):
        return None
    return said if isinstance(said, dict) and said else None


@contextlib.contextmanager
def only_holder(path: Path, refuse: Callable[[dict[str, Any]], BaseException]) -> Iterator[TextIOWrapper]:
    """Hold a marker; where another server does, raise what `refuse` makes of what that one says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as marker:
        deadline = time.monotonic() + PATIENCE_S
        while not locked(marker, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                marker.seek(0)
                raise refuse(json.loads(marker.read() or "{}"))
            time.sleep(LOOK_EVERY_S)
        yield marker


def tell(marker: TextIOWrapper, said: Mapping[str, Any]) -> None:
    """Write what others are told."""
    marker.seek(0)
    marker.truncate()
    marker.write(json.dumps(said))
    marker.flush()


def locked(file: TextIOWrapper, how: int) -> bool:
    """Lock a file if nobody else has it, and say whether."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
