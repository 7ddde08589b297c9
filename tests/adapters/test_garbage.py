"""When a process of ours looks for garbage: what lies about at its end costs nothing, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

CIRCLE = """
import atexit, gc, sys
from resources.garbage import OBJECTS_BETWEEN, look_for_garbage_seldom

class Told:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("searched")

{first}
held = [Told()]
atexit.register(lambda: print("said at the end", gc.get_threshold()[0] == OBJECTS_BETWEEN))
held.clear()
"""


def ended(first: str) -> list[str]:
    """Give what a process says that leaves a circle behind."""
    words = [sys.executable, "-c", CIRCLE.format(first=first)]
    told = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    return told.stdout.splitlines()


def test_where_duckdb_is_used_nothing_is_left_that_it_would_name_on_a_persons_screen():
    query = "import duckdb; duckdb.connect().execute('select 1')"
    assert ended(f"look_for_garbage_seldom(); {query}") == ["said at the end True", "searched"]


def test_a_process_that_looks_seldom_does_not_search_once_more_when_it_ends_and_keeps_what_others_do_then():
    assert ended("") == ["said at the end False", "searched"]
    assert ended("look_for_garbage_seldom()") == ["said at the end True"]
