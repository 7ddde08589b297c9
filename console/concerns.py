"""What else concerns an intent: halts in force, findings, replacements, executions that were undone.

What the guards said of it is explain.py, its whole way order_trace.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.desk import Desk
from trading.findings import FindingShown, remedy_of
from trading.journal import Halt, JournalIntent, JournalOrder
from trading.lifecycle import Step

ABSENT = "absent at the broker"
"""The status of an order that was proven, or said, never to have reached the broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """Hold one generation of an intent's order, and what its cancel was asked for (empty: never asked)."""

    generation: int
    client_order_id: str
    quantity: int
    filled_quantity: int
    status: str
    cancel_asked_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concerns:
    """Hold what concerns an intent beside its own state; `generations` is empty unless it was replaced.

    `taken_back` are the executions that the broker busted.
    """

    halts: tuple[Halt, ...]
    findings: tuple[FindingShown, ...]
    generations: tuple[Replaced, ...]
    taken_back: tuple[str, ...]


def concerns_of(desk: Desk, intent: JournalIntent) -> Concerns:
    """Return what concerns an intent."""
    orders = sorted(
        (
            order
            for order in desk.journal.orders(
                book=intent.intent.book, lane=intent.lane, session=intent.intent.session
            )
            if order.intent_id == intent.intent_id
        ),
        key=lambda order: order.generation,
    )
    return Concerns(
        halts=tuple(
            halt
            for halt in desk.journal.halts()
            if halt.account == intent.account and halt.symbol in {"", intent.intent.symbol}
        ),
        findings=tuple(
            FindingShown(row.kind, row.intent_id, row.detail, remedy_of(row.kind))
            for row in desk.journal.incidents()
            if row.intent_id == intent.intent_id
        ),
        generations=tuple(_replaced(order, intent) for order in orders) if len(orders) > 1 else (),
        taken_back=tuple(
            str(event.body["takes_back"])
            for event in desk.journal.events_of(intent.intent_id)
            if event.kind == "bust"
        ),
    )


def order_status(order: JournalOrder, intent: JournalIntent) -> str:
    """Return an order's status; one that the broker never had is absent there, not rejected by it."""
    is_absent = bool(order.absences) or order.reason == Step.PROVEN_ABSENT
    if is_absent and not order.broker_order_id and not intent.state.is_open:
        return ABSENT
    return order.status


def _replaced(order: JournalOrder, intent: JournalIntent) -> Replaced:
    return Replaced(
        generation=order.generation,
        client_order_id=order.client_order_id,
        quantity=order.request.quantity,
        filled_quantity=order.filled_quantity,
        status=order_status(order, intent),
        cancel_asked_for=order.cancel_kind.value,
    )
