"""Have the brokers over a network asked what they have: start the process that may, and read what it tells.

Imports nothing of a broker, and never sees a key; the process is ask_process.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple, Self

from console.desk import Desk
from resources.settings import PREFIX, given_variables
from trading.audit import instant_from_text, instant_text
from trading.brokers import BrokerDump, BrokerFill, Holdings, OrderTerms
from trading.orders import BrokerOrder, OrderStatus
from trading.routing import EMBEDDED_PAPER
from trading.values import ClientOrderId, Side, Symbol

WAIT_S_MAX = 120.0
"""How long the brokers are waited for: lists of years come in pages, at the rate that a broker allows."""

NOT_SAID = "the process that asks did not say what it heard"

KEYS = (f"{PREFIX}BROKER_APP_KEY", f"{PREFIX}BROKER_APP_SECRET")


class Wanted(NamedTuple):
    """Name what is asked: an account at an adapter, from the first session of which an order went there."""

    account: str
    adapter: str
    since: date

    @property
    def text(self) -> str:
        """Return it as one argument; an account's and an adapter's name have no `=` in them."""
        return f"{self.account}={self.adapter}={self.since}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what an argument says; raises `ValueError` for another one."""
        account, adapter, since = text.rsplit("=", 2)
        return cls(account, adapter, date.fromisoformat(since))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Hold what one adapter has of one account at an instant, or the problem why it could not be asked.

    `opening_micros` is the cash (micro-units) that the account was opened with there, `deposit_micros` what
    its book was opened with. Of an adapter that no order went to by the journal there are no `holdings`:
    whatever is there is no part of a book.
    """

    account: str
    adapter: str
    problem: str = ""
    dump: BrokerDump | None = None
    holdings: Holdings | None = None
    opening_micros: int = 0
    deposit_micros: int = 0
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Hold what each adapter told, and where a broker's key stands (`None`: there was no key to look for).

    `problem` says why the process that asks told nothing at all, empty where it did.
    """

    told: tuple[Told, ...] = ()
    shown: tuple[str, ...] | None = None
    problem: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Return which adapter could not be asked for which account, and why."""
        single = tuple(f"{one.adapter} of {one.account}: {one.problem}" for one in self.told if one.problem)
        return (self.problem, *single) if self.problem else single


def routes_used(desk: Desk) -> tuple[Wanted, ...]:
    """Return what is at brokers over a network, by the journal; an order goes nowhere that is not there."""
    rows = desk.journal.answers(("find_routes_used",))["find_routes_used"]
    return tuple(
        Wanted(row["account"], row["actual_adapter"], date.fromisoformat(row["since"]))
        for row in rows
        if row["lane"] == desk.lane and row["actual_adapter"] not in {"", EMBEDDED_PAPER}
    )


def ask_apart(wanted: Sequence[Wanted], *, routed: Sequence[str] = ()) -> Answers:
    """Return what the adapters tell; each that could not be asked says so itself, and none is left out.

    `routed` are books whose routes may name an adapter that the journal has no order at: it is asked as
    well. Without an adapter to ask and without a key to look for no process is started.
    """
    if not wanted and not routed and not set(KEYS) & set(given_variables()):
        return Answers()
    answer = answer_apart(
        [*(f"--ask={one.text}" for one in wanted), *(f"--also-of={book}" for book in routed)]
    )
    if isinstance(answer, str):
        return Answers(problem=answer)
    try:
        shown = answer["shown"]
        told = tuple(_told(row) for row in answer["told"])
    except (ValueError, KeyError, TypeError):
        return Answers(problem=NOT_SAID)
    return Answers(told=told, shown=None if shown is None else tuple(shown))


def answer_apart(arguments: Sequence[str]) -> dict[str, Any] | str:
    """Return what the process that may hold keys answered, or why it did not."""
    words = [sys.executable, "-m", "console.ask_process", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own command; what it is given are arguments, never a shell's
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=WAIT_S_MAX
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {WAIT_S_MAX:.0f} s"
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else NOT_SAID


# -------------------------------------------------------------------------------- between the processes


def told_as_json(told: Told) -> dict[str, object]:
    """Return what was told of one adapter, as plain JSON values."""
    held, dump, asked_at = told.holdings, told.dump, told.asked_at
    return {
        "account": told.account,
        "adapter": told.adapter,
        "problem": told.problem,
        "opening_micros": told.opening_micros,
        "deposit_micros": told.deposit_micros,
        "asked_at": None if asked_at is None else instant_text(asked_at),
        "holdings": None
        if held is None
        else {"cash_micros": held.cash_micros, "quantities": dict(held.quantities)},
        "dump": None
        if dump is None
        else {
            "is_live": dump.is_live,
            "orders": [_order_fields(order) for order in dump.orders],
            "fills": [[*fill[:5], instant_text(fill.filled_at), fill.takes_back] for fill in dump.fills],
            "terms": [list(terms) for terms in dump.terms],
        },
    }


def _order_fields(order: BrokerOrder) -> list[object]:
    return [
        order.broker_order_id,
        order.client_order_id,
        order.symbol,
        order.side.value,
        order.quantity,
        order.filled_quantity,
        order.status.value,
        order.reason,
    ]


def _told(row: Mapping[str, Any]) -> Told:
    """Return what the process told of one adapter; raises `KeyError`, `TypeError` or `ValueError`."""
    held, asked_at = row["holdings"], row["asked_at"]
    return Told(
        account=row["account"],
        adapter=row["adapter"],
        problem=row["problem"],
        dump=None if row["dump"] is None else _dump(row["account"], row["dump"]),
        holdings=None
        if held is None
        else Holdings(
            quantities={Symbol(symbol): count for symbol, count in held["quantities"].items()},
            cash_micros=held["cash_micros"],
        ),
        opening_micros=row["opening_micros"],
        deposit_micros=row["deposit_micros"],
        asked_at=None if asked_at is None else instant_from_text(asked_at),
    )


def _dump(account: str, row: Mapping[str, Any]) -> BrokerDump:
    return BrokerDump(
        account=account,
        is_live=row["is_live"],
        orders=tuple(_order(fields) for fields in row["orders"]),
        fills=tuple(
            BrokerFill(
                name, ClientOrderId(of), quantity, price, commission, instant_from_text(at), takes_back
            )
            for name, of, quantity, price, commission, at, takes_back in row["fills"]
        ),
        terms=tuple(
            OrderTerms(ClientOrderId(of), sha, broker_order_id) for of, sha, broker_order_id in row["terms"]
        ),
    )


def _order(fields: Sequence[Any]) -> BrokerOrder:
    broker_order_id, client_order_id, symbol, side, quantity, filled, status, reason = fields
    return BrokerOrder(
        broker_order_id=broker_order_id,
        client_order_id=ClientOrderId(client_order_id),
        symbol=Symbol(symbol),
        side=Side(side),
        quantity=quantity,
        filled_quantity=filled,
        status=OrderStatus(status),
        reason=reason,
    )
