"""When a process of ours looks for garbage: seldom while it begins, and not once more when it ends.

What it makes first, modules, graph and settings, lasts as long as the process. By Python's own thresholds all
of that is searched again and again while it grows, and by its own ending once more: two fifths of what a
process takes that reads the graph and does no more.
"""

from __future__ import annotations

import atexit
import gc
import sys

OBJECTS_BETWEEN = 50_000
"""How many more objects are made than dropped before Python looks among the newest; its own number is 700."""

NAMES_WHAT_IS_LEFT = "_duckdb"
"""Of what is left at the end this module writes a list to standard error: where it is, nothing is left."""


def look_for_garbage_seldom() -> None:
    """Have this process look for garbage seldom, and leave what it holds at its end to the system.

    To be called by what begins the process, for its beginning before anything large is imported, for its end
    at any time: what is held in a circle then is not finalized, so what has to be on disk is put there
    before, as everywhere here.
    """
    gc.set_threshold(OBJECTS_BETWEEN)
    atexit.register(_leave_what_is_held)


def _leave_what_is_held() -> None:
    if NAMES_WHAT_IS_LEFT not in sys.modules:
        gc.freeze()
