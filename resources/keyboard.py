"""Keep the keyboard's interrupt from what we start: who is stopped is the one in front, and it stops them.

A terminal sends Ctrl-C to every process in front of it. One of ours that is beginning just then would print a
Python trace between our lines, and leave nobody to end it in order.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPT = {signal.SIGINT}


@contextmanager
def keyboard_held() -> Iterator[None]:
    """Hold an interrupt back while processes are started: they hold it back too, and here it comes after."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_without_a_word() -> None:
    """Let the keyboard end this process, which was begun under `keyboard_held`, and print nothing of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPT)
