"""Whether signals come: each book's last window, why it was empty, and the latch that holds trading back.

Read from the journal's events. What a window means is trading/signal_continuity.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from console.desk import Desk
from trading.journal import JournalEvent
from trading.signal_continuity import LIMITS, Window, blocks, windows_of

QUIET_MAX = 50
"""How many empty windows are told of a book: the latest ones; all are in the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLine:
    """Hold one window of one book; `reason` is empty where there were signals, `held` where nothing is.

    `windows` and `empty` count all windows so far, those without signals; `streak` those in a row.
    """

    book: str
    session: date
    looked_at: datetime
    state: str
    reason: str
    lag_s: int
    session_state: str
    rows: int
    signals: int
    windows: int
    empty: int
    streak: int
    is_latched: bool
    healthy_to_clear: int
    held: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSignals:
    """Hold whether a book's signals come; before its first window `last` is `None` and all counts nought."""

    book: str
    windows: int
    empty: int
    held: str
    last: SignalLine | None
    quiet: tuple[SignalLine, ...]


def signals_of(desk: Desk, *, book: str | None = None) -> tuple[BookSignals, ...]:
    """Return each book's last window and its latest ones without a signal; raises `BadInput`.

    Only what is shown is read: a window carries the latch after it, and with it all counts so far.
    """
    names = [outline.name for outline in desk.chosen(book)]
    last, quiet = _last_windows(desk), _of_lane(desk, desk.journal.last_empty_windows(last=QUIET_MAX))
    return tuple(_book(name, last.get(name), [one for one in quiet if one.book == name]) for name in names)


def last_signals_of(desk: Desk) -> tuple[BookSignals, ...]:
    """Return each book's last window, and of the windows without a signal at most that one."""
    last = _last_windows(desk)
    return tuple(
        _book(name, found, [found] if found is not None and found.looked.reason is not None else [])
        for name in desk.books
        for found in [last.get(name)]
    )


def why_held(desk: Desk, book: str) -> str:
    """Return why promotion and live trading of a book are held back, empty where they are not."""
    return blocks(_last_windows(desk).get(book))


def _last_windows(desk: Desk) -> dict[str, Window]:
    return {one.book: one for one in _of_lane(desk, desk.journal.last_signal_windows())}


def _of_lane(desk: Desk, events: Iterable[JournalEvent]) -> tuple[Window, ...]:
    return windows_of(event for event in events if event.lane == desk.lane)


def _book(name: str, last: Window | None, quiet: Iterable[Window]) -> BookSignals:
    return BookSignals(
        book=name,
        windows=last.after.windows if last else 0,
        empty=last.after.empty if last else 0,
        held=blocks(last),
        last=_line(last) if last else None,
        quiet=tuple(map(_line, quiet)),
    )


def _line(window: Window) -> SignalLine:
    looked, latch = window.looked, window.after
    return SignalLine(
        book=window.book,
        session=window.session,
        looked_at=window.looked_at,
        state=looked.state.value,
        reason=looked.reason.value if looked.reason is not None else "",
        lag_s=looked.lag_s,
        session_state=looked.session_state.value,
        rows=window.rows,
        signals=window.signals,
        windows=latch.windows,
        empty=latch.empty,
        streak=latch.streak,
        is_latched=latch.is_set,
        healthy_to_clear=LIMITS.healthy_to_clear - latch.healthy if latch.is_set else 0,
        held=blocks(window),
    )
