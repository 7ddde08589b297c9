"""The journal on SQLite or PostgreSQL: `SqlJournal(url)` implements trading.journal.Journal.

Each changing call is one transaction: read the row, ask trading.lifecycle whether the step may follow,
compare and set, append the event with its hash, commit. Not here: how rows read (records.py), the schema
(schema.py), what a caller may ask (trading.journal).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from resources.journal import records, schema
from resources.journal.arguments import checks_arguments
from resources.journal.batch import (
    VERDICT_COLUMNS,
    Told,
    check_batch,
    check_flatten_batch,
    conflict_with,
    intent_row,
    registration,
    stage_row,
    stage_rows,
    verdict_rows,
    verdicts_told,
)
from resources.journal.condition import SCHEMA_REVISION, advice
from resources.journal.database import (
    WRITES,
    check_database,
    engine_for,
    migrate,
    name_of,
    one_opener,
    parsed,
    revision_of,
    turns_for,
)
from resources.journal.drafts import Draft, draft_of, step_body
from resources.journal.incidents import Put, actions_known, put_incident
from resources.journal.messages import put_message
from resources.journal.queries import (
    EXECUTION_ORDER,
    OPEN_STATES,
    Of,
    at,
    book_session,
    carried_on,
    chain_in,
    cooldown_in_force,
    executor_term,
    funds_view,
    halts_in_force,
    last_absent_at,
    last_cooldowns,
    named,
    net_filled,
    next_number,
    required,
    required_order,
    run_control_in_force,
    session_fills,
    session_rows,
)
from resources.journal.questions import text_of
from resources.journal.statements import asked, insert, insert_all, insert_placed, last_of, row_of, update
from trading.alerts import Severity
from trading.approvals import (
    NOT_PENDING,
    STALE,
    ApprovalMode,
    Asked,
    ChainStage,
    Role,
    Said,
    StageRecord,
    StageVerdict,
    answer_refusal,
    is_last_approval,
)
from trading.audit import GENESIS, chained_text, content_text, instant_from_text, instant_text
from trading.brokers import differences, request_payload
from trading.control import CHANGING, CooldownDue, controlled, cooldown_due, state_of
from trading.control import transition as control_transition
from trading.decisions import Decision, sent_payload_hash
from trading.errors import (
    ApprovalRefused,
    BadInput,
    DuplicateIntent,
    GateClosed,
    IllegalTransition,
    JournalError,
    JournalUnavailable,
    OutOfOrder,
    Refused,
    StaleVersion,
    UnknownId,
)
from trading.guards import PASS, REASONS, Why, first_reason
from trading.incident_log import ACKNOWLEDGED, ACTED, DONE, PLANNED, RESOLVED
from trading.journal import (
    PREPARED,
    STAGE_RAN,
    CancelKind,
    Cooldown,
    CooldownRules,
    Delivery,
    ExecutorTerm,
    FlattenCommand,
    Halt,
    Incident,
    JournalEvent,
    JournalIntent,
    JournalOrder,
    OutboxMessage,
    Preparation,
    QuoteRelease,
    Review,
    RunControl,
    RunControlAction,
    SessionRecord,
    StageRun,
)
from trading.lifecycle import (
    STALE_EPOCH,
    STALE_VERSION,
    Event,
    IntentState,
    Place,
    Refusal,
    Stage,
    Step,
    transition,
)
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Book
from trading.protocol import (
    SETTLE_TIME_S_MAX,
    absence_refusal,
    cancel_refusal,
    conclusion_refusal,
    ending_of,
    gate_refusal,
    halt_reason,
    is_temporary,
    replacement_refusal,
    request_of,
    reservation_micros,
    send_time_refusal,
    term_refusal,
)
from trading.routing import UNRECORDED, RouteChoice
from trading.values import ClientOrderId, IntentId, canonical_json, digest, digest_of_text
from trading.verdicts import Verdict

IDS_AT_ONCE = 500
"""How many ids one query names."""

EXECUTOR = "executor"
"""Who halts trading where an incident does."""

PAYLOAD_MISMATCH = "payload_mismatch"
"""Why an intent ends whose stored row is not what its hash was taken over."""


Heard = Callable[[Step, JournalIntent, str], None]
"""Is told a step, the intent as it is then, and the reason, which may be empty."""

STEPS = "steps"
"""Where a connection keeps the steps of its transaction until they are stored."""


@checks_arguments
class SqlJournal:
    """Keep the live state in a SQL database.

    `url` is `sqlite:////absolute/path/journal.db` (an empty or missing file becomes a journal) or
    `postgresql://…`. Waits at most `busy_timeout_s` for another writer. Raises
    `JournalUnavailable` where the database cannot be trusted with an order: not reachable, not ours, of
    a newer schema, or not syncing every commit to disk. `heard` is told each step of an intent once it is
    stored, and must not raise: nobody could tell that from a step that was not stored.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 5.0, heard: Heard | None = None) -> None:
        at = parsed(url)
        self._heard = heard
        self._name = name_of(at)
        self._is_checked = False
        self._engine = engine_for(at, busy_timeout_s)
        self._turns = turns_for(at, busy_timeout_s)
        self._writer = self._engine.execution_options(**{WRITES: True})
        try:
            with one_opener(at):
                self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections; what was committed is on disk."""
        self._engine.dispose()

    # ---------------------------------------------------------------------------- sessions of a book

    def opening_book(
        self, *, book: str, lane: str, session: date, previous: date | None, opened: Book, now: datetime
    ) -> Book:
        """Return the book after `previous`, opening it where it has no session yet."""
        of = Of(book, lane, session.isoformat())
        table = schema.book_sessions
        with self._reading() as conn:
            known = book_session(conn, of)
        if known is not None and known["opening"] is not None:
            return records.book_of(known["opening"])
        with self._writing() as conn:
            known = book_session(conn, of)
            if known is not None and known["opening"] is not None:
                return records.book_of(known["opening"])
            first = conn.execute(
                sa.select(sa.func.min(table.c.session), sa.func.max(table.c.session)).where(
                    table.c.book == book, table.c.lane == lane, table.c.opening.is_not(None)
                )
            ).one()
            opening = (
                opened if first[0] is None else carried_on(conn, of, previous, first=first[0], last=first[1])
            )
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
            still_open = session_rows(conn, of, only_open=True)
            if still_open:
                names = ", ".join(f"{row['symbol']} {row['state']}" for row in still_open[:5])
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

    # ---------------------------------------------------------------------------- deciding

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

    def approve(
        self,
        intent_id: IntentId,
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        now: datetime,
        role: Role | None = None,
    ) -> JournalIntent:
        """Store a person's approval (2), or the first of two."""
        return self._answer(
            intent_id,
            (Step.APPROVED, IntentState.APPROVED),
            version=version,
            payload_hash=payload_hash,
            nonce=nonce,
            actor=actor,
            reason=reason,
            role=role,
            now=now,
        )

    def reject(
        self,
        intent_id: IntentId,
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        now: datetime,
        role: Role | None = None,
    ) -> JournalIntent:
        """Store a person's rejection (2)."""
        return self._answer(
            intent_id,
            (Step.REJECTED, IntentState.REJECTED),
            version=version,
            payload_hash=payload_hash,
            nonce=nonce,
            actor=actor,
            reason=reason,
            role=role,
            now=now,
        )

    def chain(self, intent_id: IntentId) -> list[StageRecord]:
        """Return the stages of approval that an intent went through, in order."""
        with self._reading() as conn:
            required(conn, intent_id)
            return chain_in(conn, intent_id)

    def expire(self, intent_id: IntentId, *, version: int, actor: str, now: datetime) -> JournalIntent:
        """End a pending or approved intent whose `not_after` has passed (2, 3)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            if now < row.not_after:
                raise IllegalTransition(
                    f"{named(row)}: may be sent until {instant_text(row.not_after)}, so not expired"
                )
            return self._move(
                conn,
                row,
                (Step.EXPIRED, IntentState.EXPIRED),
                version=version,
                actor=actor,
                reason="not_after_passed",
                now=now,
            )

    def cancel(
        self, intent_id: IntentId, *, version: int, actor: str, reason: str, now: datetime
    ) -> JournalIntent:
        """End a pending or approved intent that was never prepared (3)."""
        _check_person(actor, reason)
        with self._writing() as conn:
            return self._move(
                conn,
                required(conn, intent_id),
                (Step.CANCELLED, IntentState.CANCELLED),
                version=version,
                actor=actor,
                reason=reason,
                now=now,
            )

    # ---------------------------------------------------------------------------- executing

    def begin_term(self, *, account: str, lane: str, holder: str, now: datetime) -> int:
        """Begin an executor's term, one above the last."""
        if not account or not lane or not holder:
            raise BadInput(
                f"executor term: account {account!r}, lane {lane!r}, holder {holder!r}: all needed"
            )
        table = schema.executors
        with self._writing() as conn:
            found = executor_term(conn, account, lane)
            term = 1 if found is None else found.term + 1
            values = {"term": term, "holder": holder, "began_at": instant_text(now), "reconciled_at": None}
            if found is None:
                conn.execute(table.insert().values(account=account, lane=lane, **values))
            else:
                conn.execute(
                    table.update().where(table.c.account == account, table.c.lane == lane).values(**values)
                )
            body = {"account": account, "term": term}
            self._append(conn, now, Draft("executor_began", lane=lane, actor=holder, body=body))
            return term

    def record_reconciled(
        self, *, account: str, lane: str, term: int, findings: Sequence[str], now: datetime
    ) -> None:
        """Store that a term's reconciliation is done, and what it found."""
        table = schema.executors
        with self._writing() as conn:
            _check_term(conn, account, lane, term, is_reconciled_needed=False)
            conn.execute(
                table.update()
                .where(table.c.account == account, table.c.lane == lane, table.c.term == term)
                .values(reconciled_at=instant_text(now))
            )
            body = {"account": account, "term": term, "findings": list(findings)}
            self._append(conn, now, Draft("reconciled", lane=lane, body=body))

    def check_integrity(self) -> None:
        """Raise `JournalUnavailable` where the database is damaged, or would not sync what it commits."""
        with self._reading() as conn:
            check_database(conn, self._name, is_whole=not self._is_checked)
        self._is_checked = True

    def claim(
        self, intent_id: IntentId, *, version: int, term: int, holder: str, now: datetime
    ) -> JournalIntent:
        """Take an approved intent (T1, 4)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            _check_term(conn, row.account, row.lane, term, is_reconciled_needed=True)
            _check_gate(conn, row, now)
            if now >= row.not_after:
                raise GateClosed(f"{named(row)}: not_after {instant_text(row.not_after)} has passed")
            return self._move(
                conn, row, (Step.CLAIMED, IntentState.EXECUTING), version=version, actor=holder, now=now
            )

    def release(self, intent_id: IntentId, *, epoch: int, reason: str, now: datetime) -> JournalIntent:
        """Give a claimed intent back (5)."""
        return self._held(intent_id, (Step.RELEASED, IntentState.APPROVED), epoch, reason=reason, now=now)

    def reject_claimed(
        self, intent_id: IntentId, *, epoch: int, reason: str, is_expired: bool, now: datetime
    ) -> JournalIntent:
        """End a claimed intent (6)."""
        to = IntentState.EXPIRED if is_expired else IntentState.REJECTED
        return self._held(intent_id, (Step.REFUSED_AT_CLAIM, to), epoch, reason=reason, now=now)

    def prepare(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        term: int,
        book_at_open: Book,
        review: Review,
        send_by: datetime,
        is_live: bool,
        now: datetime,
        route: RouteChoice = UNRECORDED,
    ) -> Preparation:
        """Write down what is about to be sent (T2, 7), guards and money in the same transaction."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            _check_term(conn, row.account, row.lane, term, is_reconciled_needed=True)
            control, cooldown = _check_gate(conn, row, now)
            _check_send_time(row, send_by, now)
            _judge(row, (Step.PREPARED, IntentState.EXECUTING), epoch=epoch)
            found = sent_payload_hash(row.intent, quantity=row.quantity)
            if found != row.payload_hash:
                return self._refuse_payload(conn, row, found, epoch=epoch, now=now)
            funds = funds_view(conn, row, book_at_open, run_control=control, cooldown=cooldown, now=now)
            whys = review(row, funds)
            reason = first_reason(whys)
            if reason != REASONS[PASS]:
                stopped = self._move(
                    conn,
                    row,
                    (Step.RELEASED, IntentState.APPROVED)
                    if is_temporary(whys)
                    else (Step.REFUSED_AT_CLAIM, IntentState.REJECTED),
                    epoch=epoch,
                    reason=reason,
                    body={"whys": [list(why) for why in whys]},
                    now=now,
                )
                return Preparation(stopped, None, whys, reason)
            return self._put_prepared(
                conn,
                row,
                Step.PREPARED,
                epoch=epoch,
                whys=whys,
                send_by=send_by,
                is_live=is_live,
                route=route,
                now=now,
            )

    def prepare_again(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        term: int,
        book_at_open: Book,
        review: Review,
        send_by: datetime,
        now: datetime,
    ) -> Preparation:
        """Write down that the same bytes are about to be sent again under the same id (12)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            order = required_order(conn, row)
            _check_term(conn, row.account, row.lane, term, is_reconciled_needed=True)
            control, cooldown = _check_gate(conn, row, now)
            _check_send_time(row, send_by, now)
            _judge(row, (Step.PREPARED_AGAIN, IntentState.EXECUTING), epoch=epoch)
            _check_absent(row, order)
            if digest(request_payload(request_of(row))) != order.request_sha:
                raise IllegalTransition(f"{named(row)}: its bytes differ from those sent before under the id")
            funds = funds_view(
                conn,
                row,
                book_at_open,
                run_control=control,
                cooldown=cooldown,
                now=now,
                apart=order.client_order_id,
            )
            whys = review(_left_of(row), funds)
            reason = first_reason(whys)
            if reason != REASONS[PASS]:
                return Preparation(row, None, whys, reason)
            micros = reservation_micros(row, whys)
            moved = self._move(
                conn,
                row,
                (Step.PREPARED_AGAIN, IntentState.EXECUTING),
                epoch=epoch,
                body={
                    "client_order_id": order.client_order_id,
                    "request_sha": order.request_sha,
                    "attempt": order.attempts + 1,
                    # At the price of now: what the first attempt was promised may be too little by now.
                    "reserved_micros": micros,
                    "send_by": instant_text(send_by),
                    "whys": [list(why) for why in whys],
                },
                now=now,
            )
            _put_order(
                conn,
                order,
                status=PREPARED,
                attempts=order.attempts + 1,
                absences=0,
                first_absent_at=None,
                send_by=instant_text(send_by),
            )
            promised = {"micros_left": micros}
            update(conn, schema.reservations, promised, client_order_id=order.client_order_id)
            return Preparation(moved, required_order(conn, moved), whys, reason)

    def acknowledge(
        self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        """Store that the broker has the order (T3, 8)."""
        return self._has_order(intent_id, (Step.ACKNOWLEDGED, IntentState.EXECUTING), epoch, order, now)

    def refuse(self, intent_id: IntentId, *, epoch: int, reason: str, now: datetime) -> JournalIntent:
        """Store a definitive refusal (9)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            to = IntentState.EXECUTED if row.filled_quantity else IntentState.FAILED
            _judge(row, (Step.REFUSED_BY_BROKER, to), epoch=epoch)
            order = required_order(conn, row)
            if order.attempts > 1:
                raise IllegalTransition(
                    f"{named(row)}: refused at attempt {order.attempts}, but an earlier one was never proven"
                )
            moved = self._move(
                conn,
                row,
                (Step.REFUSED_BY_BROKER, to),
                epoch=epoch,
                reason=reason,
                body={"client_order_id": order.client_order_id},
                now=now,
            )
            _put_order(conn, order, status=OrderStatus.REJECTED.value, reason=reason)
            _free(conn, order)
            return moved

    def mark_unknown(
        self, intent_id: IntentId, *, epoch: int, reason: str, is_takeover: bool, now: datetime
    ) -> JournalIntent:
        """Store that a send is not proven either way (10)."""
        step = Step.TAKEN_OVER if is_takeover else Step.OUTCOME_UNKNOWN
        with self._writing() as conn:
            row = required(conn, intent_id)
            moved = self._move(conn, row, (step, IntentState.UNKNOWN), epoch=epoch, reason=reason, now=now)
            order = required_order(conn, row)
            if order.status != OrderStatus.FILLED:
                _put_order(conn, order, status=OrderStatus.UNKNOWN.value, reason=reason)
            return moved

    def record_absence(self, intent_id: IntentId, *, epoch: int, now: datetime) -> JournalOrder:
        """Store that the broker did not know the order of an unknown intent."""
        with self._writing() as conn:
            row = _looked_for(conn, intent_id, epoch)
            order = required_order(conn, row)
            if not _is_absence_told_more(conn, row, order):
                return order
            _put_order(
                conn,
                order,
                absences=order.absences + 1,
                # A clock that was ahead told the first one too late for ever: it is counted from this look.
                first_absent_at=instant_text(min(order.first_absent_at or now, now)),
            )
            self._append(
                conn,
                now,
                draft_of(
                    row,
                    "absent_at_broker",
                    body={"client_order_id": order.client_order_id, "absences": order.absences + 1},
                ),
            )
            return required_order(conn, row)

    def record_presence(
        self, intent_id: IntentId, *, epoch: int, broker_order_id: str, now: datetime
    ) -> JournalOrder:
        """Store that the broker has an order under an unknown intent's id, which could not be adopted."""
        if not broker_order_id:
            raise BadInput(f"{intent_id}: what the broker has there is named, or called by what it answered")
        with self._writing() as conn:
            row = _looked_for(conn, intent_id, epoch)
            order = required_order(conn, row)
            if order.broker_order_id:
                return order
            _put_order(conn, order, broker_order_id=broker_order_id, absences=0, first_absent_at=None)
            body = {"client_order_id": order.client_order_id, "broker_order_id": broker_order_id}
            self._append(conn, now, draft_of(row, "present_at_broker", body=body))
            return required_order(conn, row)

    def adopt(self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime) -> JournalIntent:
        """Store that an unknown order was found (11), or found ended with all its fills booked (19)."""
        with self._reading() as conn:
            known = required_order(conn, required(conn, intent_id))
        if not order.status.is_terminal or order.filled_quantity != known.filled_quantity:
            return self._has_order(intent_id, (Step.FOUND, IntentState.EXECUTING), epoch, order, now)
        return self._end(intent_id, Step.FOUND_CLOSED, epoch, order, now)

    def park(self, intent_id: IntentId, *, epoch: int, reason: str, now: datetime) -> JournalIntent:
        """Leave an unknown intent to a person (13)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            moved = self._move(
                conn, row, (Step.PARKED, IntentState.UNKNOWN), epoch=epoch, reason=reason, now=now
            )
            self._put_incident(
                conn,
                kind="parked",
                account=row.account,
                intent_id=row.intent_id,
                detail=reason,
                is_standing=False,
                now=now,
            )
            return moved

    def conclude_absent(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        reason: str,
        is_expired: bool,
        settle_time_s: int,
        is_death_proven: bool,
        now: datetime,
        actor: str = "",
        is_on_word: bool = False,
    ) -> JournalIntent:
        """End an unknown intent that was proven absent (14)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            unfilled = IntentState.EXPIRED if is_expired else IntentState.FAILED
            to = IntentState.EXECUTED if row.filled_quantity else unfilled
            _judge(row, (Step.PROVEN_ABSENT, to), epoch=epoch)
            order = required_order(conn, row)
            if is_on_word:
                _check_person(actor, reason)
            elif why_not := conclusion_refusal(
                order,
                last_absent_at=last_absent_at(conn, row) or now,
                settle_time_s=settle_time_s,
                is_death_proven=is_death_proven,
            ):
                raise IllegalTransition(f"{named(row)}: {why_not}")
            moved = self._move(
                conn,
                row,
                (Step.PROVEN_ABSENT, to),
                epoch=epoch,
                actor=actor,
                reason=reason,
                body={"client_order_id": order.client_order_id, "absences": order.absences},
                now=now,
            )
            if order.status != OrderStatus.FILLED:
                _put_order(conn, order, status=OrderStatus.REJECTED.value, reason="proven_absent")
            _free(conn, order)
            conn.execute(
                schema.watch_list.insert().values(
                    client_order_id=order.client_order_id,
                    account=row.account,
                    session=row.intent.session.isoformat(),
                    reason=reason,
                    at=instant_text(now),
                )
            )
            return moved

    def record_fill(self, fill: Fill, *, now: datetime) -> bool:
        """Book a fill of a working order (16); returns whether it was new."""
        with self._writing() as conn:
            row = required(conn, fill.intent_id)
            known = row_of(conn, schema.fills, execution_id=fill.execution_id)
            if known is not None:
                if records.fill_of(known) == fill:
                    return False
                raise IllegalTransition(f"fill {fill.execution_id}: booked before with other content")
            order = required_order(conn, row)
            _check_fill(fill, row, order)
            if row.stage is not Stage.WORKING:
                raise StaleVersion(
                    f"{named(row)}: fills are booked on a working order; it moved on to {row.state}"
                )
            moved = self._move(
                conn,
                row,
                (Step.FILLED, IntentState.EXECUTING),
                epoch=row.epoch,
                quantity=fill.quantity,
                body={
                    "execution_id": fill.execution_id,
                    "client_order_id": fill.client_order_id,
                    "price_micros": fill.price_micros,
                    "commission_micros": fill.commission_micros,
                    "filled_at": instant_text(fill.filled_at),
                },
                now=now,
            )
            insert(
                conn,
                schema.fills,
                {
                    "execution_id": fill.execution_id,
                    "seq": next_number(conn, schema.fills.c.seq),
                    "client_order_id": fill.client_order_id,
                    "intent_id": fill.intent_id,
                    "book": row.intent.book,
                    "lane": row.lane,
                    "session": fill.session.isoformat(),
                    "symbol": fill.symbol,
                    "side": fill.side.value,
                    "quantity": fill.quantity,
                    "price_micros": fill.price_micros,
                    "commission_micros": fill.commission_micros,
                    "filled_at": instant_text(fill.filled_at),
                },
            )
            filled = order.filled_quantity + fill.quantity
            is_whole = filled == order.request.quantity
            status = OrderStatus.FILLED if is_whole else OrderStatus.PARTIAL_FILL
            _put_order(conn, order, status=status.value, filled_quantity=filled)
            _shrink(conn, order, left=moved.quantity - moved.filled_quantity)
            return True

    def record_bust(self, *, execution_id: str, takes_back: str, intent_id: IntentId, now: datetime) -> bool:
        """Store that the broker takes a booked execution back, as a row of its own."""
        table = schema.busts
        if not execution_id:
            raise BadInput(f"bust of {takes_back}: has no execution id")
        with self._writing() as conn:
            row = required(conn, intent_id)
            fill = schema.fills.c
            booked = conn.execute(
                sa.select(fill.symbol).where(fill.execution_id == takes_back, fill.intent_id == intent_id)
            ).one_or_none()
            if booked is None:
                raise UnknownId(f"bust {execution_id}: takes back {takes_back}, which was never booked")
            known = (
                conn.execute(sa.select(table).where(table.c.takes_back == takes_back))
                .mappings()
                .one_or_none()
            )
            if known is not None:
                if known["execution_id"] == execution_id:
                    return False
                raise IllegalTransition(f"bust {execution_id}: {takes_back} was taken back before")
            conn.execute(
                table.insert().values(
                    execution_id=execution_id,
                    takes_back=takes_back,
                    intent_id=intent_id,
                    at=instant_text(now),
                )
            )
            body = {"execution_id": execution_id, "takes_back": takes_back}
            self._append(conn, now, draft_of(row, "bust", body=body))
            self._find(
                conn,
                kind="bust",
                account=row.account,
                symbol=booked.symbol,
                intent_id=intent_id,
                detail=f"{execution_id} takes back {takes_back}",
                is_standing=False,
                now=now,
            )
            return True

    def ask_cancel(
        self, intent_id: IntentId, *, epoch: int, kind: CancelKind, actor: str, reason: str, now: datetime
    ) -> JournalIntent:
        """Store that a working order is about to be cancelled (17)."""
        _check_person(actor, reason)
        if kind is CancelKind.NONE:
            raise BadInput("cancel: names its kind: cancel, expiry or replace")
        with self._writing() as conn:
            row = required(conn, intent_id)
            _judge(row, (Step.CANCEL_ASKED, IntentState.EXECUTING), epoch=epoch)
            order = required_order(conn, row)
            if why_not := cancel_refusal(order.cancel_kind, kind):
                raise IllegalTransition(f"{named(row)}: {why_not}")
            moved = self._move(
                conn,
                row,
                (Step.CANCEL_ASKED, IntentState.EXECUTING),
                epoch=epoch,
                actor=actor,
                reason=reason,
                body={"kind": kind.value},
                now=now,
            )
            _put_order(conn, order, cancel_asked_at=instant_text(now), cancel_kind=kind.value)
            return moved

    def prepare_replacement(
        self,
        intent_id: IntentId,
        *,
        epoch: int,
        term: int,
        ended: BrokerOrder,
        book_at_open: Book,
        review: Review,
        send_by: datetime,
        is_live: bool,
        now: datetime,
    ) -> Preparation:
        """Write down the next generation of an order whose cancel the broker has ended (18)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            order = required_order(conn, row)
            _check_term(conn, row.account, row.lane, term, is_reconciled_needed=True)
            control, cooldown = _check_gate(conn, row, now)
            _check_send_time(row, send_by, now)
            _judge(row, (Step.REPLACED, IntentState.EXECUTING), epoch=epoch)
            _check_equal(row, order, ended)
            found = sent_payload_hash(row.intent, quantity=row.quantity)
            if found != row.payload_hash:
                self._halt_for_payload(conn, row, found, now=now)
                return Preparation(row, None, (), PAYLOAD_MISMATCH)
            why_not = replacement_refusal(row, order, ended, net_filled(conn, order.client_order_id))
            if why_not:
                raise IllegalTransition(f"{named(row)}: is not replaced: {why_not}")
            funds = funds_view(
                conn,
                row,
                book_at_open,
                run_control=control,
                cooldown=cooldown,
                now=now,
                apart=order.client_order_id,
            )
            whys = review(_left_of(row), funds)
            reason = first_reason(whys)
            if reason != REASONS[PASS]:
                return Preparation(row, None, whys, reason)
            _put_order(
                conn,
                order,
                status=ended.status.value,
                broker_order_id=ended.broker_order_id,
                reason=ended.reason,
            )
            _free(conn, order)
            return self._put_prepared(
                conn,
                row,
                Step.REPLACED,
                epoch=epoch,
                whys=whys,
                send_by=send_by,
                is_live=is_live,
                # What is left of an order goes where the order went: its first part is there.
                route=order.route,
                now=now,
                told={
                    "replaces": order.client_order_id,
                    "broker_order_id": ended.broker_order_id,
                    "status": ended.status.value,
                    "ending": ended.reason,
                },
            )

    def close_working(
        self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        """End a working intent whose order is terminal at the broker (15)."""
        return self._end(intent_id, Step.CLOSED, epoch, order, now)

    def record_incident(
        self, *, kind: str, account: str, intent_id: str, detail: str, is_halting: bool, now: datetime
    ) -> None:
        """Store something that must not be; a halting one halts trading as well."""
        with self._writing() as conn:
            put = self._put_incident(
                conn,
                kind=kind,
                account=account,
                intent_id=intent_id,
                detail=detail,
                is_standing=is_halting,
                now=now,
            )
            if is_halting:
                self._halt_for(conn, f"{kind}: {put.detail}", now=now)

    def record_finding(
        self,
        *,
        kind: str,
        account: str,
        symbol: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> None:
        """Store what does not agree with the broker, and halt the instrument, or the account without one."""
        with self._writing() as conn:
            self._find(
                conn,
                kind=kind,
                account=account,
                symbol=symbol,
                intent_id=intent_id,
                detail=detail,
                is_standing=is_standing,
                now=now,
            )

    # ---------------------------------------------------------------------------- run control, people

    def run_control(self) -> RunControl:
        """Return the run control in force."""
        with self._reading() as conn:
            return run_control_in_force(conn)

    def set_run_control(
        self,
        action: RunControlAction,
        *,
        actor: str,
        reason: str,
        now: datetime,
        expected: RunControl | None = None,
    ) -> RunControl:
        """Halt, pause, resume, degrade or restore; compare and set where `expected` is given."""
        _check_person(actor, reason)
        if action not in CHANGING:
            raise BadInput(f"{action}: switches nothing for all trading")
        with self._writing() as conn:
            found = run_control_in_force(conn)
            if expected is not None and found != expected:
                raise StaleVersion(
                    f"{action}: run control was set by {found.actor} ({found.reason}) meanwhile; look again"
                )
            return self._set_control(conn, action, actor=actor, reason=reason, now=now)

    def set_approval_mode(
        self, mode: ApprovalMode | None, *, actor: str, reason: str, now: datetime
    ) -> RunControl:
        """Store the mode that people want approvals in."""
        _check_person(actor, reason)
        with self._writing() as conn:
            before = run_control_in_force(conn).approval_mode
            self._put_mode(
                conn,
                records.APPROVAL,
                before=before.value if before else "",
                after=mode.value if mode else "",
                actor=actor,
                reason=reason,
                now=now,
            )
            return run_control_in_force(conn)

    def record_retry(
        self, *, book: str, lane: str, session: date, actor: str, reason: str, now: datetime
    ) -> None:
        """Store that a person has a session's execution tried again."""
        _check_person(actor, reason)
        with self._writing() as conn:
            cools = any(cooldown.is_active(now) for cooldown in last_cooldowns(conn))
            state = state_of(run_control_in_force(conn), is_cooling=cools)
            after = control_transition(state, RunControlAction.RETRY)
            if isinstance(after, Refusal):
                raise GateClosed(f"{after.code}: {after.message}")
            body = {"state": state.value}
            of = Of(book, lane, session.isoformat())
            self._append(conn, now, Draft("retried", *of, actor=actor, reason=reason, body=body))

    def cool_down(self, *, account: str, lane: str, rules: CooldownRules, now: datetime) -> Cooldown | None:
        """Begin a cooldown where enough executions of an account have failed, or incidents have come."""
        with self._reading() as conn:
            known = row_of(conn, schema.cooldowns, account=account, lane=lane)
            due = _cooldown_due(conn, known, account=account, lane=lane, rules=rules, now=now)
        if due is None:
            last = None if known is None else records.cooldown_of(known)
            return last if last is not None and last.is_active(now) else None
        with self._writing() as conn:
            known = row_of(conn, schema.cooldowns, account=account, lane=lane)
            due = _cooldown_due(conn, known, account=account, lane=lane, rules=rules, now=now)
            if due is not None:
                self._put_cooldown(
                    conn,
                    "cooldown_began",
                    {
                        "account": account,
                        "lane": lane,
                        "failures": due.times,
                        "began_at": instant_text(now),
                        "until": instant_text(due.until),
                    },
                    actor=EXECUTOR,
                    reason=due.reason,
                    now=now,
                )
            row = row_of(conn, schema.cooldowns, account=account, lane=lane)
            return None if row is None else records.cooldown_of(row)

    def end_cooldown(self, *, account: str, lane: str, actor: str, reason: str, now: datetime) -> Cooldown:
        """End an account's cooldown before its time, as a named person."""
        _check_person(actor, reason)
        with self._writing() as conn:
            known = row_of(conn, schema.cooldowns, account=account, lane=lane)
            if known is None or not records.cooldown_of(known).is_active(now):
                raise UnknownId(f"cooldown of {account}: there is none; `trading status` lists what is held")
            values = {name: known[name] for name in ("account", "lane", "failures", "began_at")}
            self._put_cooldown(
                conn,
                "cooldown_ended",
                {**values, "until": instant_text(now)},
                actor=actor,
                reason=reason,
                now=now,
            )
            return records.cooldown_of(
                {**values, "until": instant_text(now), "actor": actor, "reason": reason}
            )

    def cooldowns(self) -> list[Cooldown]:
        """Return the last cooldown of each account, by account."""
        with self._reading() as conn:
            return last_cooldowns(conn)

    def preview_flatten(
        self,
        *,
        command_id: str,
        book: str,
        lane: str,
        account: str,
        session: date,
        plan: str,
        actor: str,
        now: datetime,
    ) -> FlattenCommand:
        """Store what somebody was shown of a flatten; the same plan again changes nothing."""
        _check_person(actor, "a preview")
        of = Of(book, lane, session.isoformat())
        with self._writing() as conn:
            _check_flatten(run_control_in_force(conn))
            known = row_of(conn, schema.flatten_commands, command_id=command_id)
            if known is None:
                insert(
                    conn,
                    schema.flatten_commands,
                    {
                        "command_id": command_id,
                        **of._asdict(),
                        "account": account,
                        "plan": plan,
                        "previewed_by": actor,
                        "previewed_at": instant_text(now),
                        "ordered_by": "",
                        "reason": "",
                        "ordered_at": None,
                    },
                )
                body = {"command_id": command_id, "account": account, "plan": plan}
                self._append(conn, now, Draft("flatten_previewed", *of, actor=actor, body=body))
                known = row_of(conn, schema.flatten_commands, command_id=command_id)
            if known is None:
                raise IllegalTransition(f"flatten {command_id}: was not stored")
            return records.flatten_of(known)

    def order_flatten(
        self,
        *,
        command_id: str,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        actor: str,
        reason: str,
        now: datetime,
    ) -> list[JournalIntent]:
        """Register the intents of a previewed flatten, once, as a named person."""
        _check_person(actor, reason)
        with self._writing() as conn:
            row = row_of(conn, schema.flatten_commands, command_id=command_id)
            if row is None:
                raise UnknownId(
                    f"flatten {command_id}: nobody previewed it; `trading flatten` shows it first"
                )
            command = records.flatten_of(row)
            _check_flatten(run_control_in_force(conn))
            if command.ordered_by:
                raise ApprovalRefused(
                    f"flatten {command_id}: ordered by {command.ordered_by} already; preview it again"
                )
            of = Of(command.book, command.lane, command.session.isoformat())
            check_batch(decisions, of)
            check_flatten_batch(decisions, command)
            known = book_session(conn, of)
            if known is None or known["opening"] is None or known["settled_at"] is not None:
                raise OutOfOrder(f"{command.book} {command.session}: is not an open session")
            rows = [intent_row(decision, now, actor=actor) for decision in decisions]
            told = self._insert_decided(conn, decisions, verdicts, rows)
            ordered = {"ordered_by": actor, "reason": reason, "ordered_at": instant_text(now)}
            update(conn, schema.flatten_commands, ordered, command_id=command_id)
            body = {"command_id": command_id, "intents": [decision.intent_id for decision in decisions]}
            drafts = [Draft("flatten_ordered", *of, actor=actor, reason=reason, body=body)]
            drafts += [
                registration(decision, row, told[decision.intent_id], actor=actor, flatten_command=command_id)
                for decision, row in zip(decisions, rows, strict=True)
            ]
            self._append(conn, now, *drafts)
            return [required(conn, decision.intent_id) for decision in decisions]

    def flatten_commands(self, *, book: str, lane: str, session: date) -> list[FlattenCommand]:
        """Return a session's flattens, previewed and ordered, in the order previewed."""
        of = Of(book, lane, session.isoformat())
        with self._reading() as conn:
            return [records.flatten_of(row) for row in asked(conn, "find_flattens", **of._asdict())]

    def halts(self) -> list[Halt]:
        """Return the accounts and instruments that are halted, by account then symbol."""
        with self._reading() as conn:
            return halts_in_force(conn)

    def lift_halt(
        self,
        *,
        account: str,
        symbol: str,
        actor: str,
        reason: str,
        now: datetime,
        expected: Halt | None = None,
    ) -> None:
        """End the halt of an account or an instrument, as a named person."""
        _check_person(actor, reason)
        with self._writing() as conn:
            what = f"{account} {symbol}".strip()
            in_force = [h for h in halts_in_force(conn) if (h.account, h.symbol) == (account, symbol)]
            if not in_force:
                raise UnknownId(f"halt of {what}: there is none; `trading status` lists what is halted")
            if expected is not None and in_force != [expected]:
                raise StaleVersion(f"halt of {what}: is {in_force[0].reason!r} meanwhile; look again")
            self._put_halt(conn, account, symbol, is_on=False, actor=actor, reason=reason, now=now)

    def acknowledge_incident(self, *, incident_id: int, actor: str, reason: str, now: datetime) -> None:
        """Store that a named person has taken an incident on; an event alone, since it ends nothing."""
        self._say_of_incident(ACKNOWLEDGED, incident_id, actor=actor, reason=reason, now=now)

    def act_on_incident(
        self, *, incident_id: int, is_end: bool, actor: str, reason: str, now: datetime
    ) -> None:
        """Store what a named person did about an incident, or with `is_end` that it is over."""
        kind = RESOLVED if is_end else ACTED
        self._say_of_incident(kind, incident_id, actor=actor, reason=reason, now=now)

    def plan_action(
        self, *, incident_id: int, owner: str, due_on: date, actor: str, reason: str, now: datetime
    ) -> int:
        """Store what somebody is to do about an incident; returns the action's number in it."""
        _check_person(actor, reason)
        with self._writing() as conn:
            account = _account_of_incident(conn, incident_id)
            number = 1 + sum(1 for of, _ in actions_known(conn) if of == incident_id)
            body = {
                "incident_id": incident_id,
                "account": account,
                "action": number,
                "owner": owner,
                "due_on": due_on.isoformat(),
            }
            self._append(conn, now, Draft(PLANNED, actor=actor, reason=reason, body=body))
            return number

    def finish_action(self, *, incident_id: int, action: int, actor: str, reason: str, now: datetime) -> None:
        """Store that an action is done, and what came of it."""
        _check_person(actor, reason)
        with self._writing() as conn:
            account = _account_of_incident(conn, incident_id)
            known = actions_known(conn).get((incident_id, action))
            if known is None:
                raise UnknownId(f"action {action} of incident {incident_id}: there is none")
            if known.done_at is not None:
                raise IllegalTransition(
                    f"action {action} of incident {incident_id}: {known.done_by} has done it already"
                )
            body = {"incident_id": incident_id, "account": account, "action": action}
            self._append(conn, now, Draft(DONE, actor=actor, reason=reason, body=body))

    def _say_of_incident(
        self, kind: str, incident_id: int, *, actor: str, reason: str, now: datetime
    ) -> None:
        _check_person(actor, reason)
        with self._writing() as conn:
            body = {"incident_id": incident_id, "account": _account_of_incident(conn, incident_id)}
            self._append(conn, now, Draft(kind, actor=actor, reason=reason, body=body))

    def release_quote(self, *, row_id: str, actor: str, reason: str, now: datetime) -> bool:
        """Store that a person vouches for a quarantined row; returns whether that was new."""
        _check_person(actor, reason)
        table = schema.quote_releases
        with self._writing() as conn:
            if conn.execute(sa.select(table.c.row_id).where(table.c.row_id == row_id)).first() is not None:
                return False
            conn.execute(
                table.insert().values(
                    row_id=row_id,
                    seq=next_number(conn, table.c.seq),
                    actor=actor,
                    reason=reason,
                    released_at=instant_text(now),
                )
            )
            self._append(
                conn, now, Draft("quote_released", actor=actor, reason=reason, body={"row_id": row_id})
            )
            return True

    def quote_releases(self) -> list[QuoteRelease]:
        """Return all released rows, in the order released."""
        return [
            records.release_of(row)
            for row in self._rows(sa.select(schema.quote_releases).order_by(schema.quote_releases.c.seq))
        ]

    def enqueue(
        self, *, dedup_key: str, channel: str, severity: str, subject: str, body: str, now: datetime
    ) -> bool:
        """Store a message to people; returns whether its key was new in the channel."""
        with self._writing() as conn:
            return put_message(
                conn,
                lambda draft: self._append(conn, now, draft),
                dedup_key=dedup_key,
                channel=channel,
                severity=severity,
                subject=subject,
                body=body,
                now=now,
            )

    def lease(
        self,
        *,
        now: datetime,
        lease_s: int,
        limit: int,
        ready: Collection[str] | None = None,
        wait_s_max: int | None = None,
    ) -> list[OutboxMessage]:
        """Take waiting messages that are due, oldest first, for `lease_s`.

        Of criticals for a channel that is not `ready`, only those that nobody ever took.
        """
        table = schema.outbox
        until = instant_text(now + timedelta(seconds=lease_s))
        is_due = table.c.due_at <= instant_text(now)
        if wait_s_max is not None:
            is_due |= table.c.due_at > instant_text(now + timedelta(seconds=wait_s_max))
        with self._writing() as conn:
            due = (
                sa.select(table)
                .where(table.c.status == "waiting", is_due)
                .order_by(table.c.outbox_id)
                .limit(limit)
            )
            if ready is not None:
                due = due.where(
                    table.c.channel.in_(ready)
                    | (table.c.severity != Severity.CRITICAL.value)
                    | (table.c.attempts == 0)
                )
            leased = []
            for row in conn.execute(due).mappings().all():
                changed = {"attempts": row["attempts"] + 1, "due_at": until}
                conn.execute(table.update().where(table.c.outbox_id == row["outbox_id"]).values(**changed))
                leased.append(records.message_of({**row, **changed}))
            if leased:
                told = {"outbox_ids": [message.outbox_id for message in leased], "due_at": until}
                self._append(conn, now, Draft("messages_leased", body=told))
            return leased

    def mark(
        self,
        outbox_id: int,
        *,
        attempt: int,
        is_delivered: bool,
        reason: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Store how an attempt went; undelivered without `retry_at` is given up."""
        table = schema.outbox
        with self._writing() as conn:
            row = (
                conn.execute(sa.select(table).where(table.c.outbox_id == outbox_id)).mappings().one_or_none()
            )
            if row is None:
                raise UnknownId(f"outbox message {outbox_id}: nothing is stored under this id")
            if row["status"] != "waiting" or row["attempts"] != attempt:
                raise StaleVersion(
                    f"outbox message {outbox_id}: expected attempt {attempt} of a waiting one,"
                    f" found attempt {row['attempts']}, {row['status']}"
                )
            changed = {"status": "delivered" if is_delivered else "dead"}
            if not is_delivered and retry_at is not None:
                changed = {"status": "waiting", "due_at": instant_text(retry_at)}
            conn.execute(table.update().where(table.c.outbox_id == outbox_id).values(**changed))
            conn.execute(
                schema.deliveries.insert().values(
                    outbox_id=outbox_id,
                    attempt=attempt,
                    is_delivered=int(is_delivered),
                    reason=reason,
                    at=instant_text(now),
                )
            )
            self._append(
                conn,
                now,
                Draft(
                    "message_tried",
                    reason=reason,
                    body={
                        "outbox_id": outbox_id,
                        "attempt": attempt,
                        "status": changed["status"],
                        "due_at": changed.get("due_at", row["due_at"]),
                    },
                ),
            )

    # ---------------------------------------------------------------------------- asking

    def intent(self, intent_id: IntentId) -> JournalIntent:
        """Return one intent; raises `UnknownId`."""
        with self._reading() as conn:
            return required(conn, intent_id)

    def intents(self, *, book: str, lane: str, session: date) -> list[JournalIntent]:
        """Return a session's intents in the order in which they execute."""
        with self._reading() as conn:
            rows = session_rows(conn, Of(book, lane, session.isoformat()))
        return [records.intent_of(row) for row in rows]

    def open_intents(self, *, account: str, lane: str) -> list[JournalIntent]:
        """Return an account's open intents, by session, sells first, then by symbol."""
        table = schema.intents
        query = (
            sa.select(table)
            .where(table.c.account == account, table.c.lane == lane, table.c.state.in_(OPEN_STATES))
            .order_by(table.c.session, *EXECUTION_ORDER)
        )
        return [records.intent_of(row) for row in self._rows(query)]

    def stuck(self, *, before: datetime) -> list[JournalIntent]:
        """Return intents that are executing or unknown and have not changed since before an instant."""
        table = schema.intents
        query = (
            sa.select(table)
            .where(table.c.state.in_(["executing", "unknown"]), table.c.changed_at < instant_text(before))
            .order_by(table.c.changed_at, table.c.intent_id)
        )
        return [records.intent_of(row) for row in self._rows(query)]

    def verdicts(self, intent_id: IntentId) -> list[Verdict]:
        """Return what each guard said of an intent when it was decided, in the order of precedence."""
        table = schema.verdicts
        with self._reading() as conn:
            intent = required(conn, intent_id).intent
            rows = conn.execute(
                sa.select(table).where(table.c.intent_id == intent_id).order_by(table.c.place)
            ).mappings()
            return [records.verdict_of(row, intent=intent) for row in rows]

    def order(self, client_order_id: ClientOrderId) -> JournalOrder | None:
        """Return one order row, or `None`."""
        rows = self._rows(sa.select(schema.orders).where(schema.orders.c.client_order_id == client_order_id))
        return records.order_of(rows[0]) if rows else None

    def order_of(self, intent_id: IntentId) -> JournalOrder | None:
        """Return an intent's order of its highest generation, or `None`."""
        table = schema.orders
        query = sa.select(table).where(table.c.intent_id == intent_id).order_by(table.c.generation.desc())
        rows = self._rows(query.limit(1))
        return records.order_of(rows[0]) if rows else None

    def orders(self, *, book: str, lane: str, session: date) -> list[JournalOrder]:
        """Return a session's orders, by intent then generation."""
        table = schema.orders
        query = (
            sa.select(table)
            .where(table.c.book == book, table.c.lane == lane, table.c.session == session.isoformat())
            .order_by(table.c.intent_id, table.c.generation)
        )
        return [records.order_of(row) for row in self._rows(query)]

    def fills(self, *, book: str, lane: str, session: date) -> list[Fill]:
        """Return a session's fills in the order booked, without those that the broker took back."""
        with self._reading() as conn:
            return session_fills(conn, Of(book, lane, session.isoformat()))

    def executions_of(self, client_order_id: ClientOrderId) -> dict[str, int]:
        """Return the shares booked of an order by execution id, as of one moment; a bust's are negative."""
        fills, busts = schema.fills, schema.busts
        query = (
            sa.select(fills.c.execution_id, fills.c.quantity, busts.c.execution_id.label("bust_id"))
            .join(busts, busts.c.takes_back == fills.c.execution_id, isouter=True)
            .where(fills.c.client_order_id == client_order_id)
        )
        booked = {}
        for row in self._rows(query):
            booked[row["execution_id"]] = row["quantity"]
            if row["bust_id"] is not None:
                booked[row["bust_id"]] = -row["quantity"]
        return booked

    def net_filled(self, client_order_id: ClientOrderId) -> int:
        """Return an order's booked shares less those that the broker has taken back."""
        with self._reading() as conn:
            return net_filled(conn, client_order_id)

    def orders_by_id(self, client_order_ids: Collection[str]) -> list[JournalOrder]:
        """Return the orders under ids, those there are, ascending by id."""
        return [
            records.order_of(row)
            for row in self._rows_by_id(schema.orders.c.client_order_id, client_order_ids)
        ]

    def intents_by_id(self, intent_ids: Collection[str]) -> list[JournalIntent]:
        """Return the intents under ids, those there are, ascending by id."""
        return [records.intent_of(row) for row in self._rows_by_id(schema.intents.c.intent_id, intent_ids)]

    def watched(self, *, account: str, since: date) -> list[JournalOrder]:
        """Return the orders of sessions from `since` on that were proven absent, ascending by id."""
        table, watch = schema.orders, schema.watch_list
        query = (
            sa.select(table)
            .join(watch, watch.c.client_order_id == table.c.client_order_id)
            .where(watch.c.account == account, watch.c.session >= since.isoformat())
            .order_by(table.c.client_order_id)
        )
        return [records.order_of(row) for row in self._rows(query)]

    def adapters_used(self, *, account: str, lane: str) -> tuple[str, ...]:
        """Return every adapter that an order of an account was prepared for, ascending by name."""
        table = schema.orders
        found: list[str] = []
        with self._reading() as conn:
            # One look into the index an adapter: there are a few of them, and of orders any number.
            query = sa.select(sa.func.min(table.c.actual_adapter)).where(
                table.c.account == account, table.c.lane == lane
            )
            name = conn.execute(query).scalar()
            while name is not None:
                found.append(name)
                name = conn.execute(query.where(table.c.actual_adapter > name)).scalar()
        return tuple(found)

    def executor_term(self, *, account: str, lane: str) -> ExecutorTerm | None:
        """Return which executor of an account began last, or `None` where none ever did."""
        with self._reading() as conn:
            return executor_term(conn, account, lane)

    def incidents(self) -> list[Incident]:
        """Return all incidents, in the order recorded."""
        query = sa.select(schema.incidents).order_by(schema.incidents.c.incident_id)
        return [records.incident_of(row) for row in self._rows(query)]

    def deliveries(self) -> list[Delivery]:
        """Return all attempts to deliver messages, in the order made."""
        return self._deliveries(sa.true())

    def deliveries_of(self, outbox_id: int) -> list[Delivery]:
        """Return the attempts to deliver one message, in the order made."""
        return self._deliveries(schema.deliveries.c.outbox_id == outbox_id)

    def delivered_since(self, since: datetime) -> list[Delivery]:
        """Return the attempts of all messages that arrived after an instant, in the order made."""
        table = schema.deliveries
        return self._deliveries((table.c.is_delivered == 1) & (table.c.at > instant_text(since)))

    def _deliveries(self, which: sa.ColumnElement[bool]) -> list[Delivery]:
        table, outbox = schema.deliveries, schema.outbox
        query = (
            sa.select(table, outbox.c.channel)
            .join(outbox, outbox.c.outbox_id == table.c.outbox_id)
            .where(which)
            .order_by(table.c.at, table.c.outbox_id, table.c.attempt)
        )
        return [records.delivery_of(row) for row in self._rows(query)]

    def events(self, *, after: int, limit: int) -> list[JournalEvent]:
        """Return events with a sequence number above `after`, ascending, at most `limit`."""
        table = schema.events
        query = sa.select(table).where(table.c.seq > after).order_by(table.c.seq).limit(limit)
        return [records.event_of(row) for row in self._rows(query)]

    def events_of(self, intent_id: IntentId) -> list[JournalEvent]:
        """Return an intent's events, ascending."""
        table = schema.events
        query = sa.select(table).where(table.c.intent_id == intent_id).order_by(table.c.seq)
        return [records.event_of(row) for row in self._rows(query)]

    def answers(self, questions: Sequence[str]) -> dict[str, Sequence[records.Row]]:
        """Return the rows of questions that bind nothing (files of `sql/`), all as of one moment."""
        with self._reading() as conn:
            return {name: conn.exec_driver_sql(text_of(name)).mappings().all() for name in questions}

    @contextmanager
    def looking(self) -> Iterator[sa.Connection]:
        """Give a transaction that only reads: for tables with a module of their own."""
        with self._reading() as conn:
            yield conn

    @contextmanager
    def appending(self, now: datetime) -> Iterator[tuple[sa.Connection, Callable[[Draft], None]]]:
        """Give a transaction and what appends an event in it: for tables with a module of their own."""
        with self._writing() as conn:
            yield conn, lambda draft: self._append(conn, now, draft)

    # ---------------------------------------------------------------------------- one step of an intent

    def _held(
        self, intent_id: IntentId, step: tuple[Step, IntentState], epoch: int, *, reason: str, now: datetime
    ) -> JournalIntent:
        with self._writing() as conn:
            return self._move(conn, required(conn, intent_id), step, epoch=epoch, reason=reason, now=now)

    def _answer(
        self,
        intent_id: IntentId,
        step: tuple[Step, IntentState],
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        role: Role | None,
        now: datetime,
    ) -> JournalIntent:
        with self._writing() as conn:
            row = required(conn, intent_id)
            chain = chain_in(conn, intent_id)
            is_approval = step[0] is Step.APPROVED
            said = Said(is_approval, actor, reason, role, version, payload_hash, nonce)
            before = row_of(conn, schema.approvals, nonce=nonce) or row_of(
                conn, schema.endorsements, nonce=nonce
            )
            # Who was first with another answer, or is another person, is no repeat: the version says so.
            is_used = before is not None and not _is_late(row, before, said, step[1])
            refused = answer_refusal(_asked_of(row), said, chain, is_nonce_used=is_used, now=now)
            if refused is None:
                return self._put_answer(conn, row, step, said, chain, now=now)
            # Committed, and only then raised: who tried what they may not is history as well.
            body = {
                "answer": step[1].value,
                "message": refused.message,
                "version": version,
                "payload_hash": payload_hash,
                "nonce": nonce,
                "role": role.value if role else "",
            }
            self._append(
                conn, now, draft_of(row, "answer_refused", actor=actor, reason=refused.code, body=body)
            )
        kind = {STALE: StaleVersion, NOT_PENDING: IllegalTransition}.get(refused.code, ApprovalRefused)
        raise kind(f"{named(row)}: {refused.message}")

    def _put_answer(
        self,
        conn: sa.Connection,
        row: JournalIntent,
        step: tuple[Step, IntentState],
        said: Said,
        chain: Sequence[StageRecord],
        *,
        now: datetime,
    ) -> JournalIntent:
        """Take the step of an answer that counts; the first approval of two leaves the intent pending."""
        is_endorsed = said.is_approval and not is_last_approval(chain)
        moved = self._move(
            conn,
            row,
            (Step.ENDORSED, IntentState.PENDING_APPROVAL) if is_endorsed else step,
            version=said.version,
            actor=said.actor,
            reason=said.reason,
            body={"nonce": said.nonce, "payload_hash": said.payload_hash, "stage_place": len(chain)},
            now=now,
        )
        given = {
            "nonce": said.nonce,
            "intent_id": row.intent_id,
            "actor": said.actor,
            "reason": said.reason,
            "payload_hash": said.payload_hash,
            "version": said.version,
            "at": instant_text(now),
        }
        if is_endorsed:
            insert(conn, schema.endorsements, given)
        else:
            insert(conn, schema.approvals, {**given, "answer": step[1].value})
        answered = StageVerdict.PASSED if said.is_approval else StageVerdict.FAILED
        record = StageRecord(
            ChainStage.PERSON,
            StageVerdict.ENDORSED if is_endorsed else answered,
            said.actor,
            said.reason,
            said.actor,
            0,
            row.not_after,
            now,
        )
        insert(conn, schema.approval_stages, stage_row(record, row.intent_id, len(chain)))
        return moved

    def _has_order(
        self,
        intent_id: IntentId,
        step: tuple[Step, IntentState],
        epoch: int,
        order: BrokerOrder,
        now: datetime,
    ) -> JournalIntent:
        with self._writing() as conn:
            row = required(conn, intent_id)
            _judge(row, step, epoch=epoch)
            known = required_order(conn, row)
            _check_equal(row, known, order)
            moved = self._move(
                conn,
                row,
                step,
                epoch=epoch,
                body={"client_order_id": known.client_order_id, "broker_order_id": order.broker_order_id},
                now=now,
            )
            status = OrderStatus.PARTIAL_FILL if known.filled_quantity else OrderStatus.WORKING
            if known.status != OrderStatus.FILLED:
                _put_order(conn, known, status=status.value, broker_order_id=order.broker_order_id, reason="")
            return moved

    def _end(
        self, intent_id: IntentId, step: Step, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        with self._writing() as conn:
            row = required(conn, intent_id)
            known = required_order(conn, row)
            _check_equal(row, known, order)
            booked = net_filled(conn, known.client_order_id)
            if not order.status.is_terminal or order.filled_quantity != booked:
                raise IllegalTransition(
                    f"{named(row)}: ends when the broker says so with all fills booked; it says"
                    f" {order.status} with {order.filled_quantity} filled, booked are {booked}"
                )
            to = ending_of(order.status, row.filled_quantity, cancel_kind=known.cancel_kind)
            moved = self._move(
                conn,
                row,
                (step, to),
                epoch=epoch,
                reason=order.reason,
                body={
                    "client_order_id": known.client_order_id,
                    "broker_order_id": order.broker_order_id,
                    "status": order.status.value,
                },
                now=now,
            )
            if known.status != OrderStatus.FILLED:
                _put_order(
                    conn,
                    known,
                    status=order.status.value,
                    broker_order_id=order.broker_order_id,
                    reason=order.reason,
                )
            _free(conn, known)
            return moved

    def _move(
        self,
        conn: sa.Connection,
        row: JournalIntent,
        step: tuple[Step, IntentState],
        *,
        now: datetime,
        version: int | None = None,
        epoch: int | None = None,
        quantity: int = 0,
        actor: str = "",
        reason: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> JournalIntent:
        """Take one edge: compare and set the row, append its event; return the row as it is then."""
        place = _place_of(row)
        after = _judge(row, step, version=version, epoch=epoch, quantity=quantity)
        changed = update(
            conn,
            schema.intents,
            {
                "state": after.state.value,
                "stage": after.stage.value,
                "version": after.version,
                "epoch": after.epoch,
                "generation": after.generation,
                "filled_quantity": after.filled_quantity,
                "reason": reason or row.reason,
                "actor": actor or row.actor,
                "changed_at": instant_text(now),
            },
            intent_id=row.intent_id,
            version=place.version,
            state=place.state.value,
            epoch=place.epoch,
        )
        if changed != 1:
            raise StaleVersion(f"{named(row)}: version {place.version} was changed by another")
        moved = replace(
            row,
            state=after.state,
            stage=after.stage,
            version=after.version,
            epoch=after.epoch,
            generation=after.generation,
            filled_quantity=after.filled_quantity,
            reason=reason or row.reason,
            actor=actor or row.actor,
            complete=after.state is IntentState.EXECUTED and after.filled_quantity == after.quantity,
            changed_at=now,
        )
        told = step_body(place, step, quantity) | dict(body or {})
        self._append(conn, now, draft_of(row, step[0].value, actor=actor, reason=reason, body=told))
        conn.info[STEPS].append((step[0], moved, reason))
        return moved

    def _put_prepared(
        self,
        conn: sa.Connection,
        row: JournalIntent,
        step: Step,
        *,
        epoch: int,
        whys: Sequence[Why],
        send_by: datetime,
        is_live: bool,
        route: RouteChoice,
        now: datetime,
        told: Mapping[str, Any] | None = None,
    ) -> Preparation:
        """Take the step to `prepared`, with the row of the order that it allows and the money it needs."""
        next_generation = row.generation + (1 if step is Step.REPLACED else 0)
        request = request_of(replace(row, generation=next_generation))
        payload = request_payload(request)
        written = canonical_json(payload)
        micros = reservation_micros(row, whys)
        body = dict(told or {}) | {
            "request": payload,
            "request_sha": digest_of_text(written),
            "payload_hash": row.payload_hash,
            "attempt": 1,
            "is_live": is_live,
            "reserved_micros": micros,
            "send_by": instant_text(send_by),
            "whys": [list(why) for why in whys],
        }
        routed = {
            "expected_adapter": route.expected,
            "actual_adapter": route.actual,
            "fallback_count": route.fallback_count,
            "fallback_reason": route.fallback_reason,
        }
        if route.is_recorded:
            body["route"] = routed
        moved = self._move(conn, row, (step, IntentState.EXECUTING), epoch=epoch, body=body, now=now)
        insert(
            conn,
            schema.orders,
            {
                "client_order_id": request.client_order_id,
                "intent_id": row.intent_id,
                "generation": moved.generation,
                "account": row.account,
                "book": row.intent.book,
                "lane": row.lane,
                "session": row.intent.session.isoformat(),
                "is_live": int(is_live),
                "request": written,
                "request_sha": body["request_sha"],
                "quantity": request.quantity,
                "filled_quantity": 0,
                "status": PREPARED,
                "broker_order_id": "",
                "attempts": 1,
                "absences": 0,
                "cancel_kind": CancelKind.NONE.value,
                "prepared_at": instant_text(now),
                "send_by": instant_text(send_by),
                "reason": "",
                **routed,
            },
        )
        insert(
            conn,
            schema.reservations,
            {
                "client_order_id": request.client_order_id,
                "intent_id": row.intent_id,
                "book": row.intent.book,
                "lane": row.lane,
                "symbol": request.symbol,
                "side": request.side.value,
                "quantity_left": request.quantity,
                "micros_left": micros,
            },
        )
        return Preparation(moved, required_order(conn, moved), tuple(whys), REASONS[PASS])

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
        told = self._insert_decided(conn, decisions, verdicts, rows)
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

    def _insert_decided(
        self,
        conn: sa.Connection,
        decisions: Sequence[Decision],
        verdicts: Sequence[Verdict],
        rows: Sequence[Mapping[str, Any]],
    ) -> dict[IntentId, list[Told]]:
        """Insert intents with their verdicts and stages of approval; return each one's verdicts as told."""
        told = verdicts_told(decisions, verdicts)
        insert_all(conn, schema.intents, rows)
        columns = ("intent_id", "place", *VERDICT_COLUMNS)
        insert_placed(conn, schema.verdicts, columns, verdict_rows(told))
        insert_all(conn, schema.approval_stages, stage_rows(decisions))
        return told

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

    def _put_incident(
        self,
        conn: sa.Connection,
        *,
        kind: str,
        account: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> Put:
        return put_incident(
            conn,
            lambda draft: self._append(conn, now, draft),
            kind=kind,
            account=account,
            intent_id=intent_id,
            detail=detail,
            is_standing=is_standing,
            now=now,
        )

    def _find(
        self,
        conn: sa.Connection,
        *,
        kind: str,
        account: str,
        symbol: str,
        intent_id: str,
        detail: str,
        is_standing: bool,
        now: datetime,
    ) -> None:
        """Record an incident, and halt what it is about unless that is halted already."""
        if not account:
            raise BadInput(f"{kind}: a finding names its account")
        put = self._put_incident(
            conn,
            kind=kind,
            account=account,
            intent_id=intent_id,
            detail=detail,
            is_standing=is_standing,
            now=now,
        )
        if not (put.is_new or is_standing):
            return
        in_force = [h for h in halts_in_force(conn) if (h.account, h.symbol) == (account, symbol)]
        if put.is_new or not in_force:
            # A new finding changes the halt in force: who ends the one they saw has not seen this.
            reason = halt_reason(in_force[0].reason if in_force else "", f"{kind}: {put.detail}")
            self._put_halt(conn, account, symbol, is_on=True, actor=EXECUTOR, reason=reason, now=now)

    def _put_halt(
        self,
        conn: sa.Connection,
        account: str,
        symbol: str,
        *,
        is_on: bool,
        actor: str,
        reason: str,
        now: datetime,
    ) -> None:
        table = schema.halts
        values = {"is_on": int(is_on), "actor": actor, "reason": reason, "changed_at": instant_text(now)}
        where = (table.c.account == account, table.c.symbol == symbol)
        if conn.execute(table.update().where(*where).values(**values)).rowcount == 0:
            conn.execute(table.insert().values(account=account, symbol=symbol, **values))
        kind = "halted" if is_on else "halt_lifted"
        body = {"account": account, "symbol": symbol}
        self._append(conn, now, Draft(kind, actor=actor, reason=reason, body=body))

    def _refuse_payload(
        self, conn: sa.Connection, row: JournalIntent, found: str, *, epoch: int, now: datetime
    ) -> Preparation:
        """End a claimed intent whose row is not what was decided."""
        self._halt_for_payload(conn, row, found, now=now)
        refused = self._move(
            conn,
            row,
            (Step.REFUSED_AT_CLAIM, IntentState.REJECTED),
            epoch=epoch,
            reason=PAYLOAD_MISMATCH,
            body={"found": found, "payload_hash": row.payload_hash},
            now=now,
        )
        return Preparation(refused, None, (), PAYLOAD_MISMATCH)

    def _halt_for_payload(
        self, conn: sa.Connection, row: JournalIntent, found: str, *, now: datetime
    ) -> None:
        """Halt all trading: a row is not what was decided, so somebody changed the journal."""
        detail = f"{named(row)}: payload is {found[:12]}, decided and approved was {row.payload_hash[:12]}"
        put = self._put_incident(
            conn,
            kind=PAYLOAD_MISMATCH,
            account=row.account,
            intent_id=row.intent_id,
            detail=detail,
            is_standing=True,
            now=now,
        )
        self._halt_for(conn, f"{PAYLOAD_MISMATCH}: {put.detail}", now=now)

    def _halt_for(self, conn: sa.Connection, reason: str, *, now: datetime) -> None:
        """Halt trading for an incident, unless its very halt is in force."""
        control = run_control_in_force(conn)
        if (control.kill_switch_on, control.actor, control.reason) != (True, EXECUTOR, reason):
            self._set_control(conn, RunControlAction.HALT, actor=EXECUTOR, reason=reason, now=now)

    def _set_control(
        self, conn: sa.Connection, action: RunControlAction, *, actor: str, reason: str, now: datetime
    ) -> RunControl:
        table = schema.run_control
        before = run_control_in_force(conn)
        after = controlled(before, action, actor=actor, reason=reason, now=now)
        if isinstance(after, Refusal):
            is_stopped = before.kill_switch_on or before.paused
            by = f" (by {before.actor}: {before.reason})" if is_stopped else ""
            raise GateClosed(f"{action}: {after.code}: {after.message}{by}")
        if action in {RunControlAction.DEGRADE, RunControlAction.RESTORE}:
            self._put_mode(
                conn,
                records.DEGRADE,
                before=records.ON if before.is_degraded else records.OFF,
                after=records.ON if after.is_degraded else records.OFF,
                actor=actor,
                reason=reason,
                now=now,
            )
            return after
        values = {
            "kill_switch_on": int(after.kill_switch_on),
            "paused": int(after.paused),
            "actor": actor,
            "reason": reason,
            "changed_at": instant_text(now),
        }
        if conn.execute(table.update().values(**values)).rowcount == 0:
            conn.execute(table.insert().values(scope="all", **values))
        body = {"action": action.value, "before": _switches(before), "after": _switches(after)}
        self._append(conn, now, Draft("run_control", actor=actor, reason=reason, body=body))
        return after

    def _put_mode(
        self,
        conn: sa.Connection,
        name: str,
        *,
        before: str,
        after: str,
        actor: str,
        reason: str,
        now: datetime,
    ) -> None:
        table = schema.modes
        values = {"value": after, "actor": actor, "reason": reason, "changed_at": instant_text(now)}
        if update(conn, table, values, name=name) == 0:
            insert(conn, table, {"name": name, **values})
        body = {"mode": name, "before": before, "after": after}
        self._append(conn, now, Draft("mode_set", actor=actor, reason=reason, body=body))

    def _put_cooldown(
        self,
        conn: sa.Connection,
        kind: str,
        values: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
        now: datetime,
    ) -> None:
        """Store a cooldown's row with its event; failures before that event count no more."""
        table = schema.cooldowns
        row = {
            **values,
            "actor": actor,
            "reason": reason,
            "changed_seq": next_number(conn, schema.events.c.seq),
        }
        where = {name: values[name] for name in ("account", "lane")}
        if update(conn, table, row, **where) == 0:
            insert(conn, table, row)
        body = {name: values[name] for name in ("account", "failures", "began_at", "until")}
        self._append(conn, now, Draft(kind, lane=values["lane"], actor=actor, reason=reason, body=body))

    def _append(self, conn: sa.Connection, now: datetime, *drafts: Draft) -> None:
        """Put events at the end of the chain, in the transaction of what they tell."""
        seq, prev_hash = last_of(conn, schema.events, "seq", names=("seq", "hash")) or (0, GENESIS)
        at = instant_text(now)
        rows = []
        for draft in drafts:
            seq += 1
            content = {"seq": seq, "at": at, **draft._asdict()}
            body = canonical_json(draft.body)
            hashed = chained_text(prev_hash, content_text(content, body=body), kind=draft.kind)
            rows.append({**content, "body": body, "prev_hash": prev_hash, "hash": hashed})
            prev_hash = hashed
        insert_all(conn, schema.events, rows)

    # ---------------------------------------------------------------------------- the database

    def _open(self) -> None:
        with self._reading() as conn:
            revision = revision_of(conn, self._name)
        if revision == SCHEMA_REVISION:
            return
        with self._writing() as conn:
            # Another process may have been first: the write lock decides.
            revision = revision_of(conn, self._name)
            if revision < SCHEMA_REVISION:
                migrate(conn)

    def _rows(self, query: sa.Select[Any]) -> Sequence[records.Row]:
        with self._reading() as conn:
            return conn.execute(query).mappings().all()

    def _rows_by_id(self, column: sa.Column[str], ids: Collection[str]) -> list[records.Row]:
        """Return the rows under ids, ascending by id, asked for in parts that every engine takes."""
        wanted = sorted(set(ids))
        rows: list[records.Row] = []
        for start in range(0, len(wanted), IDS_AT_ONCE):
            part = wanted[start : start + IDS_AT_ONCE]
            rows += self._rows(sa.select(column.table).where(column.in_(part)).order_by(column))
        return rows

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.begin() as conn:
            yield conn

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        # The connection is had before one's turn and given back after it, so that others wait the less.
        steps: list[tuple[Step, JournalIntent, str]] = []
        with self._explained(), self._writer.connect() as conn:
            conn.info[STEPS] = steps
            with self._turns.next(), conn.begin():
                yield conn
        if self._heard is not None:
            for step, row, reason in steps:
                self._heard(step, row, reason)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a database's error means here, and what to do about it."""
        driver = self._engine.dialect.loaded_dbapi
        try:
            yield
        except (IntegrityError, driver.IntegrityError) as error:
            found = getattr(error, "orig", error)
            raise IllegalTransition(f"journal {self._name}: refused by its schema: {found}") from error
        except (DBAPIError, driver.Error) as error:
            found = getattr(error, "orig", error)
            raise JournalUnavailable(f"journal {self._name}: {advice(str(found))}") from error
        except PoolTimeoutError as error:
            raise JournalUnavailable(f"journal {self._name}: {advice(str(error))}") from error


# -------------------------------------------------------------------------------- rules and rows


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


def _put_order(conn: sa.Connection, order: JournalOrder, **values: str | int | None) -> None:
    update(conn, schema.orders, values, client_order_id=order.client_order_id)


def _shrink(conn: sa.Connection, order: JournalOrder, *, left: int) -> None:
    """Leave of a reservation what the shares still open need, rounded up."""
    row = row_of(conn, schema.reservations, client_order_id=order.client_order_id)
    if row is None:
        raise IllegalTransition(f"order {order.client_order_id}: has no reservation")
    micros = -(-row["micros_left"] * left // row["quantity_left"]) if row["quantity_left"] else 0
    update(
        conn,
        schema.reservations,
        {"quantity_left": left, "micros_left": micros},
        client_order_id=order.client_order_id,
    )


def _free(conn: sa.Connection, order: JournalOrder) -> None:
    nothing = {"quantity_left": 0, "micros_left": 0}
    update(conn, schema.reservations, nothing, client_order_id=order.client_order_id)


def _place_of(row: JournalIntent) -> Place:
    return Place(
        state=row.state,
        stage=row.stage,
        version=row.version,
        epoch=row.epoch,
        generation=row.generation,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
    )


def _judge(
    row: JournalIntent,
    step: tuple[Step, IntentState],
    *,
    version: int | None = None,
    epoch: int | None = None,
    quantity: int = 0,
) -> Place:
    """Return where a row goes by a step, or raise what the refusal means."""
    event = Event(
        step[0],
        step[1],
        row.version if version is None else version,
        row.epoch if epoch is None else epoch,
        quantity,
    )
    after = transition(_place_of(row), event)
    if isinstance(after, Refusal):
        kind: type[JournalError] = (
            StaleVersion if after.code in {STALE_VERSION, STALE_EPOCH} else IllegalTransition
        )
        raise kind(f"{named(row)}: {after.message}")
    return after


def _check_term(
    conn: sa.Connection, account: str, lane: str, term: int, *, is_reconciled_needed: bool
) -> None:
    why_not = term_refusal(
        executor_term(conn, account, lane), term, is_reconciled_needed=is_reconciled_needed
    )
    if why_not:
        raise StaleVersion(f"account {account}: {why_not}")


def _check_gate(conn: sa.Connection, row: JournalIntent, now: datetime) -> tuple[RunControl, Cooldown | None]:
    """Return what is in force and lets the intent through; raises `GateClosed` where it does not."""
    run_control, cooldown = run_control_in_force(conn), cooldown_in_force(conn, row, now)
    why_not = gate_refusal(row, run_control, halts_in_force(conn), cooldown)
    if why_not:
        raise GateClosed(f"{named(row)}: {why_not}")
    return run_control, cooldown


def _check_send_time(row: JournalIntent, send_by: datetime, now: datetime) -> None:
    why_not = send_time_refusal(row, send_by, now)
    if why_not:
        last = instant_text(min(send_by, row.not_after))
        raise GateClosed(f"{why_not}: {named(row)} was to be sent before {last}")


def _looked_for(conn: sa.Connection, intent_id: IntentId, epoch: int) -> JournalIntent:
    row = required(conn, intent_id)
    if row.epoch != epoch:
        raise StaleVersion(f"{named(row)}: expected epoch {epoch}, found {row.epoch}: taken over since")
    if row.state is not IntentState.UNKNOWN:
        raise IllegalTransition(f"{named(row)}: only an unknown intent is looked for")
    return row


def _left_of(row: JournalIntent) -> JournalIntent:
    """Return an intent as a review sees it: what is left of it is what would be sent."""
    return replace(row, quantity=row.quantity - row.filled_quantity)


def _is_absence_told_more(conn: sa.Connection, row: JournalIntent, order: JournalOrder) -> bool:
    """Say whether one more absence proves more than is stored: not every look of every minute is kept."""
    last = last_absent_at(conn, row)
    return last is None or bool(
        conclusion_refusal(order, last_absent_at=last, settle_time_s=SETTLE_TIME_S_MAX, is_death_proven=False)
    )


def _check_absent(row: JournalIntent, order: JournalOrder) -> None:
    why_not = absence_refusal(order)
    if why_not:
        raise IllegalTransition(f"{named(row)}: {why_not}")


def _check_equal(row: JournalIntent, known: JournalOrder, order: BrokerOrder) -> None:
    found = differences(known.request, order)
    if found:
        raise IllegalTransition(f"{named(row)}: the broker's order differs: {'; '.join(found)}")


def _check_fill(fill: Fill, row: JournalIntent, order: JournalOrder) -> None:
    sent = order.request
    expected = (order.client_order_id, sent.symbol, sent.side, row.intent.session)
    if (fill.client_order_id, fill.symbol, fill.side, fill.session) != expected:
        raise IllegalTransition(f"fill {fill.execution_id}: is not of the order of {named(row)}")


def _account_of_incident(conn: sa.Connection, incident_id: int) -> str:
    known = row_of(conn, schema.incidents, incident_id=incident_id)
    if known is None:
        raise UnknownId(f"incident {incident_id}: there is none; `trading incidents` lists them")
    return str(known["account"])


def _cooldown_due(
    conn: sa.Connection,
    known: records.Row | None,
    *,
    account: str,
    lane: str,
    rules: CooldownRules,
    now: datetime,
) -> CooldownDue | None:
    """Return whether an account has to cool down now; what was before its last one began counts no more."""
    after = 0 if known is None else known["changed_seq"]
    failed = asked(conn, "find_failures", account=account, lane=lane, after=after, most=rules.failures_max)
    since = instant_text(now - timedelta(seconds=rules.incidents_window_s))
    incidents = map(records.event_of, asked(conn, "find_recent_incidents", after=after, since=since))
    return cooldown_due(
        [instant_from_text(row["at"]) for row in failed],
        [event.at for event in incidents if event.body["account"] in {account, ""}],
        None if known is None else records.cooldown_of(known),
        rules,
        now=now,
    )


def _asked_of(row: JournalIntent) -> Asked:
    return Asked(
        is_pending=row.state is IntentState.PENDING_APPROVAL,
        state=row.state.value,
        version=row.version,
        payload_hash=row.payload_hash,
        not_after=row.not_after,
        maker=row.actor,
    )


def _check_flatten(control: RunControl) -> None:
    after = control_transition(state_of(control), RunControlAction.FLATTEN)
    if isinstance(after, Refusal):
        raise GateClosed(f"flatten: {after.code}: {after.message}")


def _is_late(row: JournalIntent, before: Any, said: Said, answer: IntentState) -> bool:
    """Say whether an answer lost to another one that was given to the same version of its intent."""
    is_same = (before["actor"], before.get("answer", IntentState.APPROVED.value)) == (
        said.actor,
        answer.value,
    )
    return before["intent_id"] == row.intent_id and said.version != row.version and not is_same


def _check_person(actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip():
        raise BadInput(
            f"actor {actor!r}, reason {reason!r}: both are needed, so that people can ask who and why"
        )


def _switches(control: RunControl) -> dict[str, bool]:
    return {"kill_switch_on": control.kill_switch_on, "paused": control.paused}
