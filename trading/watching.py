"""What watches the runs: failed runs and checks, missed sessions, ticks that fail or hang, what is stopped.

Tables that are late, full disks, costs and error budgets as well.

Pure: what was seen comes in, what is to be judged by the policy goes out. Who looks is sensors/watch.py; that
it still looks is told by its heartbeat, which Prometheus watches (deploy/prometheus/rules.yml).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from trading.advisor_calls import AdvisorCall, Purpose, spent, week_of_asking
from trading.alerts import (
    CHECKS_FAILED,
    DAY_COST,
    DISK_FREE,
    MISSED,
    RUNS_FAILED,
    SESSION_COST,
    STALE,
    STOPPED,
    TICKS_FAILED,
    TICKS_UNDER_WAY,
    WEEK_COST,
)
from trading.journal import SessionRecord
from trading.sessions import Calendar
from trading.slos import PairBurn
from trading.timetable import LOOK_BACK_BEFORE_DECISION, SETTLE_AFTER_CLOSE, last_week_tick
from trading.values import MICROS
from trading.weeks import is_over, week_of_date

RECENT_SESSIONS = 5
"""How many sessions back a run or check still is news; what repeats history is told to nobody."""

LOOKED_BACK_SESSIONS = 10
"""How far back it is looked whether a book is in use."""

DETAIL_CHARACTERS_MAX = 200

OF_SETTLED = ("positions", "daily_report")
"""What a settled session has to have: where the book stands, and what people read of it."""

OF_EVIDENCE = ("promotion_decisions",)
"""What the evidence run of a session leaves."""

OF_WEEKS = ("weekly_health", "weekly_audit")
"""What looking back on a week leaves."""

TOLD_OTHERWISE = frozenset({"session_raised_no_critical_alert"})
"""Checks that only show what is an alert already."""


class CheckSeen(NamedTuple):
    """Hold one evaluation of a check; `session` is `None` where the check is of none.

    `book` is the one whose asset was checked: a run that somebody put together may be of several.
    """

    book: str
    asset: str
    check: str
    session: date | None
    passed: bool
    detail: str


class RunSeen(NamedTuple):
    """Hold one run that has ended, with the checks that it evaluated, in their order.

    `book` is empty where the run is of none, or of several.
    """

    run_id: str
    job: str
    book: str
    session: date | None
    failed: bool
    detail: str
    checks: tuple[CheckSeen, ...]


class TickSeen(NamedTuple):
    """Hold how the last tick of a schedule or a sensor ended.

    `under_way_looks` is for how many looks in a row a later one has been under way, zero where none is. A
    tick says when it was due, not when it began: one that is caught up with would look a night old.
    """

    name: str
    failed: bool
    detail: str
    under_way_looks: int


class Wanted(NamedTuple):
    """Hold a schedule or a sensor of a book, as it is declared and as a person has left it.

    `is_running` is `None` where no person has started or stopped it: then it does what it is declared to.
    """

    name: str
    runs_by_default: bool
    is_running: bool | None


class Sighting(NamedTuple):
    """Hold one thing that the policy judges: a metric of `alerts.WATCHED`, of a book, about a subject.

    `observed` is in the metric's unit; `session` is the one that it was seen in. `mended`: a later look of
    the same batch was good, so that it is over once it was told. `run_id` is the run that it was seen in,
    empty where it was in none.
    """

    metric: str
    book: str
    about: str
    session: date
    observed: float
    detail: str
    mended: bool = False
    run_id: str = ""


class Watched(Protocol):
    """Tell that the watch still looks, by a sign that others can see grow old; and how full the disk is."""

    def beat(self) -> None:
        """Leave a sign of life."""
        ...

    def disk_free_ratio(self) -> float:
        """Return the free share of the disk that holds the desk's state, from 0 to 1."""
        ...


def sightings_of_runs(
    runs: Iterable[RunSeen], *, today: Callable[[str], date], calendar: Callable[[str], Calendar]
) -> tuple[Sighting, ...]:
    """Return what ended runs say of jobs and checks, one sighting a subject.

    Of several looks at one subject in a batch the worst counts, so that a failure between two good ones is
    told; `today` and `calendar` are those of a book, or of the desk for a run without one. A run of a
    session long past is no news.
    """
    found: dict[tuple[str, str, str], Sighting] = {}
    for run in runs:
        for sighting in _of_run(run, today):
            since = _recent_since(calendar(sighting.book), today(sighting.book))
            key = (sighting.metric, sighting.book, sighting.about)
            worst = found.get(key)
            if sighting.session < since:
                continue
            if worst is not None and sighting.observed < worst.observed:
                found[key] = worst._replace(mended=True)
            else:
                found[key] = sighting
    return tuple(found.values())


def _of_run(run: RunSeen, today: Callable[[str], date]) -> Iterable[Sighting]:
    yield Sighting(
        RUNS_FAILED,
        run.book,
        run.job,
        run.session or today(run.book),
        float(run.failed),
        _detail(run.detail),
        run_id=run.run_id,
    )
    for seen in run.checks:
        if seen.check not in TOLD_OTHERWISE:
            yield Sighting(
                CHECKS_FAILED,
                seen.book,
                f"{seen.asset}:{seen.check}",
                seen.session or run.session or today(seen.book),
                float(not seen.passed),
                _detail(seen.detail),
                run_id=run.run_id,
            )


def _recent_since(calendar: Calendar, today: date) -> date:
    return (*calendar.before(today, RECENT_SESSIONS), today)[0]


def sightings_of_ticks(ticks: Iterable[TickSeen], *, on: date) -> tuple[Sighting, ...]:
    """Return what the last ticks of schedules and sensors say of them; `on` is the date of the look."""
    return tuple(
        sighting
        for tick in ticks
        for sighting in (
            Sighting(TICKS_FAILED, "", tick.name, on, float(tick.failed), _detail(tick.detail)),
            Sighting(TICKS_UNDER_WAY, "", tick.name, on, float(tick.under_way_looks), ""),
        )
    )


def sightings_of_stopped(
    book: str, wanted: Sequence[Wanted], *, is_begun: bool, on: date
) -> tuple[Sighting, ...]:
    """Return which schedules and sensors of a book are stopped though the desk needs them.

    A book that nobody has begun needs none. What a person has stopped is told; what nobody has started is
    told once somebody has started another one of the book: a desk that is run by hand starts none of them.
    """
    is_started = any(one.is_running and not one.runs_by_default for one in wanted)
    stopped = {one.name for one in wanted if is_begun and _is_stopped(one, is_another_started=is_started)}
    return tuple(Sighting(STOPPED, book, one.name, on, float(one.name in stopped), "") for one in wanted)


def _is_stopped(one: Wanted, *, is_another_started: bool) -> bool:
    if one.is_running is None:
        return is_another_started and not one.runs_by_default
    return not one.is_running


def sighting_of_disk(free_ratio: float, *, on: date) -> Sighting:
    """Return what the free share of the disk with the desk's state says."""
    return Sighting(DISK_FREE, "", "state folder", on, free_ratio, "")


def sightings_of_costs(calls: Iterable[AdvisorCall], *, on: date) -> tuple[Sighting, ...]:
    """Return what the advisor's model cost: of each book's last session, and of the last day and week.

    The last ones are those of the newest question. Day and week are in UTC, all books and purposes together;
    a session counts its advice alone. Where nothing was asked there is nothing to judge: no data is no alert,
    and no end of one either.
    """
    listed = sorted(calls, key=lambda call: call.at)
    if not listed:
        return ()
    newest = listed[-1]
    of_day = [call for call in listed if call.at.date() == newest.at.date()]
    of_week = [call for call in listed if week_of_asking(call) == week_of_asking(newest)]
    last_of = {call.book: call.session for call in listed if call.purpose is Purpose.ADVICE}
    of_session = (
        _cost(SESSION_COST, book, _advice_on(listed, book, session), period=session, on=on)
        for book, session in last_of.items()
    )
    return (
        *of_session,
        _cost(DAY_COST, "", of_day, period=newest.at.date(), on=on),
        _cost(WEEK_COST, "", of_week, period=week_of_asking(newest), on=on),
    )


def _advice_on(calls: Iterable[AdvisorCall], book: str, session: date) -> list[AdvisorCall]:
    return [
        call
        for call in calls
        if call.purpose is Purpose.ADVICE and (call.book, call.session) == (book, session)
    ]


def _cost(metric: str, book: str, calls: Sequence[AdvisorCall], *, period: date | str, on: date) -> Sighting:
    total = spent(calls)
    return Sighting(metric, book, "", on, total.cost_micros / MICROS, f"{period}, {total.calls} questions")


def sightings_of_burns(burns: Iterable[PairBurn], *, on: date) -> tuple[Sighting, ...]:
    """Return how fast each error budget burns that something was counted of.

    Where nothing was there is nothing to judge: no data is no alert, and no end of one either.
    """
    return tuple(
        Sighting(
            one.pair.metric,
            "",
            one.objective.value,
            on,
            one.burn,
            f"over {one.pair.long} and over {one.pair.short}" if one.burn else "",
        )
        for one in burns
        if one.burn is not None
    )


def sightings_of_sessions(
    book: str,
    calendar: Calendar,
    *,
    record_of: Callable[[date], SessionRecord | None],
    now: datetime,
) -> tuple[Sighting, ...]:
    """Return how many sessions of a book were not decided or not settled in time: the journal knows, no tick.

    A session is to be decided by its open and settled an hour after its close, on half days too. A book that
    nobody has begun misses nothing, nor does one while its sessions are only those before it began.
    """
    asked = sessions_begun(calendar, record_of=record_of, now=now)
    if not asked:
        return ()
    undecided = [
        session
        for session, record in asked
        if now >= calendar.opens_at(session) and not _is_decided(record) and not _is_settled(record)
    ]
    unsettled = [
        session
        for session, record in asked
        if now >= calendar.closes_at(session) + 2 * SETTLE_AFTER_CLOSE and not _is_settled(record)
    ]
    return (_missed(book, "decide", undecided, asked), _missed(book, "settle", unsettled, asked))


def sessions_begun(
    calendar: Calendar, *, record_of: Callable[[date], SessionRecord | None], now: datetime
) -> Sequence[tuple[date, SessionRecord | None]]:
    """Return the last sessions of a book up to today, ascending, from the first that was begun among them.

    None where nobody has begun any of them: the book is not in use.
    """
    sessions = calendar.before(now.date(), LOOKED_BACK_SESSIONS)
    if now.date() in calendar:
        sessions = (*sessions, now.date())
    records = [(session, record_of(session)) for session in sessions]
    begun = next((place for place, (_, record) in enumerate(records) if _is_begun(record)), None)
    return () if begun is None else records[begun:]


def sightings_of_stale(
    book: str,
    calendar: Calendar,
    begun: Sequence[tuple[date, SessionRecord | None]],
    *,
    is_made: Callable[[str, str], bool],
    evidence_since: datetime | None,
    weeks_since: datetime | None,
    now: datetime,
) -> tuple[Sighting, ...]:
    """Return of how many sessions or weeks of a book each table is missing though its deadline is over.

    A session is due an hour after its close, or half an hour after a settlement that came later; one that
    is not settled is told as missed and owes no table yet. A week is due two hours after the tick that looks
    back on it. `begun` is what `sessions_begun` gives, `is_made` answers for an asset and a partition;
    `evidence_since` and `weeks_since` are when those schedules were started, `None` where one does not run:
    a tick before never came.
    """
    if not begun:
        return ()
    settled = [
        session
        for session, record in begun[-RECENT_SESSIONS:]
        if record is not None
        and record.settled_at is not None
        and now
        >= max(calendar.closes_at(session) + SETTLE_AFTER_CLOSE, record.settled_at) + SETTLE_AFTER_CLOSE
    ]
    looked_at = [
        session
        for session in settled
        if evidence_since is not None and evidence_since <= calendar.closes_at(session) + SETTLE_AFTER_CLOSE
    ]
    tick = last_week_tick(calendar, now - LOOK_BACK_BEFORE_DECISION)
    weeks = {
        week.name
        for week in (week_of_date(session) for session, _ in begun)
        if weeks_since is not None and weeks_since <= tick and is_over(week, calendar, now=tick)
    }
    owed = (
        *((asset, [str(session) for session in settled]) for asset in OF_SETTLED),
        *((asset, [str(session) for session in looked_at]) for asset in OF_EVIDENCE),
        *((asset, sorted(weeks)) for asset in OF_WEEKS),
    )
    found = []
    for asset, partitions in owed:
        missing = [partition for partition in partitions if not is_made(asset, partition)]
        found.append(Sighting(STALE, book, asset, begun[-1][0], float(len(missing)), ", ".join(missing)))
    return tuple(found)


def _missed(
    book: str, what: str, missed: Sequence[date], asked: Sequence[tuple[date, SessionRecord | None]]
) -> Sighting:
    return Sighting(
        MISSED, book, what, asked[-1][0], float(len(missed)), ", ".join(str(one) for one in missed)
    )


def _is_begun(record: SessionRecord | None) -> bool:
    return record is not None and bool(record.opening_sha)


def _is_decided(record: SessionRecord | None) -> bool:
    return record is not None and record.decided_at is not None


def _is_settled(record: SessionRecord | None) -> bool:
    return record is not None and record.settled_at is not None


def _detail(text: str) -> str:
    """Return what somebody said as one line that can be stored: whatever does not print is a space in it."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= DETAIL_CHARACTERS_MAX else f"{line[:DETAIL_CHARACTERS_MAX]}…"
