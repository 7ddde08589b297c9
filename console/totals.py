"""Totals over all sessions, counted anew for the sessions that something happened to since the last look.

Every change of an intent, an order or a fill has an event of its intent in the same transaction: the sessions
that are named by events since the last look, and those after them, are counted again; the others stand.
Questions to models are only ever added, and counted from the last one on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from threading import Lock
from typing import NamedTuple

from resources.journal import records
from resources.journal.reader import JournalReader

QUESTIONS = ("count_intents_by_state", "count_orders_by_status", "count_fills_by_side")
EARLIEST = date.min.isoformat()

Rows = Sequence[records.Row]

OF_CALLS = (
    "answered",
    "failed",
    "held_back",
    "prompt_tokens",
    "completion_tokens",
    "cost_micros",
    "intents",
)
"""What is counted of questions to models; `intents` counts those that a question was about, each time."""


class AskedFor(NamedTuple):
    """Say what questions are counted together: a book, and what they were asked for."""

    book: str
    purpose: str


class AdvisorTotals:
    """Count a journal's questions to models by book and purpose, and the runs that asked.

    One is kept as long as its journal is looked at; it may be asked from several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: dict[str, int] = {}
        self._kept: dict[str, dict[AskedFor, Counter[str]]] = {}
        self._runs: dict[str, set[tuple[AskedFor, str]]] = {}

    def counted(self, journal: JournalReader, *, lane: str) -> Mapping[AskedFor, Mapping[str, int]]:
        """Return what questions came to, as of the journal's moment: `OF_CALLS`, and `runs`."""
        with self._lock:
            kept, runs = self._kept.setdefault(lane, {}), self._runs.setdefault(lane, set())
            for row in journal.advisor_call_counts(lane=lane, after=self._newest.get(lane, 0)):
                of = AskedFor(row["book"], row["purpose"])
                total = kept.setdefault(of, Counter())
                total.update({name: int(row[name]) for name in OF_CALLS})
                total["runs"] += (of, row["run_id"]) not in runs
                runs.add((of, row["run_id"]))
                self._newest[lane] = max(self._newest.get(lane, 0), int(row["newest"]))
            return {of: dict(total) for of, total in kept.items()}


class Totals:
    """Count a journal's intents by state, orders by status and fills by side, by book and session.

    One is kept as long as its journal is looked at; it may be asked from several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest = 0
        self._kept: dict[tuple[str, str, str], list[records.Row]] = {}

    def rows(self, journal: JournalReader, *, books: Collection[str], lane: str) -> Mapping[str, Rows]:
        """Return the rows of each question as of the journal's moment: one a book, session and kind.

        `journal` answers as of one moment.
        """
        with self._lock:
            newest = journal.newest_event()
            if newest < self._newest:
                # Another journal lies in the place of the one that was counted.
                self._newest, self._kept = 0, {}
            changed = journal.changed_sessions(after=self._newest)
            for book in books:
                first = changed.get((book, lane))
                for question in QUESTIONS:
                    kept = self._kept.get((question, book, lane))
                    begin = EARLIEST if kept is None else first
                    if begin is not None:
                        again = journal.counted(question, book=book, lane=lane, first=begin)
                        self._kept[question, book, lane] = [*_before(kept or (), begin), *again]
            self._newest = newest
            return {
                question: [row for book in books for row in self._kept[question, book, lane]]
                for question in QUESTIONS
            }


def _before(rows: Iterable[records.Row], session: str) -> list[records.Row]:
    return [row for row in rows if str(row["session"]) < session]
