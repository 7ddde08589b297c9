"""The sign of life of the watch, a small file that is written anew at each look; and how full the disk is.

It tells real time, whatever day is simulated: what it is for is that it grows old. Who reads it is the
console's `/metrics`.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from resources.clocks import system_now
from trading.audit import instant_from_text, instant_text

FILE = "watch.txt"


class WatchSigns:
    """Leave signs in a profile's folder; a `trading.watching.Watched`."""

    def __init__(self, folder: Path) -> None:
        """Use this folder; it is made when the first sign is left."""
        self._folder = folder

    def beat(self) -> None:
        """Leave a sign of life: whoever reads it sees the last one whole, or the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f"{FILE}.new"
        fresh.write_text(f"{instant_text(system_now())}\n", encoding="utf-8")
        fresh.replace(self._folder / FILE)

    def disk_free_ratio(self) -> float:
        """Return the free share of the disk that holds the folder, from 0 to 1."""
        self._folder.mkdir(parents=True, exist_ok=True)
        usage = shutil.disk_usage(self._folder)
        return usage.free / usage.total


def last_beat(folder: Path) -> datetime | None:
    """Return when the watch last looked, `None` where it never did, or the sign cannot be read."""
    try:
        return instant_from_text((folder / FILE).read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None
