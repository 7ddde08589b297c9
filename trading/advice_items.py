"""What an advisor is shown of a session: of each intent, what the scanner measured. Pure.

Nothing here was known after the close that it was measured at. How items become a prompt, and that none was
known too late, is advice_context.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from trading.advice_context import ContextItem
from trading.candidates import Candidate
from trading.intents import Intent
from trading.sessions import Calendar

FEATURE = "feature"
SCANNER = "scanner"


def items_of(
    candidates: Iterable[Candidate], intents: Iterable[Intent], *, calendar: Calendar
) -> tuple[ContextItem, ...]:
    """Return what the scanner measured of the symbols of intents, known since the close it is of."""
    wished = {intent.symbol for intent in intents}
    return tuple(
        ContextItem(
            kind=FEATURE,
            symbol=row.symbol,
            as_of=calendar.closes_at(row.quoted_on),
            text=_measured(row),
            source=SCANNER,
        )
        for row in candidates
        if row.symbol in wished and row.quoted_on is not None
    )


def cut_off_of(session: date, *, now: datetime, calendar: Calendar) -> datetime:
    """Return the UTC instant before which what an advisor is told was known: now, at most the open.

    Whoever decides a session late knows more by the real clock than a decision at the open could have.
    """
    return min(now, calendar.opens_at(session))


def _measured(row: Candidate) -> str:
    return (
        f"rank {row.rank}, score {row.score:.3f}, risk {row.risk_score:.3f}, rsi14 {row.rsi14:.1f}, "
        f"ma20 gap {row.ma20_gap:.4f}, volume spike {row.volume_spike20:.2f}, "
        f"volatility {row.volatility20:.4f}, regime {row.regime}"
    )
