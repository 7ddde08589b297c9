"""Turns: who of several writers on one SQLite file is next, in the order in which they came.

SQLite's own lock is what keeps writers apart. It lets waiting ones sleep and try again, so that whoever
never sleeps wins each time and the others starve. Here they draw numbers, kept as locks on bytes of a file
beside it, which the kernel gives back when a process dies. Whoever is done wakes the next by a message to a
socket named after its number; a message that does not come only costs the time until it looks by itself. A
turn is a courtesy and no promise: one that does not come is not waited for, and SQLite decides alone.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRAW_EVERY_S = 0.000_2
"""How often a writer tries at first to draw a number: whoever draws one is done well within it."""

LOOK_EVERY_S = 0.005
"""How often a writer that waits for its turn looks by itself, and how seldom one tries to draw at most.

It is woken unless whoever was to wake it has died. Each look takes a core and its caches from the one whose
turn it is: looking every 0.2 ms, three that waited took a fifth off what the line commits.
"""

_FLOCK = struct.Struct("hhqqi4x")
"""Linux's `struct flock`: type, whence, first byte, number of bytes (0: all behind), process (always 0)."""

_NUMBER = struct.Struct("<q")
_COUNTER = 0
"""The byte that is held while a number is drawn; the byte of number n is n."""


class NoTurns:
    """Let every writer begin: the database puts them in line itself."""

    @contextmanager
    def next(self) -> Iterator[None]:
        """Wait for nobody."""
        yield


class Turns:
    """Put the writers of one SQLite file in line, across threads and processes, for at most `patience_s`.

    The numbers are in a file beside it (`-turns`), which is made where it is missing and may be deleted.
    """

    def __init__(self, path: Path, *, patience_s: float) -> None:
        self._path = path.with_name(f"{path.name}-turns")
        self._patience_s = patience_s
        self._passed = 0

    @contextmanager
    def next(self) -> Iterator[None]:
        """Wait for one's turn; it lasts as long as the `with`, or the process."""
        try:
            # Opened anew each time, so that threads and forked processes never share a turn.
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            # Where nothing can be written SQLite says so, with what can be done about it.
            yield
            return
        try:
            bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:
            # No descriptor is left: the same.
            os.close(file)
            yield
            return
        with bell:
            after_us = b""
            try:
                # Where no number can be written, as on a full disk, whoever came goes on all the same.
                with suppress(OSError):
                    after_us = self._wait(file, bell)
                yield
            finally:
                # Not by closing alone: a process that was forked meanwhile has the file open as well.
                _unlock(file, first=0, count=0)
                if after_us:
                    _ring(bell, after_us)
                os.close(file)

    def _wait(self, file: int, bell: socket.socket) -> bytes:
        """Wait until everybody before us is done or patience is over.

        Return the name of the bell of whoever comes after us, empty where no number could be drawn.
        """
        until = time.monotonic() + self._patience_s
        if not _comes(lambda: _is_locked_by_us(file, _COUNTER), until, DRAW_EVERY_S, time.sleep):
            return b""
        mine = max(_last_drawn(file), self._passed) + 1
        _is_locked_by_us(file, mine)
        os.pwrite(file, _NUMBER.pack(mine), 0)
        # Before anybody can come behind us, and before we look: no wake-up is missed.
        with suppress(OSError):
            bell.bind(_name_of(file, mine))
        _unlock(file, first=_COUNTER, count=1)
        # Not in our turn, in which others wait.
        after_us = _name_of(file, mine + 1)
        if not _comes(
            lambda: _is_free(file, first=self._passed + 1, past=mine),
            until,
            LOOK_EVERY_S,
            lambda s: _rings(bell, s),
        ):
            # Somebody before us is stopped, or waits for one who is: not waited for a second time.
            self._passed = mine - 1
        return after_us


def _comes(asked: Callable[[], bool], until: float, every_s: float, pause: Callable[[float], object]) -> bool:
    """Look until something is so, or the time has come: at first `every_s` apart, at most `LOOK_EVERY_S`."""
    began = time.monotonic()
    while not asked():
        now = time.monotonic()
        if now >= until:
            return False
        pause(min(max(every_s, (now - began) / 16), LOOK_EVERY_S))
    return True


def _name_of(file: int, number: int) -> bytes:
    """Return the name of the socket of a number: one without a file, gone with whoever has it open."""
    of = os.fstat(file)
    return f"\0trading-turn-{of.st_dev:x}-{of.st_ino:x}-{number:x}".encode()


def _rings(bell: socket.socket, pause_s: float) -> None:
    """Wait for a wake-up, at most so many seconds. Who sends one is not asked: it only makes us look."""
    bell.settimeout(pause_s)
    with suppress(TimeoutError):
        bell.recv(1)


def _ring(bell: socket.socket, name: bytes) -> None:
    """Wake whoever waits at a bell of this name, if anybody does."""
    with suppress(OSError):
        bell.sendto(b"!", socket.MSG_DONTWAIT, name)


def _is_locked_by_us(file: int, byte: int) -> bool:
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except BlockingIOError:
        return False
    return True


def _unlock(file: int, *, first: int, count: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, first, count, 0))


def _is_free(file: int, *, first: int, past: int) -> bool:
    """Say whether nobody holds a number of a range."""
    if first == past:
        return True
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, past - first, 0)
    found = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
    return bool(found[0] == fcntl.F_UNLCK)


def _last_drawn(file: int) -> int:
    """Return the last number drawn, 0 where there is none or the file was cut off."""
    content = os.pread(file, _NUMBER.size, 0)
    number = _NUMBER.unpack(content)[0] if len(content) == _NUMBER.size else 0
    return number if 0 <= number < 2**62 else 0
