"""How a simulated broker misbehaves: what it forgets, what becomes of a send, what it says of an order.

A broker that is always kind hides bugs. Every choice is a pure function of the seed, of what it is about
and of how often that was tried, so that a run can be repeated. Who acts on it is resources/paper_broker/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from trading.brokers import SETTLE_TIME_S_MAX, BrokerFill, Capabilities, DedupScope
from trading.errors import BadInput
from trading.guards import BPS
from trading.intents import hashed
from trading.values import ClientOrderId

DRAW_DIGITS = 12
"""Hex digits of a hash that one draw is made of: 48 bits, so that the rest of a division does not matter."""


class SendFault(StrEnum):
    """Say what becomes of one send that does not simply get its answer."""

    SLOW = "slow"
    """Accepted at once, answered after `slow_s`."""
    LATE = "late"
    """Lost on the way back, and accepted only `late_s` afterwards: until then no query finds it."""
    RESET_BEFORE = "reset_before"
    """The connection breaks; nothing was accepted."""
    RESET_AFTER = "reset_after"
    """The connection breaks after the order was accepted."""
    RATE_LIMITED = "rate_limited"
    """Answered with 429; nothing was accepted."""
    FAILED_BEFORE = "failed_before"
    """Answered with 500; nothing was accepted."""
    FAILED_AFTER = "failed_after"
    """Answered with 503 after the order was accepted."""
    HALF_REPLY = "half_reply"
    """Accepted, and the answer breaks off."""
    REFUSED = "refused"
    """Refused definitively, as for want of money."""
    OTHER_QUANTITY = "other_quantity"
    """Accepted with one share more than was asked for."""
    DUPLICATE_ANSWER = "duplicate_answer"
    """Accepted, and answered as if the id had been known."""

    @property
    def is_accepted(self) -> bool:
        """Say whether the broker has taken the order at once."""
        return self not in _NOT_ACCEPTED


_NOT_ACCEPTED = frozenset(
    {
        SendFault.LATE,
        SendFault.RESET_BEFORE,
        SendFault.RATE_LIMITED,
        SendFault.FAILED_BEFORE,
        SendFault.REFUSED,
    }
)


class ReportFault(StrEnum):
    """Say what is wrong with what the broker does or says after a send; each is drawn once for each order.

    The last three are drawn for each question.
    """

    LATE_FILLS = "late_fills"
    """Executions are told `late_s` after they were made; the order tells its quantity at once."""
    REORDERED_FILLS = "reordered_fills"
    """The last execution is told first."""
    REPEATED_FILLS = "repeated_fills"
    """Each execution is told twice."""
    FILLS_WITHOUT_ID = "fills_without_id"
    """Executions have no id."""
    BUST = "bust"
    """The last execution is taken back `late_s` after it was made, and the order's quantity with it."""
    PART_THEN_CANCELLED = "part_then_cancelled"
    """Half of it fills, and the broker cancels the rest."""
    PART_THEN_REJECTED = "part_then_rejected"
    """Half of it fills, and the broker rejects the rest."""
    CANCEL_LOST = "cancel_lost"
    """A cancel never arrives, and is not answered."""
    CANCEL_THEN_FILLED = "cancel_then_filled"
    """A cancel is accepted, and the order lives on."""
    QUERY_LOST = "query_lost"
    """A question is not answered."""
    LIST_CUT = "list_cut"
    """A list breaks off in its middle."""
    QUERY_LIMITED = "query_limited"
    """A question is answered with 429: too many of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Hold how a broker behaves; the default remembers for good and does nothing wrong.

    `scope` is for how long it truly refuses a repeated id, `window_s` how long a window is; `claims` is what
    its capabilities say instead, as a liar's do. `script` is what becomes of the first send under each id,
    the second, and so on (`None`: its answer); later ones are drawn by `sends`, and reports by `reports`,
    both chances in basis points. A fill is told in `executions` executions. `late_s` are the seconds that a
    send, an execution or a bust is late, of a send at most `SETTLE_TIME_S_MAX`.
    """

    seed: int = 0
    scope: DedupScope = DedupScope.ALL_TIME
    window_s: int = 0
    claims: DedupScope | None = None
    script: tuple[SendFault | None, ...] = ()
    sends: Mapping[SendFault, int] = field(default_factory=lambda: MappingProxyType({}))
    reports: Mapping[ReportFault, int] = field(default_factory=lambda: MappingProxyType({}))
    executions: int = 1
    late_s: int = SETTLE_TIME_S_MAX
    slow_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse chances over one, and times and counts that mean nothing."""
        for chance in (*self.sends.values(), *self.reports.values()):
            if not 0 <= chance <= BPS:
                raise BadInput(f"chance {chance}: must be 0 to {BPS} basis points")
        if sum(self.sends.values()) > BPS:
            raise BadInput(f"sends {sum(self.sends.values())}: together at most {BPS} basis points")
        if (self.scope is DedupScope.WINDOW) != (self.window_s > 0):
            raise BadInput(f"window_s {self.window_s}: positive for scope window, 0 for {self.scope}")
        if self.executions < 1 or self.late_s < 1 or self.slow_s < 0:
            raise BadInput(
                f"executions {self.executions}, late_s {self.late_s}, slow_s {self.slow_s}: too small"
            )
        if self.may_send_late and self.late_s > SETTLE_TIME_S_MAX:
            raise BadInput(
                f"late_s {self.late_s}: at most {SETTLE_TIME_S_MAX} where a send may be `{SendFault.LATE}`,"
                " since nobody waits longer for an absent order; set it lower, or take the word out of script"
                " and sends"
            )

    @property
    def may_send_late(self) -> bool:
        """Say whether a send may be accepted only `late_s` after it."""
        return SendFault.LATE in self.script or self.sends.get(SendFault.LATE, 0) > 0

    def capabilities(
        self, *, definitive_errors: frozenset[str], ambiguous_errors: frozenset[str] = frozenset()
    ) -> Capabilities:
        """Return what an adapter of this broker declares; true unless it `claims` otherwise."""
        return Capabilities(
            is_live=False,
            dedup_scope=self.claims or self.scope,
            is_query_authoritative=True,
            settle_time_s=self.late_s if self.may_send_late else 0,
            definitive_errors=definitive_errors,
            ambiguous_errors=ambiguous_errors,
            dedup_window_s=self.window_s if self.claims in {None, DedupScope.WINDOW} else 0,
        )

    def is_remembered(self, *, sent_at: datetime, closes_at: datetime, is_open: bool, now: datetime) -> bool:
        """Say whether an order's id is still refused at `now`; `closes_at` is when its session does."""
        match self.scope:
            case DedupScope.ALL_TIME:
                return True
            case DedupScope.WINDOW:
                return now < sent_at + timedelta(seconds=self.window_s)
            case DedupScope.SESSION:
                return now < closes_at
            case DedupScope.OPEN_ONLY:
                return is_open
            case DedupScope.NONE:
                return False

    def send_fault(self, client_order_id: ClientOrderId, *, attempt: int) -> SendFault | None:
        """Return what becomes of a send; `attempt` counts those under its id from 0."""
        if attempt < len(self.script):
            return self.script[attempt]
        drawn = self._draw("send", client_order_id, str(attempt))
        for fault in sorted(self.sends):
            drawn -= self.sends[fault]
            if drawn < 0:
                return fault
        return None

    def has(self, fault: ReportFault, about: str) -> bool:
        """Say whether an order, by its id, or a question, by its number, meets with a fault."""
        return self._draw(fault, about) < self.reports.get(fault, 0)

    def told(self, fills: Iterable[BrokerFill], *, now: datetime) -> list[BrokerFill]:
        """Return an order's executions as the broker tells them at `now`."""
        told: list[BrokerFill] = []
        for fill in fills:
            about = fill.client_order_id
            is_late = self.has(ReportFault.LATE_FILLS, about)
            if is_late and now < fill.filled_at + timedelta(seconds=self.late_s):
                continue
            shown = self.without_id(fill)
            told += [shown, shown] if self.has(ReportFault.REPEATED_FILLS, about) else [shown]
        if told and self.has(ReportFault.REORDERED_FILLS, told[0].client_order_id):
            told.reverse()
        return told

    def without_id(self, fill: BrokerFill) -> BrokerFill:
        """Return an execution as this broker names it: one that gives no ids gives none here either."""
        is_nameless = self.has(ReportFault.FILLS_WITHOUT_ID, fill.client_order_id)
        return fill._replace(execution_id="") if is_nameless else fill

    def _draw(self, *about: str) -> int:
        return int(hashed(str(self.seed), *about)[:DRAW_DIGITS], 16) % BPS
