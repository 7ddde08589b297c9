"""Fills of a working order, each once, and those that the broker takes back.

How an order ends is outcomes.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.drafts import draft_of
from resources.journal.findings import Findings
from resources.journal.order_rows import put_order, reopen, shrink
from resources.journal.queries import named, next_number, required, required_order
from resources.journal.statements import insert, row_of
from resources.journal.steps import Steps
from trading.audit import instant_text
from trading.errors import BadInput, IllegalTransition, StaleVersion, UnknownId
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import IntentState, Stage, Step
from trading.orders import Fill, OrderStatus
from trading.values import IntentId


class Fills(Steps, Findings):
    """Keep what was traded."""

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
            self._move(
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
            put_order(conn, order, status=status.value, filled_quantity=filled)
            shrink(conn, order, filled=fill.quantity)
            return True

    def record_bust(self, *, execution_id: str, takes_back: str, intent_id: IntentId, now: datetime) -> bool:
        """Store that the broker takes a booked execution back, as a row of its own.

        Of an order that is open its shares are open again, and so is what they were promised.
        """
        table = schema.busts
        if not execution_id:
            raise BadInput(f"bust of {takes_back}: has no execution id")
        with self._writing() as conn:
            row = required(conn, intent_id)
            booked = row_of(conn, schema.fills, execution_id=takes_back, intent_id=intent_id)
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
            body: dict[str, Any] = {"execution_id": execution_id, "takes_back": takes_back}
            order = required_order(conn, row)
            if row.state.is_open and order.client_order_id == booked["client_order_id"]:
                body |= reopen(conn, order, records.fill_of(booked))
            self._append(conn, now, draft_of(row, "bust", body=body))
            self._find(
                conn,
                kind="bust",
                account=row.account,
                symbol=booked["symbol"],
                intent_id=intent_id,
                detail=f"{execution_id} takes back {takes_back}",
                is_standing=False,
                now=now,
            )
            return True


def _check_fill(fill: Fill, row: JournalIntent, order: JournalOrder) -> None:
    sent = order.request
    expected = (order.client_order_id, sent.symbol, sent.side, row.intent.session)
    if (fill.client_order_id, fill.symbol, fill.side, fill.session) != expected:
        raise IllegalTransition(f"fill {fill.execution_id}: is not of the order of {named(row)}")
