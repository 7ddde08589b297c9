"""The bounded window reader: the only way to quotes that a decision has; and the quotes of one session, for marks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from resources.lake.store import Lake
from trading.actions import CorporateAction
from trading.quotes import Quote, Window
from trading.sessions import Calendar


class LakeWindowReader:
    """Implements trading.quotes.WindowReader. `actions=None` reads the book's `corporate_actions` from the lake."""

    def __init__(
        self,
        *,
        lake: Lake,
        book: str,
        calendar: Calendar,
        starts_on: date,
        actions: Iterable[CorporateAction] | None = None,
    ) -> None: ...
    def window_before(self, session: date, count: int) -> Window: ...


class LakeQuotes:
    """Accepted quotes of one session: marks and the simulated market, never a decision."""

    def __init__(self, *, lake: Lake, book: str) -> None: ...
    def quotes_on(self, session: date) -> tuple[Quote, ...]: ...


def inputs_digest(inputs: Iterable[tuple[str, str]]) -> str: ...
