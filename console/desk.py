"""What a reading verb stands on: settings, the books' outlines, the journal's reader, the lake's pointers.

Everything here opens in a moment and changes nothing. What starts runs, with the real stores, is
launcher.py; the views made from a desk are status.py, why.py, trace.py and their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from console.book_outlines import BookOutline, read_book_outlines, require_book
from console.lake_pointers import LakePointers
from console.totals import AdvisorTotals
from resources.alert_fold import AlertFold
from resources.calendars import load_calendar
from resources.clocks import SimulatedClock, SystemClock
from resources.journal.reader import JournalReader
from resources.service_levels import ServiceCounts
from resources.settings import Profile, Settings, load_settings
from trading.clock import Clock, Phase
from trading.errors import BadInput
from trading.journal import SessionRecord
from trading.sessions import Calendar

if TYPE_CHECKING:
    from resources.journal.store import SqlJournal

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Hold what the operator looks at; one profile never reads another's rows (`lane` is its name).

    `alerts` remembers what was read of alerts, so that who looks again reads what is new.
    `service_counts` and `advisor_totals` keep what was counted, from one look to the next.
    """

    settings: Settings
    books: dict[str, BookOutline]
    journal: JournalReader
    lake: LakePointers
    alerts: AlertFold = field(default_factory=AlertFold, compare=False)
    service_counts: ServiceCounts = field(default_factory=ServiceCounts, compare=False, repr=False)
    advisor_totals: AdvisorTotals = field(default_factory=AdvisorTotals, compare=False, repr=False)

    @property
    def lane(self) -> str:
        """Return the lane of the profile."""
        return self.settings.profile.value

    @property
    def audit_log(self) -> Path:
        """Return the file of the journal's audit log."""
        return self.settings.audit_log

    def with_any_journal(self) -> Desk:
        """Return the desk of who compares the stores: to it a journal whose file is gone is an empty one."""
        return replace(self, journal=JournalReader(self.settings.journal_url))

    def without_journal(self) -> Desk:
        """Return the desk of who compares the other stores: to it a damaged journal is an empty one."""
        return replace(self, journal=self.journal.taken_for_none())

    def chosen(self, name: str | None) -> list[BookOutline]:
        """Return the book asked for, or all of them; raises `BadInput` on an unknown one."""
        return list(self.books.values()) if name is None else [require_book(self.books, name)]

    def one(self, name: str | None) -> BookOutline:
        """Return the book asked for, or the only one; raises `BadInput` where it has to be named."""
        chosen = self.chosen(name)
        if len(chosen) == 1:
            return chosen[0]
        raise BadInput(f"--book: which one? known: {', '.join(self.books)}")

    def calendar(self, book: BookOutline) -> Calendar:
        """Return the calendar of a book's exchange."""
        return load_calendar(book.calendar, self.settings.config_dir / "calendars")

    def latest(self, book: BookOutline) -> SessionRecord | None:
        """Return the latest session the journal knows of a book, `None` before the first one."""
        records = self.journal.sessions(book=book.name, lane=self.lane, last=1)
        return records[-1] if records else None

    def session(self, book: BookOutline, asked: date | None) -> date | None:
        """Return the session asked for, or the latest one known, `None` where there is none yet."""
        if asked is not None:
            return asked
        latest = self.latest(book)
        return latest.session if latest else None

    def open_journal(self) -> AbstractContextManager[SqlJournal]:
        """Return the journal to write to, for a `with`; raises `JournalUnavailable` where it is gone.

        Slow to import: only where something is decided.
        """
        from resources.journal.store import SqlJournal

        return SqlJournal(self.settings.journal_url, log=self.audit_log)

    def rehearse_journal(self) -> AbstractContextManager[SqlJournal]:
        """Return a journal that answers to every change as the real one would, and keeps nothing."""
        from resources.journal.rehearsal import RehearsedJournal

        return RehearsedJournal(self.settings.journal_url, log=self.audit_log)

    def clock(self, book: BookOutline) -> Clock:
        """Return the clock of the profile: simulated days are the data's."""
        if self.settings.profile is Profile.SIMULATED:
            return SimulatedClock(calendar=self.calendar(book))
        return SystemClock()

    def act_at(self, book: str, session: date) -> datetime:
        """Return the instant at which a person acts on a session: now, or in a simulated one its open."""
        return self.clock(self.books[book]).now(session, Phase.EXECUTE)

    def last_opens(self, books: Iterable[BookOutline]) -> list[datetime]:
        """Return when the last session opened that each of some books ran, or before any did has data of.

        It is when a person acts on simulated days where no session is named: they have no clock that goes on
        by itself, and the machine's would make years of a minute.
        """
        asked = list(books)
        days = [(book, latest.session) for book in asked if (latest := self.latest(book)) is not None]
        if not days:
            bounded = [(book, book.last_session + DAY) for book in asked if book.last_session is not None]
            days = [(book, day) for book, after in bounded for day in self.calendar(book).before(after, 1)]
        return [self.act_at(book.name, session) for book, session in days]

    def today(self, book: BookOutline) -> date:
        """Return the exchange date that counts as today; raises `BadInput` where no data says so."""
        last = book.last_session
        if last is None:
            latest = self.lake.latest_partition(book.name, "market_quotes")
            if not latest:
                raise BadInput(
                    f"{book.name}: no quotes yet; `trading quotes import --book {book.name}` first"
                )
            last = date.fromisoformat(latest)
        return self.clock(book).today(self.calendar(book), last)


def open_desk() -> Desk:
    """Return the desk of this machine's settings; raises `BadSetting` where one is wrong."""
    return desk_of(load_settings())


def desk_of(settings: Settings) -> Desk:
    """Return the desk of settings; raises `BadSetting` where the file of books is wrong."""
    return Desk(
        settings=settings,
        books=read_book_outlines(Path(settings.books_file)),
        journal=JournalReader(settings.journal_url, log=settings.audit_log),
        lake=LakePointers(settings.lake_root),
    )
