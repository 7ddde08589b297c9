"""What speaks against ending a parked intent by a person's word, and which command asks the broker again.

Asked before a person is asked, and told of what is stuck. Ending it is actions.py; the journal judges the
same once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.desk import Desk
from resources.settings import Profile
from trading.brokers import SETTLE_TIME_S_MAX
from trading.errors import Refused
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import Stage
from trading.protocol import absence_refusal, conclusion_refusal

ABSENT_AT_BROKER = "absent_at_broker"
"""The event of a look in which the broker did not know the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """Hold why a parked intent cannot be ended yet, the command that helps, and what that does."""

    why: str
    again: str
    does: str

    @property
    def told(self) -> str:
        """Return it in one line."""
        return f"{self.why}; `{self.again}` {self.does}"


def not_yet(desk: Desk, row: JournalIntent, order: JournalOrder | None) -> NotYet | None:
    """Return what keeps a parked intent from being ended as absent, `None` where nothing does."""
    if row.stage is not Stage.PARKED or order is None:
        return None
    book, session = row.intent.book, row.intent.session
    ask = f"trading reconcile --book {book}"
    if why := absence_refusal(order):
        if order.broker_order_id:
            conclude = f"trading intents conclude {row.intent_id} --absent --on-my-word --reason TEXT"
            return NotYet(why=why, again=conclude, does="ends it, once the broker itself has told you so")
        return NotYet(why=why, again=ask, does="asks the broker once more each time")
    looks = [one.at for one in desk.journal.events_of(row.intent_id) if one.kind == ABSENT_AT_BROKER]
    why = conclusion_refusal(
        order,
        last_absent_at=looks[-1] if looks else order.prepared_at,
        settle_time_s=SETTLE_TIME_S_MAX,
        is_death_proven=False,
    )
    if not why:
        return None
    if desk.settings.profile is Profile.SIMULATED:
        run = f"trading run-once --book {book} --session {session}"
        return NotYet(
            why=why,
            again=run,
            does="does so: on a simulated day it looks at the open, and again after the close",
        )
    return NotYet(why=why, again=ask, does="asks the broker")


def require_conclusive(desk: Desk, row: JournalIntent, *, is_on_word: bool) -> None:
    """Raise `Refused` where an intent is not parked, or where its absence is not proven yet.

    `is_on_word` takes a person's word for the absence.
    """
    if row.stage is not Stage.PARKED:
        raise Refused(
            f"{row.intent_id} {row.intent.symbol}: is {row.state}, not parked: only a parked intent is ended"
            " by hand"
        )
    if is_on_word:
        return
    orders = desk.journal.orders(book=row.intent.book, lane=desk.lane, session=row.intent.session)
    own = [one for one in orders if one.intent_id == row.intent_id]
    found = not_yet(desk, row, max(own, key=lambda one: one.generation, default=None))
    if found is not None:
        raise Refused(f"{row.intent_id} {row.intent.symbol}: {found.told}")
