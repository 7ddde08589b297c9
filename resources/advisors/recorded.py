"""The advisor of a replay: what was said when the session was decided, from its record. It asks nobody.

A session without a record of its advice is refused: what a model would say today is not what it said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from trading.advice import Advice, AdviceContext, AdviceGiven, reduces_risk
from trading.errors import Refused
from trading.intents import Intent


class RecordedAdvisor:
    """Give advice from a record; a `trading.advice.Advisor` that makes no call.

    `advice_in` returns the rows of a session, `None` where it was never advised.
    """

    def __init__(self, advice_in: Callable[[date], Sequence[Advice] | None]) -> None:
        self._advice_in = advice_in

    def advise(self, intents: Sequence[Intent], *, context: AdviceContext) -> AdviceGiven:
        """Return the recorded advice on each intent, in order.

        Raises `Refused` for a session without a record, or an intent that the record does not know.
        """
        rows = self._advice_in(context.session)
        if rows is None:
            raise Refused(
                f"{context.book} {context.session}: what its advisor said is not recorded; a replay reads "
                "the record and never asks a model"
            )
        said = {row.intent_key: row for row in rows}
        for intent in intents:
            if intent.intent_key not in said and not reduces_risk(intent):
                raise Refused(
                    f"{context.book} {context.session} {intent.symbol}: the record has no advice on it, so "
                    "that another intent is decided than was recorded"
                )
        known = (said.get(intent.intent_key) for intent in intents)
        return AdviceGiven(advice=tuple(row for row in known if row is not None))
