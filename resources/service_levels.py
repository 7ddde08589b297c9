"""What service levels count, from the journal alone: session by session, and the last days by the minute.

Counted once and kept: a look counts the sessions again that something happened to since the look before, and
those after them. What the counts mean is trading/slos.py; who shows them is console/slo.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import Lock
from typing import NamedTuple

from resources.journal import records
from resources.journal.reader import JournalReader
from trading.audit import instant_from_text
from trading.lifecycle import IntentState
from trading.sessions import Calendar
from trading.signal_continuity import LIMITS, windows_of
from trading.slos import (
    PAIRS,
    WINDOW_SESSIONS,
    WINDOWS,
    Count,
    Judged,
    Objective,
    PairBurn,
    SessionTimes,
    Standing,
    Tally,
    answered,
    available,
    pair_burn,
    standing_of,
)

RECENT_SESSIONS = 10
"""Of how many sessions each judgement is kept by its instant: more than the longest window of a burn."""

EARLIEST = date.min.isoformat()

COUNTED = tuple(one for one in Objective if one is not Objective.AVAILABILITY)
"""What only events change; whether a session is there, time alone changes as well."""


class Happened(NamedTuple):
    """Hold one judgement and the session that it is of."""

    session: date
    judged: Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Hold what was counted of some books as of one moment, by objective.

    `now` is that moment; in simulated time the last thing that happened, `None` before the first one.
    """

    counts: Mapping[Objective, Sequence[Count]]
    recent: Mapping[Objective, Sequence[Judged]]
    now: datetime | None

    def standings(self) -> tuple[Standing, ...]:
        """Return how each objective stands, in the order of objectives."""
        return tuple(standing_of(objective, self.counts[objective]) for objective in Objective)

    def burns(self) -> tuple[PairBurn, ...]:
        """Return how fast each objective burns over each pair of windows, by objective then pair."""
        if self.now is None:
            return tuple(PairBurn(objective, pair, None) for objective in Objective for pair in PAIRS)
        return tuple(
            pair_burn(self.recent[objective], objective=objective, pair=pair, now=self.now)
            for objective in Objective
            for pair in PAIRS
        )


@dataclass(slots=True)
class _Book:
    """Keep what was counted of one book: its sessions, ascending, tallies by session, and what is recent."""

    sessions: dict[date, SessionTimes] = field(default_factory=dict)
    tallies: dict[Objective, dict[date, Tally]] = field(default_factory=lambda: {one: {} for one in COUNTED})
    recent: dict[Objective, list[Happened]] = field(default_factory=lambda: {one: [] for one in COUNTED})

    @property
    def begin(self) -> date:
        """Return the first session that counts; before the book's first one any does."""
        return next(iter(self.sessions), date.min)

    @property
    def recent_since(self) -> date:
        """Return from which session on each judgement is kept by its instant."""
        return next(iter(list(self.sessions)[-RECENT_SESSIONS:]), date.min)

    def drop(self, objective: Objective, *, first: date) -> None:
        """Forget what was counted of an objective from a session on."""
        self.tallies[objective] = {on: tally for on, tally in self.tallies[objective].items() if on < first}
        self.recent[objective] = [one for one in self.recent[objective] if one.session < first]

    def add(self, objective: Objective, found: Iterable[Happened]) -> None:
        """Count what happened."""
        tallies, recent, recent_since = self.tallies[objective], self.recent[objective], self.recent_since
        for one in found:
            good, total = tallies.get(one.session, (0, 0))
            tallies[one.session] = Tally(good + one.judged.is_good, total + 1)
            if one.session >= recent_since:
                recent.append(one)

    def trim(self) -> None:
        """Forget what is older than an error budget, and the instants of what is no longer recent."""
        begin, recent_since = self.begin, self.recent_since
        for objective in COUNTED:
            tallies = self.tallies[objective].items()
            self.tallies[objective] = {on: tally for on, tally in tallies if on >= begin}
            self.recent[objective] = [one for one in self.recent[objective] if one.session >= recent_since]


class ServiceCounts:
    """Keep what service levels count. One is kept as long as its journal is looked at, from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: dict[tuple[str, str], int] = {}
        self._kept: dict[tuple[str, str], _Book] = {}

    def look(
        self, journal: JournalReader, *, calendars: Mapping[str, Calendar], lane: str, now: datetime | None
    ) -> Counted:
        """Return what is counted of the books that `calendars` names; `now` is `None` in simulated time.

        `journal` answers as of one moment.
        """
        with self._lock:
            self._count(journal, list(calendars), lane)
            books = {name: self._kept[name, lane] for name in calendars}
            had = [
                one
                for name, book in books.items()
                for one in available(book.sessions, calendars[name], now=now).items()
            ]
            counts = {Objective.AVAILABILITY: [Count(on, int(one.is_good), 1) for on, one in had]}
            recent = {Objective.AVAILABILITY: [one for _, one in had]}
            for objective in COUNTED:
                counts[objective] = [
                    Count(on, *tally)
                    for book in books.values()
                    for on, tally in book.tallies[objective].items()
                ]
                recent[objective] = [one.judged for book in books.values() for one in book.recent[objective]]
        latest = now or max((one.at for listed in recent.values() for one in listed), default=None)
        return Counted(counts=counts, recent=_within(recent, latest), now=latest)

    def _count(self, journal: JournalReader, books: Sequence[str], lane: str) -> None:
        newest = journal.newest_event()
        if any(newest < counted for counted in self._newest.values()):
            # Another journal lies in the place of the one that was counted.
            self._newest, self._kept = {}, {}
        # Each book has its own: a look at one of them counts nothing of the others.
        counted = {name: self._newest[name, lane] for name in books if (name, lane) in self._kept}
        after = min(counted.values(), default=newest)
        changed = journal.first_changed_sessions(after=after) if newest > after else {}
        begin = {name: changed[name, lane] for name in counted if (name, lane) in changed}
        begin |= {name: EARLIEST for name in books if name not in counted}
        for name, first in begin.items():
            book = self._kept.setdefault((name, lane), _Book())
            _count_book(journal, book, name=name, lane=lane, first=first)
        if begin:
            self._count_windows(journal, {name: counted.get(name, 0) for name in books}, lane)
        self._newest |= {(name, lane): newest for name in books}

    def _count_windows(self, journal: JournalReader, seen: Mapping[str, int], lane: str) -> None:
        """Count the looks for quotes of books after those that were `seen`; they are only ever added."""
        rows = journal.signal_windows(lane=lane, after=min(seen.values()))
        first = {name: self._kept[name, lane].begin.isoformat() for name in seen}
        # By the columns first: years of windows before what counts need not be read.
        told = [
            row
            for row in rows
            if row["book"] in seen and row["seq"] > seen[row["book"]] and row["session"] >= first[row["book"]]
        ]
        for window in windows_of(map(records.event_of, told)):
            if not window.looked.is_silent:
                judged = Judged(window.looked_at, is_good=window.looked.is_healthy(LIMITS))
                self._kept[window.book, lane].add(Objective.FRESHNESS, [Happened(window.session, judged)])


def _count_book(journal: JournalReader, book: _Book, *, name: str, lane: str, first: str) -> None:
    """Count a book's sessions from one on again, as many of the last ones as an error budget is over."""
    asked = {"book": name, "lane": lane}
    before = {on: times for on, times in book.sessions.items() if on.isoformat() < first}
    again = [_times(row) for row in journal.session_times(**asked, first=first)]
    sessions = before | {times.session: times for times in again}
    book.sessions = {on: sessions[on] for on in sorted(sessions)[-WINDOW_SESSIONS:]}
    since = max(date.fromisoformat(first), book.begin)
    for objective, found in (
        (Objective.LATENCY, _sends(journal, name, lane, since)),
        (Objective.EXECUTION, _concluded(journal, name, lane, since)),
    ):
        book.drop(objective, first=since)
        book.add(objective, found)
    book.trim()


def _within(
    recent: Mapping[Objective, Sequence[Judged]], now: datetime | None
) -> dict[Objective, Sequence[Judged]]:
    """Return what falls in the longest window of a burn."""
    since = None if now is None else now - max(WINDOWS.values())
    return {
        objective: [one for one in listed if since is not None and one.at > since]
        for objective, listed in recent.items()
    }


def _times(row: records.Row) -> SessionTimes:
    return SessionTimes(
        date.fromisoformat(row["session"]), _instant(row["decided_at"]), _instant(row["settled_at"])
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else instant_from_text(text)


def _sends(journal: JournalReader, name: str, lane: str, since: date) -> Iterator[Happened]:
    for row in journal.answers_to_sends(book=name, lane=lane, first=since.isoformat()):
        if row["answered_at"] is not None:
            sent_at, answered_at = instant_from_text(row["sent_at"]), instant_from_text(row["answered_at"])
            yield Happened(date.fromisoformat(row["session"]), answered(sent_at, answered_at))


def _concluded(journal: JournalReader, name: str, lane: str, since: date) -> Iterator[Happened]:
    for row in journal.concluded_sends(book=name, lane=lane, first=since.isoformat()):
        is_good = row["state"] == IntentState.EXECUTED.value
        judged = Judged(instant_from_text(row["changed_at"]), is_good=is_good)
        yield Happened(date.fromisoformat(row["session"]), judged)
