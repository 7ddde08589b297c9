"""What a halt does at a broker: every open order of ours is cancelled, whoever sent it, whenever it arrives.

The kill switch is on before any of this begins (control.py), so that nothing new goes out meanwhile. It needs
a capability that can cancel and look and nothing else. An order that its executor had on the way is seen in
a later round, and cancelled by that executor as well (reconciliation.py). Booking what was filled is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from trading.errors import IllegalTransition, StaleVersion, TradingError
from trading.intents import CLIENT_ORDER_ID_PREFIX
from trading.journal import CancelKind, Journal, JournalIntent
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder
from trading.protocol import cancel_refusal
from trading.values import ClientOrderId, Slot

PROBLEMS_TOLD = 3
"""How many problems of one look are told in words."""

AWAY = frozenset({"connect", "time_out", "reset", "half_reply"})
"""The first words of an error by which a broker is not there: its other orders are not asked for in turn."""


class Canceller(Protocol):
    """Cancel orders and look at them; it has nothing that could send one."""

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for a cancel; asking again changes nothing. Raises `BrokerUnavailable`."""
        ...

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`; raises `BrokerUnavailable`."""
        ...

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return every order that is open, and those of sessions from `since` on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRound:
    """Hold one look at an account: what a cancel was asked for, and what may still be open.

    `still_open` are also those for which no cancel could be asked. `on_the_way` are intents whose order an
    executor may be about to send; `problem` says what the broker could not be asked and why, empty where it
    was asked for everything.
    """

    asked: tuple[ClientOrderId, ...] = ()
    still_open: tuple[ClientOrderId, ...] = ()
    on_the_way: int = 0
    problem: str = ""

    @property
    def is_done(self) -> bool:
        """Say whether nothing of ours is open or on its way any more."""
        return not (self.still_open or self.on_the_way or self.problem)


def cancel_open_orders(
    journal: Journal,
    canceller: Canceller,
    *,
    account: str,
    lane: str,
    since: date,
    actor: str,
    reason: str,
    now: datetime,
    asked_before: Collection[ClientOrderId] = (),
    is_over: Callable[[], bool] = lambda: False,
) -> CancelRound:
    """Ask once for the cancel of every open order of an account, flattens left alone; send nothing.

    A working order's cancel is written down first, with who and why. One that the journal only knows as
    prepared or unknown is cancelled too, if it arrived: the halt is what is on record of it. One list, one
    cancel for each order that is not among `asked_before`, and one list again: a broker allows so many
    questions a minute, and a halt's have to be enough. Once the time `is_over` nothing more is asked, and
    what was left is told.
    """
    rows = {row.intent_id: row for row in journal.open_intents(account=account, lane=lane)}
    wanted = {row.intent_id: row for row in rows.values() if row.intent.slot is not Slot.FLATTEN}
    for row in wanted.values():
        _record(journal, row, actor=actor, reason=reason, now=now)
    listed, problem = _to_cancel(journal, canceller, wanted.values(), since=since, now=now)
    listed = _without_flattens(journal, listed, account=account, lane=lane)
    asking = _Asking(canceller, adapters=_adapters_of(journal, listed) if problem else {}, is_over=is_over)
    for client_order_id in listed:
        if client_order_id not in asked_before:
            asking.cancel(client_order_id, now=now)
    if problem:
        left = tuple(each for each in listed if asking.is_open(each, now=now))
    elif listed:
        after, problem = _to_cancel(journal, canceller, wanted.values(), since=since, now=now)
        left = tuple(_without_flattens(journal, after, account=account, lane=lane))
    else:
        left = ()
    told = [text for text in (problem, *asking.failed.values()) if text]
    return CancelRound(
        asked=tuple(asking.asked),
        still_open=tuple(dict.fromkeys((*left, *asking.failed))),
        on_the_way=_on_the_way(wanted.values()),
        problem="; ".join(told[:PROBLEMS_TOLD]) + (" and more" if len(told) > PROBLEMS_TOLD else ""),
    )


def may_be_open(journal: Journal, *, account: str, lane: str) -> int:
    """Count the intents of an account that may have an order at a broker, by what the journal knows."""
    rows = journal.open_intents(account=account, lane=lane)
    return _on_the_way(rows) + sum(1 for row in rows if row.stage in {Stage.WORKING, Stage.PARKED})


def _record(journal: Journal, row: JournalIntent, *, actor: str, reason: str, now: datetime) -> None:
    """Write down that a working order is to be cancelled; what moved meanwhile is seen in the next round."""
    order = journal.order_of(row.intent_id)
    if (
        row.stage is not Stage.WORKING
        or order is None
        or cancel_refusal(order.cancel_kind, CancelKind.CANCEL)
    ):
        return
    try:
        journal.ask_cancel(
            row.intent_id, epoch=row.epoch, kind=CancelKind.CANCEL, actor=actor, reason=reason, now=now
        )
    except (IllegalTransition, StaleVersion):
        return


def _to_cancel(
    journal: Journal, canceller: Canceller, rows: Iterable[JournalIntent], *, since: date, now: datetime
) -> tuple[list[ClientOrderId], str]:
    """Return the ids of ours that are open at the broker, and why it does not list them, empty where it does.

    Then they are those that the journal knows of: where one of several adapters is away, the orders at the
    others are cancelled all the same.
    """
    try:
        listed = canceller.orders(since=since, now=now)
    except TradingError as error:
        orders = [journal.order_of(row.intent_id) for row in rows]
        return [order.client_order_id for order in orders if order is not None], str(error)
    return [
        order.client_order_id
        for order in listed
        if not order.status.is_terminal and order.client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
    ], ""


def _without_flattens(
    journal: Journal, listed: Sequence[ClientOrderId], *, account: str, lane: str
) -> list[ClientOrderId]:
    """Return what is left of a list without a flatten's orders and those of another account."""
    known = {order.client_order_id: order.intent_id for order in journal.orders_by_id(listed)}
    intents = {row.intent_id: row for row in journal.intents_by_id(list(known.values()))}
    kept = {
        client_order_id
        for client_order_id, intent_id in known.items()
        if (row := intents.get(intent_id)) is not None
        and (row.intent.slot is Slot.FLATTEN or (row.account, row.lane) != (account, lane))
    }
    return [client_order_id for client_order_id in listed if client_order_id not in kept]


def _adapters_of(journal: Journal, listed: Sequence[ClientOrderId]) -> dict[ClientOrderId, str]:
    return {order.client_order_id: order.route.actual for order in journal.orders_by_id(listed)}


@dataclass(slots=True)
class _Asking:
    """Ask for cancels one by one; one that cannot be cancelled keeps no other one alive.

    `adapters` says where orders are, as far as it is known: one that is not there is asked once, and not for
    each of its orders, so that those at the others are reached in time. `failed` says what was not asked,
    and why.
    """

    canceller: Canceller
    adapters: Mapping[ClientOrderId, str]
    is_over: Callable[[], bool]
    asked: list[ClientOrderId] = field(default_factory=list)
    failed: dict[ClientOrderId, str] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for one cancel, and keep whether it was asked for."""
        if why := self._why_not_asked(client_order_id):
            self.failed[client_order_id] = f"{client_order_id}: {why}"
            return
        try:
            self.canceller.cancel(client_order_id, now=now)
            self.asked.append(client_order_id)
        except TradingError as error:
            self._fail(client_order_id, error)

    def is_open(self, client_order_id: ClientOrderId, *, now: datetime) -> bool:
        """Say whether an order that a cancel was asked for is open all the same, or cannot be seen."""
        if client_order_id in self.failed:
            return True
        if why := self._why_not_asked(client_order_id):
            self.failed[client_order_id] = f"{client_order_id}: its cancel was asked for, and {why}"
            return True
        try:
            found = self.canceller.order_by_client_order_id(client_order_id, now=now)
        except TradingError as error:
            self._fail(client_order_id, error)
            return True
        return found is not None and not found.status.is_terminal

    def _why_not_asked(self, client_order_id: ClientOrderId) -> str:
        """Return why nobody is asked about an order any more in this look, empty where its broker is."""
        adapter = self.adapters.get(client_order_id, "")
        if adapter in self.away:
            return f"{adapter} does not answer"
        return "the time was over before it was asked about" if self.is_over() else ""

    def _fail(self, client_order_id: ClientOrderId, error: TradingError) -> None:
        self.failed[client_order_id] = f"{client_order_id}: {error}"
        if (adapter := self.adapters.get(client_order_id)) and str(error).partition(":")[0] in AWAY:
            self.away.add(adapter)


def _on_the_way(rows: Iterable[JournalIntent]) -> int:
    """Count intents whose order may still arrive: prepared, or sent with an outcome that nobody knows."""
    return sum(
        1
        for row in rows
        if row.stage is Stage.PREPARED or (row.state is IntentState.UNKNOWN and row.stage is Stage.NONE)
    )
