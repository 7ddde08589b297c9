"""What came of a send: acknowledged, refused, unknown, looked for, found, parked, cancelled, ended.

Not here: what was traded (fills.py), and what is sent again (preparations.py).
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.arguments import check_person
from resources.journal.drafts import draft_of
from resources.journal.findings import Findings
from resources.journal.order_rows import check_equal, free, put_order
from resources.journal.queries import last_absent_at, named, net_filled, required, required_order
from resources.journal.steps import Steps, judge
from trading.audit import instant_text
from trading.brokers import SETTLE_TIME_S_MAX
from trading.errors import BadInput, IllegalTransition, StaleVersion
from trading.journal import CancelKind, JournalIntent, JournalOrder
from trading.lifecycle import IntentState, Step
from trading.orders import BrokerOrder, OrderStatus
from trading.protocol import cancel_refusal, conclusion_refusal, ending_of
from trading.values import IntentId


class Outcomes(Steps, Findings):
    """Keep what the broker says of an order, and what its silence was taken for."""

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
            judge(row, (Step.REFUSED_BY_BROKER, to), epoch=epoch)
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
            put_order(conn, order, status=OrderStatus.REJECTED.value, reason=reason)
            free(conn, order)
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
                put_order(conn, order, status=OrderStatus.UNKNOWN.value, reason=reason)
            return moved

    def record_absence(self, intent_id: IntentId, *, epoch: int, now: datetime) -> JournalOrder:
        """Store that the broker did not know the order of an unknown intent."""
        with self._writing() as conn:
            row = _looked_for(conn, intent_id, epoch)
            order = required_order(conn, row)
            if not _is_absence_told_more(conn, row, order):
                return order
            put_order(
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
            put_order(conn, order, broker_order_id=broker_order_id, absences=0, first_absent_at=None)
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
            judge(row, (Step.PROVEN_ABSENT, to), epoch=epoch)
            order = required_order(conn, row)
            if is_on_word:
                check_person(actor, reason)
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
                body={
                    "client_order_id": order.client_order_id,
                    "absences": order.absences,
                    "is_on_word": is_on_word,
                    "settle_time_s": settle_time_s,
                    "is_death_proven": is_death_proven,
                },
                now=now,
            )
            if order.status != OrderStatus.FILLED:
                put_order(conn, order, status=OrderStatus.REJECTED.value, reason="proven_absent")
            free(conn, order)
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

    def ask_cancel(
        self, intent_id: IntentId, *, epoch: int, kind: CancelKind, actor: str, reason: str, now: datetime
    ) -> JournalIntent:
        """Store that a working order is about to be cancelled (17)."""
        check_person(actor, reason)
        if kind is CancelKind.NONE:
            raise BadInput("cancel: names its kind: cancel, expiry or replace")
        with self._writing() as conn:
            row = required(conn, intent_id)
            judge(row, (Step.CANCEL_ASKED, IntentState.EXECUTING), epoch=epoch)
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
            put_order(conn, order, cancel_asked_at=instant_text(now), cancel_kind=kind.value)
            return moved

    def close_working(
        self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        """End a working intent whose order is terminal at the broker (15)."""
        return self._end(intent_id, Step.CLOSED, epoch, order, now)

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
            judge(row, step, epoch=epoch)
            known = required_order(conn, row)
            check_equal(row, known, order)
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
                put_order(conn, known, status=status.value, broker_order_id=order.broker_order_id, reason="")
            return moved

    def _end(
        self, intent_id: IntentId, step: Step, epoch: int, order: BrokerOrder, now: datetime
    ) -> JournalIntent:
        with self._writing() as conn:
            row = required(conn, intent_id)
            known = required_order(conn, row)
            check_equal(row, known, order)
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
                put_order(
                    conn,
                    known,
                    status=order.status.value,
                    broker_order_id=order.broker_order_id,
                    reason=order.reason,
                )
            free(conn, known)
            return moved


def _looked_for(conn: sa.Connection, intent_id: IntentId, epoch: int) -> JournalIntent:
    row = required(conn, intent_id)
    if row.epoch != epoch:
        raise StaleVersion(f"{named(row)}: expected epoch {epoch}, found {row.epoch}: taken over since")
    if row.state is not IntentState.UNKNOWN:
        raise IllegalTransition(f"{named(row)}: only an unknown intent is looked for")
    return row


def _is_absence_told_more(conn: sa.Connection, row: JournalIntent, order: JournalOrder) -> bool:
    """Say whether one more absence proves more than is stored: not every look of every minute is kept."""
    last = last_absent_at(conn, row)
    return last is None or bool(
        conclusion_refusal(order, last_absent_at=last, settle_time_s=SETTLE_TIME_S_MAX, is_death_proven=False)
    )
