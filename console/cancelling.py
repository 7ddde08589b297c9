"""Have a halt's cancels asked of the brokers: start the process that can cancel and nothing else.

The halt itself is one write in the journal (actions.py) and stands whatever comes of this. Imports nothing
of a broker; the process is cancel_process.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from console.desk import Desk

SECONDS = 10.0
"""How long the cancelling process goes on looking."""

WAIT_S_MAX = 30.0
"""How long a person waits for the cancels to be told; they go on being asked for all the same."""


NAMED = 5
"""How many orders that may still be open are named; `trading orders` lists them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancels:
    """Hold what became of a halt's cancels, counted over all books.

    `how` is `not_needed`, `asked` or `started`; `problem` says what may still be open, if anything, and
    `note` where there is no broker to ask.
    """

    how: str
    asked: int = 0
    still_open: int = 0
    problem: str = ""
    note: str = ""


NOT_NEEDED = Cancels(how="not_needed")


def is_anything_decided(desk: Desk) -> bool:
    """Say whether a book ever had a session, so that its account may have an order.

    What is open the broker knows, and the journal need not: an order may live behind an ended intent.
    """
    return any(desk.latest(book) is not None for book in desk.books.values())


def cancel_apart(desk: Desk, *, actor: str, reason: str, is_waiting: bool) -> Cancels:
    """Cancel every open order in a process of its own; without waiting, only say that it was started."""
    if not is_anything_decided(desk):
        return NOT_NEEDED
    words = [sys.executable, "-m", "console.cancel_process", f"--actor={actor}", f"--reason={reason}"]
    words.append(f"--seconds={SECONDS}")
    process = subprocess.Popen(  # noqa: S603 - our own command; the person's words are arguments, never a shell's
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if is_waiting else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    if not is_waiting:
        # Somebody has to wait for it, or it stays in the table of processes.
        threading.Thread(target=process.wait, daemon=True).start()
        return Cancels(how="started")
    try:
        told, _ = process.communicate(timeout=WAIT_S_MAX)
    except subprocess.TimeoutExpired:
        return Cancels(
            how="started", problem=f"no answer within {WAIT_S_MAX:.0f} s; `trading stuck` lists them"
        )
    return _told(told)


def _told(text: str) -> Cancels:
    try:
        answer: dict[str, Any] = json.loads(text)
        books = answer["books"]
    except (ValueError, KeyError, TypeError):
        return Cancels(how="started", problem="the cancelling process did not say how it went")
    problems = [answer["problem"], *(book["problem"] for book in books)]
    still_open = [client_order_id for book in books for client_order_id in book["still_open"]]
    left = len(still_open) + sum(book["on_the_way"] for book in books)
    problem = _told_problem("; ".join(filter(None, problems)), still_open, left=left)
    asked = sum(len(book["cancels_asked"]) for book in books)
    note = next((book["note"] for book in books if book["note"]), "")
    return Cancels(how="asked", asked=asked, still_open=left, problem=problem, note=note)


def _told_problem(problem: str, still_open: Sequence[str], *, left: int) -> str:
    """Return what was not cancelled, why, and what a person does; empty where nothing may be open."""
    if not problem and not left:
        return ""
    named = ", ".join(still_open[:NAMED]) + (", …" if len(still_open) > NAMED else "")
    open_there = f"{left} may still be open{f' ({named})' if named else ''}"
    why = f"{open_there if left else 'orders may still be open'}{f': {problem}' if problem else ''}"
    return f"{why}. `trading halt` again asks again; where the broker stays away, cancel them at its own page"
