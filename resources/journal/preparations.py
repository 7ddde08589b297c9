"""What comes before a send: executors' terms, claims, and the order's row, durable before the order goes out.

Each preparation asks the gate and the guards in the transaction that reserves the money. Not here: what came
of a send (outcomes.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.arguments import check_review
from resources.journal.drafts import Draft
from resources.journal.findings import Findings
from resources.journal.order_rows import check_equal, free, put_order
from resources.journal.queries import (
    cooldown_in_force,
    executor_term,
    funds_view,
    halts_in_force,
    named,
    net_filled,
    of_intent,
    required,
    required_order,
    run_control_in_force,
    session_fills,
)
from resources.journal.statements import insert, update
from resources.journal.steps import Steps, judge
from trading.audit import instant_text
from trading.brokers import request_payload
from trading.decisions import sent_payload_hash
from trading.errors import BadInput, GateClosed, IllegalTransition, StaleVersion
from trading.guards import PASS, REASONS, Why, first_reason, review_refusal
from trading.journal import (
    PREPARED,
    CancelKind,
    Cooldown,
    FundsView,
    JournalIntent,
    JournalOrder,
    Preparation,
    Review,
    RunControl,
)
from trading.lifecycle import IntentState, Step
from trading.orders import BrokerOrder, shares_by_intent
from trading.positions import Book
from trading.protocol import (
    absence_refusal,
    gate_refusal,
    is_temporary,
    replacement_refusal,
    request_of,
    reservation_micros,
    send_time_refusal,
    term_refusal,
)
from trading.routing import UNRECORDED, RouteChoice
from trading.values import IntentId, canonical_json, digest, digest_of_text

PAYLOAD_MISMATCH = "payload_mismatch"
"""Why an intent ends whose stored row is not what its hash was taken over."""


class Preparations(Steps, Findings):
    """Keep who executes, what they hold, and what they are about to send."""

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
                conn,
                row,
                (Step.CLAIMED, IntentState.EXECUTING),
                version=version,
                actor=holder,
                body={"term": term},
                now=now,
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
            judge(row, (Step.PREPARED, IntentState.EXECUTING), epoch=epoch)
            found = sent_payload_hash(row.intent, quantity=row.quantity)
            if found != row.payload_hash:
                return self._refuse_payload(conn, row, found, epoch=epoch, now=now)
            funds = funds_view(conn, row, book_at_open, run_control=control, cooldown=cooldown, now=now)
            whys, reason = _reviewed(row, funds, review)
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
                term=term,
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
            judge(row, (Step.PREPARED_AGAIN, IntentState.EXECUTING), epoch=epoch)
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
            whys, reason = _reviewed(_left_of(row), funds, review)
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
                    "term": term,
                    # At the price of now: what the first attempt was promised may be too little by now.
                    "reserved_micros": micros,
                    "send_by": instant_text(send_by),
                    "whys": [list(why) for why in whys],
                },
                now=now,
            )
            put_order(
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
            judge(row, (Step.REPLACED, IntentState.EXECUTING), epoch=epoch)
            check_equal(row, order, ended)
            found = sent_payload_hash(row.intent, quantity=row.quantity)
            if found != row.payload_hash:
                self._halt_for_payload(conn, row, found, now=now)
                return Preparation(row, None, (), PAYLOAD_MISMATCH)
            why_not = replacement_refusal(
                row,
                order,
                ended,
                booked=net_filled(conn, order.client_order_id),
                kept=shares_by_intent(session_fills(conn, of_intent(row)))[intent_id],
            )
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
            whys, reason = _reviewed(_left_of(row), funds, review)
            if reason != REASONS[PASS]:
                return Preparation(row, None, whys, reason)
            put_order(
                conn,
                order,
                status=ended.status.value,
                broker_order_id=ended.broker_order_id,
                reason=ended.reason,
            )
            free(conn, order)
            return self._put_prepared(
                conn,
                row,
                Step.REPLACED,
                epoch=epoch,
                term=term,
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

    def _held(
        self, intent_id: IntentId, step: tuple[Step, IntentState], epoch: int, *, reason: str, now: datetime
    ) -> JournalIntent:
        with self._writing() as conn:
            return self._move(conn, required(conn, intent_id), step, epoch=epoch, reason=reason, now=now)

    def _put_prepared(
        self,
        conn: sa.Connection,
        row: JournalIntent,
        step: Step,
        *,
        epoch: int,
        term: int,
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
            "term": term,
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


def _check_absent(row: JournalIntent, order: JournalOrder) -> None:
    why_not = absence_refusal(order)
    if why_not:
        raise IllegalTransition(f"{named(row)}: {why_not}")


def _reviewed(row: JournalIntent, funds: FundsView, review: Review) -> tuple[tuple[Why, ...], str]:
    """Return what each guard says, and the first reason; raises `BadInput` on what is no whole review."""
    whys = review(row, funds)
    check_review(whys)
    if why_not := review_refusal(whys):
        raise BadInput(f"{named(row)}: is not prepared: {why_not}")
    return whys, first_reason(whys)


def _left_of(row: JournalIntent) -> JournalIntent:
    """Return an intent as a review sees it: what is left of it is what would be sent."""
    return replace(row, quantity=row.quantity - row.filled_quantity)
