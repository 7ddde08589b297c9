"""Sessions of a book: how each opens, what refused it, what it decided, and the book that it is settled with.

Not here: what becomes of the intents that were decided (approvals.py, preparations.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.batch import check_batch, conflict_with, insert_decided, intent_row, registration
from resources.journal.drafts import Draft
from resources.journal.queries import Of, at, book_session, carried_on, session_fills, session_rows
from resources.journal.statements import asked
from resources.journal.transactions import Transactions
from trading.audit import instant_text
from trading.decisions import Decision
from trading.errors import BadInput, DuplicateIntent, OutOfOrder, Refused
from trading.journal import STAGE_RAN, JournalIntent, SessionRecord, StageRun
from trading.lifecycle import IntentState
from trading.orders import Fill
from trading.positions import Book
from trading.values import canonical_json
from trading.verdicts import Verdict


class BookSessions(Transactions):
    """Keep how far each session of a book has come."""

    def opening_book(
        self, *, book: str, lane: str, session: date, previous: date | None, opened: Book, now: datetime
    ) -> Book:
        """Return the book after `previous`, opening it where it has no session yet."""
        of = Of(book, lane, session.isoformat())
        with self._reading() as conn:
            known = book_session(conn, of)
        if known is not None and known["opening"] is not None:
            return records.book_of(known["opening"])
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is not None and known["opening"] is not None:
                return records.book_of(known["opening"])
            (bounds,) = asked(conn, "find_opened_bounds", book=book, lane=lane)
            first, last = bounds["first_opened"], bounds["last_opened"]
            opening = opened if first is None else carried_on(conn, of, previous, first=first, last=last)
            values = {"opening": canonical_json(opening.payload()), "opening_sha": opening.sha()}
            _put_book_session(conn, of, known, values)
            self._append(
                conn,
                now,
                Draft(
                    "book_opened",
                    *of,
                    body={"opening": opening.payload(), "opening_sha": opening.sha()},
                ),
            )
            return opening

    def session_record(self, *, book: str, lane: str, session: date) -> SessionRecord | None:
        """Return how far a session has come, or `None` where nothing was asked of it yet."""
        of = Of(book, lane, session.isoformat())
        with self._reading() as conn:
            row = book_session(conn, of)
        return None if row is None else records.session_record_of(row)

    def record_refusal(
        self, *, book: str, lane: str, session: date, stage: str, reason: str, now: datetime
    ) -> None:
        """Store that a stage refused a session, and why; the same refusal again changes nothing."""
        if not stage or not reason:
            raise BadInput(
                f"refusal of {book} {session}: names its stage and reason, got {stage!r}, {reason!r}"
            )
        of = Of(book, lane, session.isoformat())
        values = {"refused_stage": stage, "refused_reason": reason}
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is not None and all(known[name] == value for name, value in values.items()):
                return
            _put_book_session(conn, of, known, values)
            self._append(
                conn,
                now,
                Draft("stage_refused", *of, reason=reason, body={"stage": stage}),
            )

    def clear_refusal(self, *, book: str, lane: str, session: date, stage: str, now: datetime) -> None:
        """Store that a stage passed after it had refused."""
        of = Of(book, lane, session.isoformat())
        with self._reading() as conn:
            known = book_session(conn, of)
        if known is None or known["refused_stage"] != stage:
            return
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is None or known["refused_stage"] != stage:
                return
            _put_book_session(conn, of, known, {"refused_stage": "", "refused_reason": ""})
            self._append(conn, now, Draft("stage_passed", *of, body={"stage": stage}))

    def record_stage_run(self, *, book: str, lane: str, session: date, run: StageRun) -> None:
        """Store how long a stage took; an event alone, since nothing is decided from it."""
        of = Of(book, lane, session.isoformat())
        began_at = instant_text(run.began_at)
        body = {"stage": run.stage, "run_id": run.run_id, "began_at": began_at, "passed": run.passed}
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is not None and known["settled_at"] is not None and known["settled_at"] < began_at:
                return
            self._append(conn, run.ended_at, Draft(STAGE_RAN, *of, body=body))

    def settle(
        self,
        *,
        book: str,
        lane: str,
        session: date,
        closing: Book,
        carried_by: str,
        now: datetime,
        fills: Sequence[Fill] | None = None,
    ) -> None:
        """Store the book after a session, once."""
        of = Of(book, lane, session.isoformat())
        who = f"{book} {session}"
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is None or known["opening"] is None:
                raise OutOfOrder(f"{who}: settled before its book was opened")
            if known["settled_at"] is not None:
                if known["closing_sha"] == closing.sha():
                    return
                raise Refused(
                    f"{who}: settled with book {known['closing_sha'][:12]}, asked again with"
                    f" {closing.sha()[:12]}: a settled session never changes"
                )
            if known["decided_at"] is None and not carried_by:
                raise OutOfOrder(f"{who}: never decided; decide it, or carry its book as a named person")
            still_open = [row for row in session_rows(conn, of) if IntentState(row["state"]).is_open]
            if still_open:
                shown = map(records.intent_of, still_open[:5])
                names = ", ".join(f"{row.intent.symbol} {row.state}" for row in shown)
                raise OutOfOrder(f"{who}: {len(still_open)} still open ({names}); end them first")
            if fills is not None and session_fills(conn, of) != list(fills):
                # The last order may have filled and ended between the making of the book and this.
                raise OutOfOrder(f"{who}: its fills changed while its book was made; settle it again")
            values = {
                "settled_at": instant_text(now),
                "carried_by": carried_by,
                "closing": canonical_json(closing.payload()),
                "closing_sha": closing.sha(),
                "refused_stage": "",
                "refused_reason": "",
            }
            _put_book_session(conn, of, known, values)
            self._append(
                conn,
                now,
                Draft(
                    "settled",
                    *of,
                    actor=carried_by,
                    body={"closing": closing.payload(), "closing_sha": closing.sha()},
                ),
            )

    def register(
        self,
        *,
        book: str,
        lane: str,
        session: date,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        decisions_sha: str,
        now: datetime,
    ) -> list[JournalIntent]:
        """Store a session's decisions and verdicts (1), once."""
        of = Of(book, lane, session.isoformat())
        check_batch(decisions, of)
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is None or known["opening"] is None:
                raise OutOfOrder(f"{book} {session}: decided before its book was opened")
            if known["settled_at"] is not None and known["decided_at"] is None:
                raise OutOfOrder(
                    f"{book} {session}: carried by {known['carried_by']}, so not decided any more"
                )
            conflict = ""
            if known["decided_at"] is None:
                self._insert_batch(conn, of, decisions, verdicts, decisions_sha=decisions_sha, now=now)
            else:
                conflict = conflict_with(conn, of, decisions, decisions_sha, stands=known["decisions_sha"])
            if conflict:
                # The event of a conflict is itself history: it is kept, and only it.
                self._append_conflict(
                    conn,
                    of,
                    conflict,
                    {"decisions_sha": decisions_sha, "stands": known["decisions_sha"]},
                    now=now,
                )
            rows = {row["intent_id"]: row for row in session_rows(conn, of)}
        if conflict:
            raise DuplicateIntent(
                f"{book} {session}: {conflict}; the first decision stands until it is cancelled"
            )
        return [records.intent_of(rows[decision.intent_id]) for decision in decisions]

    def _insert_batch(
        self,
        conn: sa.Connection,
        of: Of,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        *,
        decisions_sha: str,
        now: datetime,
    ) -> None:
        rows = [intent_row(decision, now) for decision in decisions]
        told = insert_decided(conn, decisions, verdicts, rows)
        drafts = [Draft("decided", *of, body={"decisions_sha": decisions_sha, "intents": len(rows)})]
        drafts += [
            registration(decision, row, told[decision.intent_id])
            for decision, row in zip(decisions, rows, strict=True)
        ]
        self._append(conn, now, *drafts)
        table = schema.book_sessions
        conn.execute(
            table.update()
            .where(*at(table, of))
            .values(
                decided_at=instant_text(now),
                decisions_sha=decisions_sha,
                refused_stage="",
                refused_reason="",
            )
        )

    def _append_conflict(
        self, conn: sa.Connection, of: Of, conflict: str, body: Mapping[str, Any], *, now: datetime
    ) -> None:
        table = schema.events
        same = sa.select(table.c.seq).where(
            *at(table, of),
            table.c.kind == "conflict",
            table.c.reason == conflict,
            table.c.body == canonical_json(body),
        )
        if conn.execute(same).first() is None:
            self._append(conn, now, Draft("conflict", *of, reason=conflict, body=body))


def _put_book_session(
    conn: sa.Connection, of: Of, known: records.Row | None, values: Mapping[str, Any]
) -> None:
    table = schema.book_sessions
    if known is not None:
        conn.execute(table.update().where(*at(table, of)).values(**values))
        return
    blank = dict.fromkeys(
        ("opening_sha", "decisions_sha", "carried_by", "closing_sha", "refused_stage", "refused_reason"), ""
    )
    conn.execute(table.insert().values(**of._asdict(), **{**blank, **values}))
