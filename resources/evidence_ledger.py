"""The evidence ledger in the journal's database: filed once, never changed, read by whoever asks.

What a filing wrote, an event of the journal tells in the same transaction, so that the signed log and
`trading verify` hold the ledger to it as they do every other table. It stands in the journal and not in a
file of its own for that: a chain that nobody else knows of can lose its end unseen. What is filed is
trading/evidence_ledger.py. Imports no database until something is filed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from trading.audit import GENESIS, instant_text
from trading.errors import BadInput, JournalUnavailable
from trading.evidence_ledger import (
    EVIDENCE_FILED,
    ROWS_MAX,
    Draft,
    Filing,
    Ledger,
    LedgerRow,
    Run,
    drafts_of_run,
    placed,
    rows_of_filing,
)
from trading.trials import trials_of, without_recorded

if TYPE_CHECKING:
    from resources.journal.store import SqlJournal

ROWS, FILINGS = "find_all_evidence", "find_evidence_filings"


class Answering(Protocol):
    """Answer questions about a journal, all as of one moment: `SqlJournal` and `JournalReader` do."""

    def answers(self, questions: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return the rows of each question."""
        ...


def read_ledger(journal: Answering) -> Ledger:
    """Return all that is filed, and what the journal's events say of it; empty where there is no journal yet.

    Raises `JournalUnavailable` where the journal cannot be read or an event of it tells of no rows.
    """
    found = journal.answers((ROWS, FILINGS))
    rows = tuple(LedgerRow(**{name: row[name] for name in LedgerRow._fields}) for row in found[ROWS])
    filings: list[Filing] = []
    try:
        for event in found[FILINGS]:
            body = json.loads(event["body"])
            told = rows_of_filing(body["rows"], prev_hash=body["after"], actor=event["actor"], at=event["at"])
            filings += [
                Filing(row.seq, row.kind, row.digest, row.strategy, row.book, row.hash) for row in told
            ]
    except (ValueError, KeyError, TypeError) as error:
        raise JournalUnavailable(
            f"journal: an event of {EVIDENCE_FILED} cannot be read ({error}); `trading verify` says more"
        ) from error
    return Ledger(rows=rows, filings=tuple(filings))


class EvidenceLedger:
    """File evidence, and read what was filed."""

    def __init__(self, journal: SqlJournal) -> None:
        """Keep it in this journal's database; the journal stays the caller's to close."""
        self._journal = journal

    def read(self) -> Ledger:
        """Return all that is filed."""
        return read_ledger(self._journal)

    def record(self, run: Run, *, actor: str, now: datetime) -> int:
        """File the trials of a sweep that nothing is recorded of yet; return how many there were."""
        known = {tried.identity for tried in trials_of(run.bound.subject, self.read().rows)}
        new = without_recorded(run, known)
        if new.candidates:
            self.file(drafts_of_run(new), actor=actor, now=now)
        return len(new.candidates)

    def file(self, drafts: Sequence[Draft], *, actor: str, now: datetime) -> int:
        """File rows behind what is there, all or none; return how many were new.

        What is there already under its digest is not filed again. So many that one event of the journal may
        not tell of them are told by several, in the same transaction: whoever tried much can still file.
        Raises `BadInput` without an actor.
        """
        if not actor.strip():
            raise BadInput(f"actor {actor!r}: needed, so that people can ask who filed it")
        # SQLAlchemy takes longer to import than a verb that only reads may.
        import sqlalchemy as sa  # noqa: PLC0415

        from resources.journal.drafts import Draft as EventDraft  # noqa: PLC0415
        from resources.journal.schema import evidence  # noqa: PLC0415
        from resources.journal.statements import insert_all, last_of  # noqa: PLC0415

        with self._journal.appending(now) as (conn, append):
            known: set[str] = set()
            for part in _parts(drafts):
                asked = sa.select(evidence.c.digest).where(
                    evidence.c.digest.in_([draft.digest for draft in part])
                )
                known.update(conn.execute(asked).scalars())
            new = list({draft.digest: draft for draft in drafts if draft.digest not in known}.values())
            if not new:
                return 0
            end = last_of(conn, evidence, "seq", names=("seq", "hash"))
            after = None if end is None else (int(end[0]), str(end[1]))
            for part in _parts(new):
                rows = list(placed(part, after=after, actor=actor, at=instant_text(now)))
                insert_all(conn, evidence, [row._asdict() for row in rows])
                prev_hash = GENESIS if after is None else after[1]
                body = {"after": prev_hash, "rows": [list(row[:8]) for row in rows]}
                append(EventDraft(EVIDENCE_FILED, book=rows[0].book, actor=actor, body=body))
                after = rows[-1].seq, rows[-1].hash
        return len(new)


def _parts(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    """Yield drafts in their order, as many at once as one event tells of."""
    return (drafts[first : first + ROWS_MAX] for first in range(0, len(drafts), ROWS_MAX))
