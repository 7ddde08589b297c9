"""The log of an order's life: one line for each step of an intent, once the journal has stored it.

What a line says is in the journal as well, which proves it; the line has the ids to look there by. Prices and
amounts are not in it. Who calls is resources/journal/transactions.py, for every process that was given a log.
"""

from resources.logs import log_of
from trading.intents import client_order_id_of
from trading.journal import JournalIntent
from trading.lifecycle import Step

OF_AN_ORDER = frozenset(
    {Step.PREPARED, Step.ACKNOWLEDGED, Step.REFUSED_BY_BROKER, Step.OUTCOME_UNKNOWN, Step.TAKEN_OVER}
    | {Step.FOUND, Step.PREPARED_AGAIN, Step.PARKED, Step.PROVEN_ABSENT, Step.CLOSED, Step.FILLED}
    | {Step.CANCEL_ASKED, Step.REPLACED, Step.FOUND_CLOSED}
)
"""Steps of an intent whose order is written down, so that a broker may know it by its client order id."""

GRAVE = frozenset({Step.REFUSED_BY_BROKER, Step.OUTCOME_UNKNOWN, Step.TAKEN_OVER, Step.PARKED})
"""Steps that a person may have to look into."""


def log_step(step: Step, row: JournalIntent, reason: str) -> None:
    """Log a step of an intent under its ids: `order_` and the step for one of an order, else `intent_`."""
    log = log_of("journal")
    is_of_order = step in OF_AN_ORDER
    ids = {"book": row.intent.book, "session": row.intent.session.isoformat(), "intent_id": row.intent_id}
    if is_of_order:
        ids["client_order_id"] = client_order_id_of(
            account=row.account, intent_id=row.intent_id, generation=row.generation
        )
    (log.warning if step in GRAVE else log.info)(
        f"{'order' if is_of_order else 'intent'}_{step}",
        **ids,
        symbol=row.intent.symbol,
        side=row.intent.side.value,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        state=row.state.value,
        **({"reason": reason} if reason else {}),
    )
