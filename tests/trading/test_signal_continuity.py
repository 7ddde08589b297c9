"""Why a window gave no signal, when the latch sets and clears, and that a closed market is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.calendars import load_calendar
from trading.journal import JournalEvent
from trading.signal_continuity import (
    LIMITS,
    WINDOW,
    ContinuityLimits,
    ContinuityState,
    Latch,
    Looked,
    NoSignal,
    Poll,
    SessionState,
    blocks,
    body_of,
    due_at,
    latched,
    looked_of,
    session_state_at,
    window_of,
    windows_of,
)
from trading.timetable import DECIDE_BEFORE_OPEN, SETTLE_AFTER_CLOSE

CALENDAR = load_calendar("XNYS", Path(__file__).resolve().parents[2] / "config" / "calendars")
THURSDAY, FRIDAY, MONDAY = date(2013, 2, 21), date(2013, 2, 22), date(2013, 2, 25)
BEFORE_MONDAY = CALENDAR.opens_at(MONDAY) - DECIDE_BEFORE_OPEN
DUE = CALENDAR.closes_at(FRIDAY) + SETTLE_AFTER_CLOSE

GOOD = Poll(
    looked_at=BEFORE_MONDAY,
    session_state=SessionState.PRE_OPEN,
    is_configured=True,
    universe=5,
    invalid="",
    cursor=THURSDAY,
    tail=FRIDAY,
    rows=5,
    signals=5,
    due=FRIDAY,
    due_at=DUE,
)
LACKING = {
    NoSignal.SOURCE_UNCONFIGURED: {"is_configured": False},
    NoSignal.UNIVERSE_SOURCE_UNAVAILABLE: {"universe": None},
    NoSignal.INVALID_SYMBOL: {"invalid": "'?' is no symbol"},
    NoSignal.CURSOR_AHEAD_OF_STREAM: {"cursor": FRIDAY, "tail": THURSDAY, "rows": 0, "signals": 0},
    NoSignal.CURSOR_TAIL_STABLE: {"tail": THURSDAY, "rows": 0, "signals": 0},
    NoSignal.EMPTY_BATCH_ADVANCED: {"rows": 0, "signals": 0},
    NoSignal.NO_SIGNALS_IN_WINDOW: {"signals": 0},
}


@st.composite
def polls(draw: st.DrawFn) -> Poll:
    """Draw a look that can have been, whatever it found."""
    days = st.one_of(st.none(), st.sampled_from([THURSDAY, FRIDAY, MONDAY]))
    cursor, tail = draw(days), draw(days)
    is_behind = tail is not None and (cursor is None or tail > cursor)
    rows = draw(st.integers(0, 6)) if is_behind else 0
    late_s = draw(st.integers(-(10**5), 10**6))
    return Poll(
        looked_at=DUE + timedelta(seconds=late_s),
        session_state=draw(st.sampled_from(SessionState)),
        is_configured=draw(st.booleans()),
        universe=draw(st.one_of(st.none(), st.integers(0, 6))),
        invalid=draw(st.sampled_from(["", "'?' is no symbol"])),
        cursor=cursor,
        tail=tail,
        rows=rows,
        signals=draw(st.integers(0, rows)),
        due=FRIDAY,
        due_at=DUE,
    )


def test_a_window_with_signals_has_no_reason_and_no_lag():
    assert looked_of(GOOD) == Looked(None, ContinuityState.SIGNALS_PRESENT, 0, SessionState.PRE_OPEN)


@pytest.mark.parametrize("reason", NoSignal)
def test_each_reason_is_told_where_nothing_else_is_wrong(reason):
    found = looked_of(replace(GOOD, **LACKING[reason]))

    fails_safe = reason is NoSignal.UNIVERSE_SOURCE_UNAVAILABLE
    assert found.reason is reason
    assert found.state is (
        ContinuityState.UNIVERSE_FAIL_SAFE_BLOCK if fails_safe else ContinuityState.ACTIONABLE_SOURCE_FAULT
    )


@settings(deadline=None)
@given(polls())
def test_a_window_has_one_reason_just_where_no_good_signal_came(poll):
    found = looked_of(poll)

    is_good = poll.is_configured and bool(poll.universe) and not poll.invalid and poll.signals > 0
    assert (found.reason is None) == is_good
    assert (found.state is ContinuityState.SIGNALS_PRESENT) == is_good
    assert found.lag_s >= 0
    assert (found.lag_s == 0) or poll.tail is None or poll.tail < FRIDAY


@settings(deadline=None)
@given(polls(), st.integers(0, 3), st.integers(0, 1), st.booleans(), st.booleans())
def test_while_the_market_is_closed_nothing_sets_and_nothing_clears(poll, streak, healthy, is_set, has_begun):
    latch = Latch(is_set=is_set, streak=streak, healthy=healthy, has_begun=has_begun, why="x" * is_set)
    looked = looked_of(replace(poll, session_state=SessionState.CLOSED))

    if looked.reason is not None:
        assert latched(latch, looked) == latch


@settings(deadline=None)
@given(st.lists(polls(), max_size=40))
def test_the_latch_is_what_a_plain_telling_of_its_rule_says(looks):
    latch, told, streak, healthy, has_begun = Latch(), False, 0, 0, False
    for poll in looks:
        looked = looked_of(poll)
        latch = latched(latch, looked)
        if poll.session_state is SessionState.CLOSED and looked.reason is not None:
            assert latch.is_set == told
            continue
        is_good, is_late = looked.reason is None, looked.lag_s >= 300
        has_begun = has_begun or is_good
        if is_good and not is_late:
            streak, healthy = 0, healthy + 1
            told = told and healthy < 2
        elif has_begun or is_late or looked.reason is not NoSignal.NO_SIGNALS_IN_WINDOW:
            streak, healthy = streak + 1, 0
            told = told or streak >= 2 or is_late
        assert latch.is_set == told
        assert bool(latch.why) == told


def test_two_empty_windows_in_a_row_set_the_latch_and_two_good_ones_clear_it():
    empty, good = looked_of(replace(GOOD, rows=0, signals=0)), looked_of(GOOD)
    latch, sets = Latch(has_begun=True), []
    for looked in (empty, good, empty, empty, good, empty, good, good):
        latch = latched(latch, looked)
        sets.append(latch.is_set)

    assert sets == [False, False, False, True, True, True, True, False]
    assert (latch.windows, latch.empty) == (8, 4)


@pytest.mark.parametrize(("late_s", "is_set"), [(0, False), (299, False), (300, True), (10**6, True)])
def test_five_minutes_of_lag_set_the_latch_at_once(late_s, is_set):
    poll = replace(GOOD, tail=THURSDAY, cursor=None, looked_at=DUE + timedelta(seconds=late_s))

    found = looked_of(poll)

    assert found.lag_s == late_s
    assert latched(Latch(has_begun=True), found).is_set is is_set


def test_a_book_that_still_collects_its_history_is_no_fault_and_is_counted():
    warming = looked_of(replace(GOOD, signals=0))
    latch = Latch()
    for _ in range(30):
        latch = latched(latch, warming)

    assert (latch.is_set, latch.windows, latch.empty, latch.streak) == (False, 30, 30, 0)


def test_nothing_is_held_back_before_the_first_window_and_an_unknown_universe_holds_at_once():
    unknown = window_of(replace(GOOD, universe=None), book="five", session=MONDAY, earlier=None)

    assert blocks(None) == ""
    assert not unknown.after.is_set
    assert blocks(unknown) == "universe_fail_safe_block: universe_source_unavailable"


def test_another_look_for_a_session_is_a_window_of_its_own_and_the_same_one_is_not():
    empty = window_of(replace(GOOD, rows=0, signals=0), book="five", session=MONDAY, earlier=None)
    later = replace(GOOD, rows=0, signals=0, looked_at=BEFORE_MONDAY + timedelta(minutes=5))

    again = window_of(later, book="five", session=MONDAY, earlier=empty)
    same = window_of(replace(GOOD, rows=0, signals=0), book="five", session=MONDAY, earlier=empty)

    assert (empty.after.is_set, again.after.is_set) == (False, True)
    assert not again.is_of_same_look(empty)
    assert same.is_of_same_look(empty)


@settings(deadline=None)
@given(polls())
def test_a_stored_window_is_read_as_it_was(poll):
    window = window_of(poll, book="five", session=MONDAY, earlier=None)
    event = JournalEvent(
        seq=1,
        at=poll.looked_at,
        kind=WINDOW,
        book="five",
        lane="paper",
        session=MONDAY.isoformat(),
        intent_id="",
        actor="",
        reason="",
        body=body_of(window),
        prev_hash="",
        hash="",
    )

    assert windows_of([event, event._replace(kind="alert")]) == (window,)


def test_no_hour_of_a_year_is_late_where_quotes_come_at_settlement():
    """Every quarter of an hour of 2012, with its holidays, half days, weekends and changes of the clock."""
    at, false_alarms, asked = datetime(2012, 1, 3, tzinfo=UTC), [], 0
    while at < datetime(2013, 1, 3, tzinfo=UTC):
        session, since = due_at(CALENDAR, at)
        tail = CALENDAR.before(at.date() + timedelta(days=2), 4)
        there = max(day for day in tail if CALENDAR.closes_at(day) + SETTLE_AFTER_CLOSE <= at)
        poll = replace(
            GOOD,
            looked_at=at,
            session_state=session_state_at(CALENDAR, at),
            cursor=None,
            tail=there,
            due=session,
            due_at=since,
        )
        if latched(Latch(has_begun=True), looked_of(poll)).is_set:
            false_alarms.append(at)
        asked += 1
        at += timedelta(minutes=15)

    assert (false_alarms, asked) == ([], 366 * 96)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (datetime(2012, 7, 3, 13, 0, tzinfo=UTC), SessionState.PRE_OPEN),
        (datetime(2012, 7, 3, 13, 30, tzinfo=UTC), SessionState.OPEN),
        (datetime(2012, 7, 3, 17, 0, tzinfo=UTC), SessionState.SETTLING),  # a half day
        (datetime(2012, 7, 3, 17, 30, tzinfo=UTC), SessionState.CLOSED),
        (datetime(2012, 7, 4, 15, 0, tzinfo=UTC), SessionState.CLOSED),  # a holiday
        (datetime(2012, 7, 7, 15, 0, tzinfo=UTC), SessionState.CLOSED),  # a Saturday
        (datetime(2012, 3, 9, 14, 30, tzinfo=UTC), SessionState.OPEN),  # before summer time
        (datetime(2012, 3, 12, 13, 30, tzinfo=UTC), SessionState.OPEN),  # and in it
    ],
)
def test_an_instant_is_told_by_the_exchange_s_own_day(at, state):
    assert session_state_at(CALENDAR, at) is state


def test_limits_by_which_the_latch_would_never_set_are_refused():
    with pytest.raises(ValueError, match="streak_max 0: must be positive"):
        ContinuityLimits(streak_max=0)
    assert (LIMITS.streak_max, LIMITS.lag_s_max, LIMITS.healthy_to_clear) == (2, 300, 2)


def test_a_look_that_cannot_have_been_is_refused():
    with pytest.raises(ValueError, match="a signal is one of the rows"):
        replace(GOOD, rows=1, signals=2)
    with pytest.raises(ValueError, match="behind the cursor"):
        replace(GOOD, cursor=FRIDAY)
