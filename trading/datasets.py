"""A data set: everything outside the rules that a replay of a book stands on, and the one digest of it.

Reading the files, and the manifests that say how each data set was when people looked at it, is
resources/dataset_files.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from trading.actions import CorporateAction, actions_sha
from trading.errors import BadInput, Refused
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.values import digest

FILE = "file "
"""How what is said of a file begins."""


class DatasetUnknown(BadInput):
    """Name a book whose data set has no manifest that can be read: nobody ever said what it should be."""


class DatasetChanged(Refused):
    """Refuse a data set that is not what its manifest says, naming the first thing that differs."""


class DataFile(NamedTuple):
    """Hold one file of a data set: its name without a folder, and the SHA-256 (hex) and size of its bytes."""

    name: str
    sha256: str
    size_bytes: int


class Difference(NamedTuple):
    """Hold one thing in which a data set is not what its manifest says, all as text."""

    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Hold what a replay of one book stands on.

    `source_sha` is the source's own digest of all that it holds, as tables made of it carry it; `sessions`
    counts the calendar's sessions from the first to the last, `calendar_sha` digests their opens and closes,
    `symbols` are those that a row of the range names, ascending, and `actions` counts splits and dividends.
    """

    book: str
    source: str
    source_sha: str
    files: tuple[DataFile, ...]
    calendar: str
    calendar_sha: str
    currency: str
    first_session: date
    last_session: date
    sessions: int
    symbols: tuple[str, ...]
    actions: int
    actions_sha: str
    costs: FillModel

    @property
    def sha(self) -> str:
        """Return the digest of all but the book's name: a copy under another name is the same data set."""
        return digest({what: text for what, text in _told(self).items() if what != "book"})


def calendar_sha(calendar: Calendar, *, first: date, last: date) -> str:
    """Return the digest of the sessions from `first` to `last`, each with its UTC open and close."""
    return digest(
        [
            [calendar.opens_at(session).isoformat(), calendar.closes_at(session).isoformat()]
            for session in calendar.between(first, last)
        ]
    )


def dataset(
    *,
    book: str,
    source: str,
    source_sha: str,
    files: Iterable[DataFile],
    calendar: Calendar,
    currency: str,
    first_session: date,
    last_session: date,
    symbols: Iterable[str],
    actions: tuple[CorporateAction, ...],
    costs: FillModel,
) -> Dataset:
    """Return the data set of what a source gave for the sessions from the first to the last."""
    return Dataset(
        book=book,
        source=source,
        source_sha=source_sha,
        files=tuple(sorted(files)),
        calendar=calendar.name,
        calendar_sha=calendar_sha(calendar, first=first_session, last=last_session),
        currency=currency,
        first_session=first_session,
        last_session=last_session,
        sessions=len(calendar.between(first_session, last_session)),
        symbols=tuple(sorted(set(symbols))),
        actions=len(actions),
        actions_sha=actions_sha(actions),
        costs=costs,
    )


def differences(expected: Dataset, found: Dataset) -> tuple[Difference, ...]:
    """Return in what two data sets differ, files first, since a changed file explains most of the rest."""
    ours, theirs = _told(expected), _told(found)
    changed = [what for what in {**ours, **theirs} if ours.get(what) != theirs.get(what)]
    changed.sort(key=lambda what: not what.startswith(FILE))
    return tuple(Difference(what, ours.get(what, "nothing"), theirs.get(what, "nothing")) for what in changed)


def require_unchanged(expected: Dataset, found: Dataset, *, manifest: str) -> Dataset:
    """Return what was found where it is what the manifest says; raises `DatasetChanged` where it is not."""
    changed = differences(expected, found)
    if not changed:
        return found
    first = changed[0]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    raise DatasetChanged(
        f"data set {expected.book}: {first.what} is {first.found}, {manifest} says {first.expected}{more}; "
        f"restore it, or see `trading datasets verify --book {expected.book}` and accept what it is now with "
        f"`trading datasets manifest --book {expected.book} --write`"
    )


def _told(one: Dataset) -> dict[str, str]:
    """Return everything a data set says, by what it says it of."""
    files = {f"{FILE}{file.name}": f"sha256 {file.sha256}, {file.size_bytes} bytes" for file in one.files}
    return {
        **files,
        "book": one.book,
        "source": one.source,
        "source_sha": one.source_sha,
        "calendar": one.calendar,
        "currency": one.currency,
        "first_session": one.first_session.isoformat(),
        "last_session": one.last_session.isoformat(),
        "sessions": str(one.sessions),
        "calendar_sha": one.calendar_sha,
        "symbols": " ".join(one.symbols),
        "actions": str(one.actions),
        "actions_sha": one.actions_sha,
        **{f"costs.{name}": str(value) for name, value in one.costs._asdict().items()},
    }
