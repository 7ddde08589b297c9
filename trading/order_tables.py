"""The tables of execution: what the journal's rows say of each intent of a session, for people and metrics.

The journal is the truth and orders.py the words; here is only the telling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trading.decisions import DecisionRow
from trading.features import rounded
from trading.guards import BPS
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import IntentState, Stage
from trading.orders import ExecutionRow, Fill, OrderStatus, OrderStatusRow
from trading.routing import UNRECORDED, shown_adapter
from trading.values import IntentId, Side, digest

NO_ORDER = "none"


def execution_rows(
    intents: Sequence[JournalIntent],
    orders: Iterable[JournalOrder],
    fills: Iterable[Fill],
    *,
    decisions: Iterable[DecisionRow],
) -> tuple[ExecutionRow, ...]:
    """Return one row an intent, in the order of execution, from its latest order and all its fills.

    It tells what execution made of the decision, not what the settlement made of it later (an approval that
    ran out, the rest of an order cancelled: `order_status_rows`), so that it is the same told after it.
    An order that was prepared before routes were stored says so; which one it took is not guessed.
    """
    latest = _latest(orders)
    filled = _by_intent(fills)
    decided = {row.intent_id: row for row in decisions}
    return tuple(
        _execution_row(
            row,
            latest.get(row.intent_id),
            filled.get(row.intent_id, ()),
            told=_told_of_execution(
                row, latest.get(row.intent_id), filled.get(row.intent_id, ()), decided.get(row.intent_id)
            ),
        )
        for row in intents
    )


def order_status_rows(
    intents: Sequence[JournalIntent], orders: Iterable[JournalOrder], fills: Iterable[Fill]
) -> tuple[OrderStatusRow, ...]:
    """Return one row an intent: where its order stands, and how much of it is filled."""
    latest = _latest(orders)
    filled = _by_intent(fills)
    return tuple(
        _status_row(row, latest.get(row.intent_id), filled.get(row.intent_id, ())) for row in intents
    )


def order_inputs_sha(
    intents: Sequence[JournalIntent], orders: Sequence[JournalOrder], fills: Sequence[Fill]
) -> str:
    """Return the digest of what the rows of a session's orders are made from: the journal as it stands.

    What was decided, sent, answered and filled is in it; by which process, and how often it was tried, is
    not, so that a session that was recovered from a crash is told alike.
    """
    return digest(
        {
            "intents": [
                [row.intent_id, row.payload_hash, row.state.value, row.stage.value, row.reason]
                for row in intents
            ],
            "orders": [
                [order.client_order_id, order.request_sha, order.status, order.filled_quantity]
                for order in orders
            ],
            "fills": [
                [fill.execution_id, fill.quantity, fill.price_micros, fill.commission_micros]
                for fill in fills
            ],
        }
    )


def average_price_micros(fills: Sequence[Fill]) -> int:
    """Return the quantity-weighted price of fills in micro-units (rounded down), 0 without any."""
    quantity = sum(fill.quantity for fill in fills)
    return sum(fill.notional_micros for fill in fills) // quantity if quantity else 0


def slippage_bps(*, side: Side, arrival_micros: int, average_micros: int) -> float:
    """Return the average price against the arrival price in bps, positive where it cost money; 0 unfilled.

    Implementation shortfall per share over arrival price (Perold, 1988), without fees.
    """
    if average_micros == 0 or arrival_micros == 0:
        return 0.0
    sign = 1 if side is Side.BUY else -1
    return rounded(sign * (average_micros - arrival_micros) * BPS / arrival_micros)


def _reason(row: JournalIntent, order: JournalOrder | None) -> str:
    """Return why an intent stands where it does: of an executed one what its order says, empty when whole.

    Which way it came there, at once or found again after a crash, is the journal's to tell, not a table's:
    the same session gives the same rows.
    """
    if order is not None and row.state is IntentState.EXECUTED:
        return order.reason
    return row.reason


def _latest(orders: Iterable[JournalOrder]) -> Mapping[IntentId, JournalOrder]:
    return {order.intent_id: order for order in sorted(orders, key=lambda order: order.generation)}


def _by_intent(fills: Iterable[Fill]) -> Mapping[IntentId, Sequence[Fill]]:
    groups: dict[IntentId, list[Fill]] = {}
    for fill in fills:
        groups.setdefault(fill.intent_id, []).append(fill)
    return groups


def _asked_for(order: JournalOrder | None, fills: Sequence[Fill]) -> int:
    """Return the shares sent for an intent: those of its latest order, and what earlier ones had filled."""
    if order is None:
        return 0
    earlier = sum(fill.quantity for fill in fills if fill.client_order_id != order.client_order_id)
    return order.request.quantity + earlier


class _Told(NamedTuple):
    state: str
    stage: str
    reason: str
    status: str


ENDED_BY_SETTLEMENT = frozenset({IntentState.EXPIRED, IntentState.CANCELLED})
ANSWERED = frozenset(
    {OrderStatus.WORKING, OrderStatus.PARTIAL_FILL, OrderStatus.FILLED, OrderStatus.CANCELLED}
)
"""Statuses of an order that the broker took; how far it got is told by its fills."""


def _told_of_execution(
    row: JournalIntent, order: JournalOrder | None, fills: Sequence[Fill], decided: DecisionRow | None
) -> _Told:
    if order is None:
        if row.state in ENDED_BY_SETTLEMENT and decided is not None:
            return _Told(decided.outcome.value, "", decided.reason, NO_ORDER)
        return _Told(row.state.value, row.stage.value, row.reason, NO_ORDER)
    if order.status not in ANSWERED:
        return _Told(row.state.value, row.stage.value, row.reason, order.status)
    quantity = sum(fill.quantity for fill in fills)
    if quantity == _asked_for(order, fills):
        return _Told(IntentState.EXECUTED.value, "", "", OrderStatus.FILLED.value)
    status = OrderStatus.PARTIAL_FILL if quantity else OrderStatus.WORKING
    return _Told(IntentState.EXECUTING.value, Stage.WORKING.value, "", status.value)


def _execution_row(
    row: JournalIntent, order: JournalOrder | None, fills: Sequence[Fill], *, told: _Told
) -> ExecutionRow:
    average = average_price_micros(fills)
    intent = row.intent
    route = order.route if order else UNRECORDED
    return ExecutionRow(
        session=intent.session,
        symbol=intent.symbol,
        side=intent.side,
        intent_id=row.intent_id,
        state=told.state,
        stage=told.stage,
        reason=told.reason,
        client_order_id=order.client_order_id if order else "",
        broker_order_id=order.broker_order_id if order else "",
        submitted_quantity=_asked_for(order, fills),
        filled_quantity=sum(fill.quantity for fill in fills),
        average_price_micros=average,
        commission_micros=sum(fill.commission_micros for fill in fills),
        arrival_price_micros=intent.price_micros,
        slippage_bps=slippage_bps(
            side=intent.side, arrival_micros=intent.price_micros, average_micros=average
        ),
        status=told.status,
        expected_adapter=shown_adapter(route.expected) if order else "",
        actual_adapter=shown_adapter(route.actual) if order else "",
        fallback_reason=route.fallback_reason,
        fallback_count=route.fallback_count,
    )


def _status_row(row: JournalIntent, order: JournalOrder | None, fills: Sequence[Fill]) -> OrderStatusRow:
    sent = _asked_for(order, fills)
    filled = sum(fill.quantity for fill in fills)
    return OrderStatusRow(
        session=row.intent.session,
        symbol=row.intent.symbol,
        side=row.intent.side,
        intent_id=row.intent_id,
        client_order_id=order.client_order_id if order else "",
        intent_state=row.state.value,
        status=order.status if order else NO_ORDER,
        terminal=not row.state.is_open,
        progress_bps=filled * BPS // sent if sent else 0,
        quantity=sent,
        filled_quantity=filled,
        notional_micros=sum(fill.notional_micros for fill in fills),
        commission_micros=sum(fill.commission_micros for fill in fills),
        complete=row.complete,
        reason=_reason(row, order),
    )
