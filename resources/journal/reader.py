"""The journal read only, by plain drivers: what the console's reading verbs stand on.

It changes nothing, waits for nobody (on both engines readers see the last commit, and never block) and
imports no SQLAlchemy, which alone takes longer than a verb may. Writing is what store.py puts together; the
SQL is in sql/, one file a question; how each engine is looked at is looking.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from resources.journal import records
from resources.journal.condition import SCHEMA_REVISION, check_not_newer, is_journal
from resources.journal.looking import Place, Sight, place_of
from resources.journal.traces import lost, trace_of_events
from trading.advisor_calls import AdvisorCall
from trading.approvals import StageRecord
from trading.audit import instant_text
from trading.breakers import Breaker
from trading.errors import JournalUnavailable, UnknownId
from trading.journal import (
    Cooldown,
    Delivery,
    ExecutorTerm,
    FlattenCommand,
    Halt,
    Incident,
    IntentCounts,
    JournalEvent,
    JournalIntent,
    JournalOrder,
    OutboxMessage,
    QuoteRelease,
    RunControl,
    SessionRecord,
)
from trading.orders import Fill
from trading.outbound import OutboundCall
from trading.positions import Book
from trading.values import IntentId, canonical_json
from trading.verdicts import Verdict

_PAST_ALL = "\U0010ffff"
"""Sorts behind everything that ids are written in."""

_PAST_ALL_NUMBERS = 2**62


class _Held:
    """Hold a look that somebody else has open, and will close."""

    def __init__(self, place: Place, sight: Sight | None) -> None:
        self.name = place.name
        self.tables_question = place.tables_question
        self._sight = sight

    @contextmanager
    def sight(self) -> Iterator[Sight | None]:
        """Give the look that is open."""
        yield self._sight


class JournalReader:
    """Answer questions about a journal without opening it for writing.

    `url` is the journal's (`sqlite:////absolute/path`, `postgresql://…`) or the file's path. Where there is
    no journal yet every list is empty (`exists` says so). Raises `JournalUnavailable` where it is damaged,
    another program's, out of reach, or gone or empty while its audit log (`log`) or what lies beside that
    tells of events.
    """

    def __init__(self, url: str | Path, *, log: Path | None = None) -> None:
        self._place: Place = place_of(url)
        self._log = log

    @property
    def name(self) -> str:
        """Return how messages call it: its file, or its server and database without who and password."""
        return self._place.name

    @property
    def exists(self) -> bool:
        """Say whether there is a journal yet."""
        with self._sight() as sight:
            return sight is not None

    def taken_for_none(self) -> JournalReader:
        """Return a reader of the same name that answers as where there is no journal yet."""
        held = JournalReader("")
        held._place = _Held(self._place, None)
        return held

    # ---------------------------------------------------------------------------- sessions of a book

    def session_record(self, *, book: str, lane: str, session: date) -> SessionRecord | None:
        """Return how far a session has come, or `None` where nothing was asked of it yet."""
        rows = self._rows("find_session", book=book, lane=lane, session=session.isoformat())
        return records.session_record_of(rows[0]) if rows else None

    def sessions(self, *, book: str, lane: str, last: int, before: date | None = None) -> list[SessionRecord]:
        """Return the last sessions of a book, or the last ones before a date, ascending."""
        until = before.isoformat() if before else _PAST_ALL
        rows = self._rows("find_last_sessions", book=book, lane=lane, last=last, before=until)
        return [records.session_record_of(row) for row in reversed(rows)]

    def first_opened(self, *, book: str, lane: str) -> date | None:
        """Return the session that a book was opened on, `None` before that."""
        rows = self._rows("find_opened_bounds", book=book, lane=lane)
        first = rows[0]["first_opened"] if rows else None
        return date.fromisoformat(first) if first else None

    def opening_of(self, *, book: str, lane: str, session: date) -> Book | None:
        """Return the book that a session began with, `None` where it has not begun."""
        rows = self._rows("find_opening", book=book, lane=lane, session=session.isoformat())
        return records.book_of(rows[0]["opening"]) if rows else None

    def last_settled(self, *, book: str, lane: str) -> SessionRecord | None:
        """Return a book's last settled session, with its closing book, or `None`."""
        rows = self._rows("find_last_settled", book=book, lane=lane)
        return records.session_record_of(rows[0]) if rows else None

    def settlements(self, *, lane: str) -> Sequence[records.Row]:
        """Return `book`, `session`, `settled_at` and `carried_by` of every settled session, as settled."""
        return self._rows("find_settlements", lane=lane)

    def refusals(self, *, lane: str) -> list[SessionRecord]:
        """Return the sessions that a stage refused and has not passed since, ascending."""
        return [records.session_record_of(row) for row in self._rows("find_refused_sessions", lane=lane)]

    # ---------------------------------------------------------------------------- intents

    def intent(self, intent_id: IntentId) -> JournalIntent:
        """Return one intent; raises `UnknownId`."""
        rows = self._rows("find_intent", intent_id=intent_id)
        if not rows:
            raise UnknownId(f"intent {intent_id}: nothing is stored under this id")
        return records.intent_of(rows[0])

    def intents(self, *, book: str, lane: str, session: date) -> list[JournalIntent]:
        """Return a session's intents in the order in which they execute."""
        rows = self._rows("find_intents", book=book, lane=lane, session=session.isoformat())
        return [records.intent_of(row) for row in rows]

    def intent_counts(self, *, book: str, lane: str, first: date, last: date) -> dict[date, IntentCounts]:
        """Return how many intents each session of a range had, and what came of them."""
        rows = self._rows(
            "count_intents_by_session",
            book=book,
            lane=lane,
            first=first.isoformat(),
            last=last.isoformat(),
        )
        return {
            date.fromisoformat(row["session"]): IntentCounts(
                intents=int(row["intents"]), blocked=int(row["blocked"]), filled=int(row["filled"])
            )
            for row in rows
        }

    def intents_by_any_id(self, wanted: str, *, lane: str) -> list[JournalIntent]:
        """Return the intents whose own id, order's id or fill's id begins with a text."""
        rows = self._rows("find_intents_by_any_id", lane=lane, first=wanted, past=wanted + _PAST_ALL)
        return [records.intent_of(row) for row in rows]

    def intents_by_broker_order_id(self, wanted: str, *, lane: str) -> list[JournalIntent]:
        """Return the intents whose order the broker knows by an id that begins with a text."""
        bound = {"lane": lane, "first": wanted, "past": wanted + _PAST_ALL}
        return [records.intent_of(row) for row in self._rows("find_intents_by_broker_order_id", **bound)]

    def intents_of_symbol(self, *, book: str, lane: str, symbol: str, first: date) -> list[JournalIntent]:
        """Return a symbol's intents in the sessions of a book from one on, the latest session first."""
        rows = self._rows(
            "find_intents_of_symbol", book=book, lane=lane, symbol=symbol, first=first.isoformat()
        )
        return [records.intent_of(row) for row in rows]

    def open_intents(self, *, account: str, lane: str) -> list[JournalIntent]:
        """Return an account's open intents, by session, sells first, then by symbol."""
        return [records.intent_of(row) for row in self._rows("find_open_intents", account=account, lane=lane)]

    def pending(self, *, lane: str) -> list[JournalIntent]:
        """Return the intents that wait for a person, by session, sells first, then by symbol."""
        return [records.intent_of(row) for row in self._rows("find_pending_intents", lane=lane)]

    def stuck(self, *, lane: str, before: datetime) -> list[JournalIntent]:
        """Return intents that are executing or unknown and have not changed since before an instant."""
        rows = self._rows("find_stuck_intents", lane=lane, before=instant_text(before))
        return [records.intent_of(row) for row in rows]

    def verdicts(self, intent_id: IntentId) -> list[Verdict]:
        """Return what each guard said of an intent, in the order of precedence; raises `UnknownId`."""
        intent = self.intent(intent_id).intent
        rows = self._rows("find_verdicts", intent_id=intent_id)
        return [records.verdict_of(row, intent=intent) for row in rows]

    # ---------------------------------------------------------------------------- orders and fills

    def orders(self, *, book: str, lane: str, session: date) -> list[JournalOrder]:
        """Return a session's orders, by intent then generation."""
        rows = self._rows("find_orders", book=book, lane=lane, session=session.isoformat())
        return [records.order_of(row) for row in rows]

    def fills(self, *, book: str, lane: str, session: date) -> list[Fill]:
        """Return a session's fills in the order booked, without those that the broker took back."""
        rows = self._rows("find_fills", book=book, lane=lane, session=session.isoformat())
        return [records.fill_of(row) for row in rows]

    # ---------------------------------------------------------------------------- everything else

    def run_control(self) -> RunControl:
        """Return the run control in force."""
        found = self.answers(("find_run_control", "find_modes"))
        controls = found["find_run_control"]
        return records.run_control_of(controls[0] if controls else None, found["find_modes"])

    def cooldowns(self) -> list[Cooldown]:
        """Return the last cooldown of each account, by account; whether it is active, its `until` says."""
        return [records.cooldown_of(row) for row in self._rows("find_cooldowns")]

    def chain(self, intent_id: IntentId) -> list[StageRecord]:
        """Return the stages of approval that an intent went through, in order."""
        return [records.stage_of(row) for row in self._rows("find_chain", intent_id=intent_id)]

    def flatten_commands(self, *, book: str, lane: str, session: date) -> list[FlattenCommand]:
        """Return a session's flattens, previewed and ordered, in the order previewed."""
        rows = self._rows("find_flattens", book=book, lane=lane, session=session.isoformat())
        return [records.flatten_of(row) for row in rows]

    def halts(self) -> list[Halt]:
        """Return the accounts and instruments that are halted, by account then symbol."""
        return [records.halt_of(row) for row in self._rows("find_halts")]

    def executor_term(self, *, account: str, lane: str) -> ExecutorTerm | None:
        """Return which executor of an account began last, or `None` where none ever did."""
        rows = self._rows("find_executor_term", account=account, lane=lane)
        return records.executor_term_of(rows[0]) if rows else None

    def last_deliveries(
        self, *, reason: str, channel: str, since: str, before: tuple[int, int] | None, last: int
    ) -> Sequence[records.Row]:
        """Return attempts to deliver messages, of the latest message first, and its last attempt first.

        An empty reason, channel or `since` (ISO) is for all; `before` is the message and the attempt that the
        page before ended with.
        """
        outbox_id, attempt = before or (_PAST_ALL_NUMBERS, 0)
        return self._rows(
            "find_last_deliveries",
            reason=reason,
            channel=channel,
            since=since,
            outbox_id=outbox_id,
            attempt=attempt,
            last=last,
        )

    def delivery_counts(self, *, reason: str, channel: str, since: str) -> Sequence[records.Row]:
        """Return how many attempts to deliver messages there were, by channel and reason."""
        return self._rows("count_deliveries", reason=reason, channel=channel, since=since)

    def events(self, *, after: int, limit: int) -> list[JournalEvent]:
        """Return events with a sequence number above `after`, ascending, at most `limit`."""
        return [records.event_of(row) for row in self._rows("find_events", after=after, limit=limit)]

    def session_times(self, *, book: str, lane: str, first: str) -> Sequence[records.Row]:
        """Return `session`, `decided_at` and `settled_at` of a book's opened sessions from `first` on."""
        return self._rows("find_session_times", book=book, lane=lane, first=first)

    def concluded_sends(self, *, book: str, lane: str, first: str) -> Sequence[records.Row]:
        """Return `session`, `state` and `changed_at` of intents that were sent and are no longer working."""
        return self._rows("find_concluded_sends", book=book, lane=lane, first=first)

    def answers_to_sends(self, *, book: str, lane: str, first: str) -> Sequence[records.Row]:
        """Return `session`, `sent_at` and `answered_at` (none yet: null) of each send from `first` on."""
        last = date.max.isoformat()
        return self._rows("find_answers_to_sends", book=book, lane=lane, first=first, last=last)

    def advisor_call_counts(self, *, lane: str, after: int) -> Sequence[records.Row]:
        """Return what questions to models numbered above `after` came to, by book, purpose and run."""
        return self._rows("count_advisor_calls", lane=lane, after=after)

    def signal_windows(self, *, lane: str, after: int) -> Sequence[records.Row]:
        """Return the events of windows of signals numbered above `after`, ascending."""
        return self._rows("find_signal_windows_after", lane=lane, after=after)

    def first_changed_sessions(self, *, after: int) -> dict[tuple[str, str], str]:
        """Return by book and lane the first session that an event numbered above `after` is of."""
        rows = self._rows("find_first_changed_sessions", after=after)
        return {(row["book"], row["lane"]): str(row["first_session"]) for row in rows}

    def events_around(self, *, first: datetime, past: datetime, intent_id: str) -> list[JournalEvent]:
        """Return an intent's events, and between two instants those of no intent, ascending."""
        bound = {"first": instant_text(first), "past": instant_text(past), "intent_id": intent_id}
        return [records.event_of(row) for row in self._rows("find_events_around", **bound)]

    def last_reconciled(self, *, account: str, before: int) -> JournalEvent | None:
        """Return the last event before a sequence number that compared an account with its broker."""
        # A body is canonical JSON, so that the account stands first in it.
        body = canonical_json({"account": account}).removesuffix("}") + ","
        rows = self._rows("find_last_reconciled", account=body, before=before)
        return records.event_of(rows[0]) if rows else None

    def events_of(self, intent_id: IntentId) -> list[JournalEvent]:
        """Return an intent's events, ascending."""
        return [records.event_of(row) for row in self._rows("find_events_of_intent", intent_id=intent_id)]

    def newest_event(self) -> int:
        """Return the sequence number of the last event, 0 where there is none."""
        rows = self._rows("find_newest_event")
        return int(rows[0]["newest"] or 0) if rows else 0

    def changed_sessions(self, *, after: int) -> dict[tuple[str, str], str]:
        """Return by book and lane the first session whose intents have an event numbered above `after`."""
        rows = self._rows("find_changed_sessions", after=after)
        return {(row["book"], row["lane"]): str(row["first_session"]) for row in rows}

    def last_signal_windows(self) -> list[JournalEvent]:
        """Return the last window of signals of each book and lane, ascending."""
        return [records.event_of(row) for row in self._rows("find_last_signal_windows")]

    def last_empty_windows(self, *, last: int) -> list[JournalEvent]:
        """Return of each book and lane the last windows without a signal, the latest first."""
        return [records.event_of(row) for row in self._rows("find_last_empty_windows", last=last)]

    def counted(self, question: str, *, book: str, lane: str, first: str) -> Sequence[records.Row]:
        """Return a count (a file `count_*` of `sql/`) of each session of a book from `first` (ISO) on."""
        return self._rows(question, book=book, lane=lane, first=first)

    def troubles(self, *, last: int) -> list[JournalEvent]:
        """Return the last events that changed run control or needed a person, the latest first."""
        return [records.event_of(row) for row in self._rows("find_last_troubles", last=last)]

    def incidents(self) -> list[Incident]:
        """Return all incidents, in the order recorded."""
        return [records.incident_of(row) for row in self._rows("find_incidents")]

    def undelivered(self) -> list[OutboxMessage]:
        """Return the messages that wait or were given up, in the order queued."""
        return [records.message_of(row) for row in self._rows("find_undelivered_messages")]

    def last_messages(self, *, last: int) -> list[OutboxMessage]:
        """Return the last messages to people, the latest first."""
        return [records.message_of(row) for row in self._rows("find_last_messages", last=last)]

    def outbox(self) -> list[OutboxMessage]:
        """Return all messages to people, in the order queued."""
        return [records.message_of(row) for row in self._rows("find_outbox")]

    def deliveries(self) -> list[Delivery]:
        """Return all attempts to deliver messages, in the order made."""
        return [records.delivery_of(row) for row in self._rows("find_deliveries")]

    def alert_events(self, *, first: int) -> list[JournalEvent]:
        """Return the events that tell of alerts from a sequence number on, ascending."""
        return [records.event_of(row) for row in self._rows("find_alert_events_since", first=first)]

    def quote_releases(self) -> list[QuoteRelease]:
        """Return all released rows, in the order released."""
        return [records.release_of(row) for row in self._rows("find_quote_releases")]

    def breakers(self) -> list[Breaker]:
        """Return every circuit breaker that ever changed, by name."""
        return [records.breaker_of(row) for row in self._rows("find_breakers")]

    def outbound_calls(self, *, last: int) -> list[OutboundCall]:
        """Return the last calls to somebody outside, in the order recorded."""
        rows = self._rows("find_last_outbound_calls", last=last)
        return [records.outbound_call_of(row) for row in reversed(rows)]

    def advisor_calls(self, *, last: int) -> list[AdvisorCall]:
        """Return the last questions to the advisor's model, in the order recorded."""
        rows = self._rows("find_last_advisor_calls", last=last)
        return [records.advisor_call_of(row) for row in reversed(rows)]

    def advisor_calls_of(self, *, book: str, session: date) -> list[AdvisorCall]:
        """Return the questions to the advisor's model about a session of a book, in the order recorded."""
        rows = self._rows("find_advisor_calls", book=book, session=session.isoformat(), since="")
        return [records.advisor_call_of(row) for row in rows]

    def answers(self, questions: Sequence[str]) -> dict[str, Sequence[records.Row]]:
        """Return the rows of questions that bind nothing (files of `sql/`), all as of one moment."""
        with self._sight() as sight:
            return {name: [] if sight is None else sight.rows(name, {}) for name in questions}

    # ---------------------------------------------------------------------------- the database

    @contextmanager
    def at_one_moment(self) -> Iterator[JournalReader]:
        """Give a reader, for a `with` in one thread, whose answers are all as of the same moment.

        What a whole page is made of agrees with itself then, and the database is opened once for it.
        """
        with self._sight() as sight:
            held = JournalReader("")
            held._place = _Held(self._place, sight)
            yield held

    def _rows(self, question: str, **bound: str | int) -> Sequence[records.Row]:
        with self._sight() as sight:
            return [] if sight is None else sight.rows(question, bound)

    @contextmanager
    def _sight(self) -> Iterator[Sight | None]:
        """Give a look at the journal, `None` where there is none yet."""
        with self._place.sight() as sight:
            found = self._readable(sight)
            if self._log is not None and not _has_events(found):
                self._refuse_lost()
            yield found

    def _refuse_lost(self) -> None:
        """Raise `JournalUnavailable` where what lies beside a journal without events tells of some."""
        if trace := trace_of_events(self._log):
            with self._place.sight() as sight:
                if not _has_events(self._readable(sight)):
                    raise lost(self.name, trace)

    def _readable(self, sight: Sight | None) -> Sight | None:
        return sight if sight is not None and self._is_readable(sight) else None

    def _is_readable(self, sight: Sight) -> bool:
        name = self._place.name
        tables = [row["name"] for row in sight.rows(self._place.tables_question, {})]
        if not is_journal(name, tables):
            return False
        found = sight.rows("find_revision", {})
        revision = found[0]["version_num"] if found else ""
        check_not_newer(name, revision)
        if revision != SCHEMA_REVISION:
            raise JournalUnavailable(
                f"journal {name}: schema {revision or 'none'}, this version reads {SCHEMA_REVISION}:"
                " `trading db upgrade` brings it up to date"
            )
        return True


def _has_events(sight: Sight | None) -> bool:
    return sight is not None and sight.rows("find_newest_event", {})[0]["newest"] is not None
