"""Signals asked of a journal's years by a few of its rows: on both engines what folding all of them says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.book_outlines import BookOutline
from console.desk import Desk
from console.lake_pointers import LakePointers
from console.signals import QUIET_MAX, last_signals_of, signals_of, why_held
from resources.journal.drafts import Draft
from tests.graph.desk import settings_in
from tests.trading.test_signal_continuity import GOOD, polls
from trading.signal_continuity import WINDOW, Poll, Window, blocks, body_of, latched, window_of

FIRST = date(2013, 3, 1)
OUTLINE = BookOutline(
    name="",
    title="",
    calendar="XNYS",
    currency="USD",
    account="SIM",
    deposit_micros=1,
    costs={},
    first_session=None,
    last_session=None,
)
NUMBERS = count(1)
EMPTY = replace(GOOD, rows=0, signals=0)

histories = st.lists(
    st.tuples(
        st.sampled_from(["one", "two", "none"]),
        st.sampled_from(["simulated", "paper"]),
        polls(),
        st.booleans(),
    ),
    max_size=12,
)
"""Looks in the order stored: of which book, in which lane, what was found, and whether a session later."""


def kept(database, looks: Iterable[tuple[str, str, Poll, bool]], number: int) -> list[Window]:
    """Store windows of books of an example's own, as the product's keeper does; give those of the lane."""
    last: dict[tuple[str, str], Window] = {}
    mine = []
    with database.open() as journal, journal.appending(GOOD.looked_at) as (_, append):
        for book, lane, poll, is_later in looks:
            name = f"{book}-{number}"
            earlier = last.get((name, lane))
            session = FIRST if earlier is None else earlier.session + timedelta(days=is_later)
            window = window_of(poll, book=name, session=session, earlier=earlier)
            last[name, lane] = window
            append(
                Draft(
                    WINDOW,
                    book=name,
                    lane=lane,
                    session=session.isoformat(),
                    reason=window.looked.reason.value if window.looked.reason else "",
                    body=body_of(window),
                )
            )
            mine += [window] if lane == "simulated" else []
    return mine


def test_what_is_asked_by_sql_is_what_folding_every_window_says(database, tmp_path):
    desk = Desk(
        settings=settings_in(tmp_path), books={}, journal=database.reader(), lake=LakePointers(str(tmp_path))
    )

    @settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(histories)
    def check(looks):
        number = next(NUMBERS)
        stored = kept(database, looks, number)
        names = [f"{book}-{number}" for book in ("one", "two", "none")]
        mine = replace(desk, books={name: replace(OUTLINE, name=name) for name in names})

        assert told(signals_of(mine)) == folded(names, stored)
        assert [row.last for row in last_signals_of(mine)] == [row.last for row in signals_of(mine)]
        for name in names:
            of_book = [one for one in stored if one.book == name]
            assert why_held(mine, name) == blocks(of_book[-1] if of_book else None)

    check()


def told(books) -> list[tuple]:
    return [
        (
            row.book,
            row.windows,
            row.empty,
            row.held,
            shown(row.last),
            [shown(line) for line in row.quiet],
        )
        for row in books
    ]


def shown(line) -> tuple | None:
    if line is None:
        return None
    return (
        line.session,
        line.looked_at,
        line.reason,
        line.lag_s,
        line.windows,
        line.empty,
        line.streak,
        line.held,
    )


def folded(names: list[str], stored: list[Window]) -> list[tuple]:
    """Tell the same by folding the whole history with the rule of one window after the other."""
    found = []
    for name in names:
        lines, latch = [], None
        for window in (one for one in stored if one.book == name):
            latch = latched(latch or window.before, window.looked)
            assert latch == window.after
            lines.append(
                (
                    window.session,
                    window.looked_at,
                    window.looked.reason.value if window.looked.reason else "",
                    window.looked.lag_s,
                    latch.windows,
                    latch.empty,
                    latch.streak,
                    blocks(window),
                )
            )
        quiet = [line for line in reversed(lines) if line[2]]
        last = lines[-1] if lines else None
        found.append(
            (
                name,
                latch.windows if latch else 0,
                latch.empty if latch else 0,
                last[-1] if last else "",
                last,
                quiet,
            )
        )
    return found


def test_of_many_empty_windows_the_latest_of_each_book_are_told(database, tmp_path):
    looks = [
        ("one", "simulated", replace(EMPTY, looked_at=GOOD.looked_at + timedelta(minutes=place)), True)
        for place in range(QUIET_MAX + 5)
    ]
    number = next(NUMBERS)
    of_another_lane = [("one", "paper", poll, True) for _, _, poll, _ in looks]
    stored = kept(database, [*looks, *of_another_lane, ("two", "simulated", EMPTY, True)], number)
    names = [f"{book}-{number}" for book in ("one", "two")]
    desk = Desk(
        settings=settings_in(tmp_path),
        books={name: replace(OUTLINE, name=name) for name in names},
        journal=database.reader(),
        lake=LakePointers(str(tmp_path)),
    )

    one, two = signals_of(desk)

    assert [line.looked_at for line in one.quiet] == [
        window.looked_at for window in reversed(stored[5 : QUIET_MAX + 5])
    ]
    assert (one.windows, len(two.quiet)) == (QUIET_MAX + 5, 1)
