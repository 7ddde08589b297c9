"""Signal continuity: why a window gave no signal, and when its silence holds back promotion and live trading.

Pure. A window is one look for signals, and a signal a symbol that the scan could judge on a quote of the last
closed session. The stream is the sessions of which a source has quotes; the cursor is the last one that a
look before this one has read. What is kept of windows is resources/signal_keeper.py, who is told of a latch
alerts.py, and what it holds back preflight.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.audit import instant_text
from trading.journal import JournalEvent
from trading.sessions import Calendar
from trading.timetable import DECIDE_BEFORE_OPEN, SETTLE_AFTER_CLOSE

WINDOW = "signal_window"
"""The kind of the journal's event that tells of one window, and of the latch after it."""


class NoSignal(StrEnum):
    """Name why a window gave no signal, in the order in which it is asked; there is exactly one."""

    SOURCE_UNCONFIGURED = "source_unconfigured"
    UNIVERSE_SOURCE_UNAVAILABLE = "universe_source_unavailable"
    INVALID_SYMBOL = "invalid_symbol"
    CURSOR_AHEAD_OF_STREAM = "cursor_ahead_of_stream"
    CURSOR_TAIL_STABLE = "cursor_tail_stable"
    EMPTY_BATCH_ADVANCED = "empty_batch_advanced"
    NO_SIGNALS_IN_WINDOW = "no_signals_in_window"


class ContinuityState(StrEnum):
    """Say what a window means: all is well, see to the source, nothing is due, or no universe is known."""

    SIGNALS_PRESENT = "signals_present"
    ACTIONABLE_SOURCE_FAULT = "actionable_source_fault"
    EXPECTED_MARKET_CLOSED_STALENESS = "expected_market_closed_staleness"
    UNIVERSE_FAIL_SAFE_BLOCK = "universe_fail_safe_block"


class SessionState(StrEnum):
    """Say where in an exchange's day a look falls."""

    CLOSED = "closed"
    PRE_OPEN = "pre_open"
    OPEN = "open"
    SETTLING = "settling"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityLimits:
    """Hold when the latch sets and clears: empty windows in a row, seconds of lag, good windows in a row."""

    streak_max: int = 2
    lag_s_max: int = 300
    healthy_to_clear: int = 2

    def __post_init__(self) -> None:
        """Refuse limits by which the latch would never set, or never clear."""
        for name in ("streak_max", "lag_s_max", "healthy_to_clear"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive")


LIMITS = ContinuityLimits()
"""The limits in force: two empty windows in a row, five minutes of lag, two healthy windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Hold what one look for signals found, as it was found.

    `universe` counts the symbols that may be traded, `None` where nobody can say; `invalid` says what of the
    look is no quote of an instrument, empty where all is. `cursor` is the last session read before, `tail`
    the last one that the source has, each `None` where there is none. `rows` counts usable quotes behind the
    cursor, `signals` those of them that the scan could judge. `due` is the last session whose quotes should
    be there, since `due_at`, `None` before the book's first one.
    """

    looked_at: datetime
    session_state: SessionState
    is_configured: bool
    universe: int | None
    invalid: str
    cursor: date | None
    tail: date | None
    rows: int
    signals: int
    due: date | None
    due_at: datetime | None

    def __post_init__(self) -> None:
        """Refuse a look that cannot have been."""
        if not 0 <= self.signals <= self.rows:
            raise ValueError(f"signals {self.signals} of {self.rows} rows: a signal is one of the rows")
        if self.rows and (self.tail is None or (self.cursor is not None and self.tail <= self.cursor)):
            raise ValueError(f"{self.rows} rows behind the cursor {self.cursor}: the stream ends {self.tail}")
        if (self.due is None) != (self.due_at is None):
            raise ValueError("a session that is due is due since an instant, and the other way round")


class Looked(NamedTuple):
    """Hold what a look means: `reason` is `None` where there are signals, `lag_s` counts from when due."""

    reason: NoSignal | None
    state: ContinuityState
    lag_s: int
    session_state: SessionState

    @property
    def is_silent(self) -> bool:
        """Say whether the look counts for nothing: the market is closed, and nothing came of it."""
        return self.state is ContinuityState.EXPECTED_MARKET_CLOSED_STALENESS

    def is_healthy(self, limits: ContinuityLimits) -> bool:
        """Say whether there are signals, and in time."""
        return self.state is ContinuityState.SIGNALS_PRESENT and self.lag_s < limits.lag_s_max


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """Hold whether silence holds trading back. All counts exist before the first signal.

    `streak` counts windows in a row without health, `healthy` those with since the latch was set; `windows`
    and `empty` count all that were not silent. `has_begun`: a signal was seen once, so that a book that is
    still collecting its history is no fault. `why` says what set the latch, empty while it is not.
    """

    is_set: bool = False
    streak: int = 0
    healthy: int = 0
    windows: int = 0
    empty: int = 0
    has_begun: bool = False
    why: str = ""


class Window(NamedTuple):
    """Hold one stored window: the session to be decided, what the look means, and the latch around it."""

    book: str
    session: date
    looked_at: datetime
    looked: Looked
    cursor: date | None
    tail: date | None
    read_to: date | None
    rows: int
    signals: int
    before: Latch
    after: Latch

    def is_of_same_look(self, other: Window) -> bool:
        """Say whether another window tells of the very same look, whatever the latch was before it."""
        return self._replace(before=other.before, after=other.after) == other


class SignalKeeper(Protocol):
    """Keep windows and the latch; a part of the journal."""

    def window_before(self, *, book: str, lane: str, session: date) -> Window | None:
        """Return the last window that was stored for an earlier session."""
        ...

    def last_window(self, *, book: str, lane: str) -> Window | None:
        """Return the last window stored, `None` before the first."""
        ...

    def keep(self, window: Window, *, lane: str, now: datetime) -> bool:
        """Store a window; the same look again changes nothing. Returns whether it was new."""
        ...


# ------------------------------------------------------------------------------------------ one window


def session_state_at(calendar: Calendar, at: datetime) -> SessionState:
    """Return where in the exchange's day an instant falls, holidays, half days and weekends included.

    Before the open it begins with the time of decisions, after the close it ends with that of settlement.
    """
    for session in calendar.between(at.date() - timedelta(days=1), at.date() + timedelta(days=1)):
        opens_at, closes_at = calendar.opens_at(session), calendar.closes_at(session)
        if opens_at - DECIDE_BEFORE_OPEN <= at < opens_at:
            return SessionState.PRE_OPEN
        if opens_at <= at < closes_at:
            return SessionState.OPEN
        if closes_at <= at < closes_at + SETTLE_AFTER_CLOSE:
            return SessionState.SETTLING
    return SessionState.CLOSED


def due_at(calendar: Calendar, at: datetime) -> tuple[date, datetime] | None:
    """Return the last session whose quotes should be there, and since when; `None` before any."""
    for session in reversed(calendar.before(at.date() + timedelta(days=2), 4)):
        since = calendar.closes_at(session) + SETTLE_AFTER_CLOSE
        if since <= at:
            return session, since
    return None


def looked_of(poll: Poll) -> Looked:
    """Return what a look means: exactly one reason where there is no signal, none where there are."""
    reason, lag_s = _reason(poll), _lag_s(poll)
    if reason is None:
        state = ContinuityState.SIGNALS_PRESENT
    elif reason is NoSignal.UNIVERSE_SOURCE_UNAVAILABLE:
        state = ContinuityState.UNIVERSE_FAIL_SAFE_BLOCK
    else:
        state = ContinuityState.ACTIONABLE_SOURCE_FAULT
    if reason is not None and poll.session_state is SessionState.CLOSED:
        state = ContinuityState.EXPECTED_MARKET_CLOSED_STALENESS
    return Looked(reason=reason, state=state, lag_s=lag_s, session_state=poll.session_state)


def _reason(poll: Poll) -> NoSignal | None:
    if not poll.is_configured:
        return NoSignal.SOURCE_UNCONFIGURED
    if not poll.universe:
        return NoSignal.UNIVERSE_SOURCE_UNAVAILABLE
    if poll.invalid:
        return NoSignal.INVALID_SYMBOL
    if poll.cursor is not None and (poll.tail is None or poll.cursor > poll.tail):
        return NoSignal.CURSOR_AHEAD_OF_STREAM
    if poll.cursor == poll.tail:
        return NoSignal.CURSOR_TAIL_STABLE
    if not poll.rows:
        return NoSignal.EMPTY_BATCH_ADVANCED
    return None if poll.signals else NoSignal.NO_SIGNALS_IN_WINDOW


def _lag_s(poll: Poll) -> int:
    """Return for how many seconds a session has been due that the source has not, 0 where it has it."""
    if poll.due is None or poll.due_at is None or (poll.tail is not None and poll.tail >= poll.due):
        return 0
    return max(0, int((poll.looked_at - poll.due_at).total_seconds()))


# ------------------------------------------------------------------------------------------ the latch


def latched(latch: Latch, looked: Looked, limits: ContinuityLimits = LIMITS) -> Latch:
    """Return the latch after a window. One that is silent changes nothing: it neither sets nor clears."""
    if looked.is_silent:
        return latch
    has_begun = latch.has_begun or looked.state is ContinuityState.SIGNALS_PRESENT
    counted = replace(
        latch,
        windows=latch.windows + 1,
        empty=latch.empty + (1 if looked.reason is not None else 0),
        has_begun=has_begun,
    )
    if looked.is_healthy(limits):
        return _after_health(counted, limits)
    if not has_begun and looked.reason is NoSignal.NO_SIGNALS_IN_WINDOW and looked.lag_s < limits.lag_s_max:
        return counted
    streak = latch.streak + 1
    is_late = looked.lag_s >= limits.lag_s_max
    if streak < limits.streak_max and not is_late:
        return replace(counted, streak=streak, healthy=0)
    return replace(
        counted, is_set=True, streak=streak, healthy=0, why=latch.why or _why(looked, streak, is_late=is_late)
    )


def blocks(window: Window | None) -> str:
    """Return why promotion and live trading are held back, empty where they are not.

    A universe that nobody knows blocks at once. Before the first window nothing is known to be wrong.
    """
    if window is None:
        return ""
    if window.after.is_set:
        return window.after.why
    if window.looked.state is ContinuityState.UNIVERSE_FAIL_SAFE_BLOCK:
        return f"{window.looked.state}: {window.looked.reason}"
    return ""


def _after_health(latch: Latch, limits: ContinuityLimits) -> Latch:
    if not latch.is_set:
        return replace(latch, streak=0)
    healthy = latch.healthy + 1
    if healthy < limits.healthy_to_clear:
        return replace(latch, streak=0, healthy=healthy)
    return replace(latch, is_set=False, streak=0, healthy=0, why="")


def _why(looked: Looked, streak: int, *, is_late: bool) -> str:
    told = looked.reason.value if looked.reason is not None else "signals of old quotes"
    return f"{told}, {looked.lag_s} s late" if is_late else f"{told}, {streak} windows in a row"


# ------------------------------------------------------------------------------------------ what is kept


def window_of(
    poll: Poll, *, book: str, session: date, earlier: Window | None, limits: ContinuityLimits = LIMITS
) -> Window:
    """Return the window of a look for a session's decision, after the last one that was stored.

    Another look for the same session is a window of its own: what was wrong counts, and so does its end.
    """
    looked = looked_of(poll)
    before = earlier.after if earlier is not None else Latch()
    has_read = poll.is_configured and bool(poll.universe) and poll.tail is not None
    return Window(
        book=book,
        session=session,
        looked_at=poll.looked_at,
        looked=looked,
        cursor=poll.cursor,
        tail=poll.tail,
        read_to=max(filter(None, (poll.cursor, poll.tail)), default=None) if has_read else poll.cursor,
        rows=poll.rows,
        signals=poll.signals,
        before=before,
        after=latched(before, looked, limits),
    )


def body_of(window: Window) -> dict[str, Any]:
    """Return what a window's event holds, as plain JSON values."""
    return {
        "reason": window.looked.reason.value if window.looked.reason is not None else "",
        "state": window.looked.state.value,
        "session_state": window.looked.session_state.value,
        "lag_s": window.looked.lag_s,
        "looked_at": instant_text(window.looked_at),
        "cursor": _text(window.cursor),
        "tail": _text(window.tail),
        "read_to": _text(window.read_to),
        "rows": window.rows,
        "signals": window.signals,
        "before": _latch_body(window.before),
        "after": _latch_body(window.after),
    }


def windows_of(events: Iterable[JournalEvent]) -> tuple[Window, ...]:
    """Return the windows that events tell of, in the order stored; other kinds are passed over."""
    return tuple(_window(event) for event in events if event.kind == WINDOW)


def _window(event: JournalEvent) -> Window:
    body = event.body
    return Window(
        book=event.book,
        session=date.fromisoformat(event.session),
        looked_at=datetime.fromisoformat(body["looked_at"]),
        looked=Looked(
            reason=NoSignal(body["reason"]) if body["reason"] else None,
            state=ContinuityState(body["state"]),
            lag_s=body["lag_s"],
            session_state=SessionState(body["session_state"]),
        ),
        cursor=_date(body["cursor"]),
        tail=_date(body["tail"]),
        read_to=_date(body["read_to"]),
        rows=body["rows"],
        signals=body["signals"],
        before=Latch(**body["before"]),
        after=Latch(**body["after"]),
    )


def _latch_body(latch: Latch) -> Mapping[str, Any]:
    return {
        "is_set": latch.is_set,
        "streak": latch.streak,
        "healthy": latch.healthy,
        "windows": latch.windows,
        "empty": latch.empty,
        "has_begun": latch.has_begun,
        "why": latch.why,
    }


def _text(session: date | None) -> str:
    return session.isoformat() if session is not None else ""


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
