"""Whether signals come: each book's last window, why it was empty, and the latch that holds trading back.

Read from the journal's events. What a window means is trading/signal_continuity.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from console.desk import Desk
from resources.journal import records
from trading.signal_continuity import LIMITS, Window, blocks, windows_of

LAST, ALL = "find_last_signal_windows", "find_signal_windows"

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
    """Return each book's last window and its latest ones without a signal; raises `BadInput`."""
    names = [outline.name for outline in desk.chosen(book)]
    windows = _windows(desk, ALL)
    return tuple(_book(name, [one for one in windows if one.book == name]) for name in names)


def last_signals_of(desk: Desk) -> tuple[BookSignals, ...]:
    """Return each book's last window alone: one question, however many windows there were."""
    windows = _windows(desk, LAST)
    return tuple(_book(name, [one for one in windows if one.book == name]) for name in desk.books)


def why_held(desk: Desk, book: str) -> str:
    """Return why promotion and live trading of a book are held back, empty where they are not."""
    return blocks(next((one for one in _windows(desk, LAST) if one.book == book), None))


def _windows(desk: Desk, question: str) -> list[Window]:
    rows = desk.journal.answers((question,))[question]
    return list(windows_of(records.event_of(row) for row in rows if row["lane"] == desk.lane))


def _book(name: str, windows: list[Window]) -> BookSignals:
    last = windows[-1] if windows else None
    return BookSignals(
        book=name,
        windows=last.after.windows if last else 0,
        empty=last.after.empty if last else 0,
        held=blocks(last),
        last=_line(last) if last else None,
        quiet=tuple(_line(one) for one in reversed(windows) if one.looked.reason is not None)[:QUIET_MAX],
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
