"""The exchange's clock: the system's, or one that clients move, only forward, and a restart finds again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from resources.paper_broker.broker import PaperBroker
from resources.paper_exchange import refusals
from trading.audit import instant_from_text, instant_text


class SystemTime:
    """Tell the real time; nobody moves it."""

    is_simulated = False

    def __init__(self, system_now: Callable[[], datetime]) -> None:
        self._system_now = system_now

    def now(self) -> datetime:
        """Return the current instant."""
        return self._system_now()

    def move_to(self, at: datetime) -> datetime:
        """Raise `ApiRefusal`: this clock is the system's."""
        raise refusals.unprocessable(f"clock is the system's: it cannot be moved to {at.isoformat()}")

    set_to = move_to


class SimulatedTime:
    """Tell a time of the market's own, kept in the broker's ledger; `starts_at` where it keeps none yet."""

    is_simulated = True

    def __init__(self, broker: PaperBroker, *, starts_at: datetime) -> None:
        self._broker = broker
        self._turn = threading.Lock()
        with broker.kept() as ledger:
            row = ledger.execute("select now from exchange_clock").fetchone()
        self._now = max(instant_from_text(row["now"]), starts_at) if row else starts_at

    def now(self) -> datetime:
        """Return the current instant."""
        return self._now

    def move_to(self, at: datetime) -> datetime:
        """Go forward to an instant, and return what time it is: an earlier one changes nothing."""
        with self._turn:
            if at > self._now:
                with self._broker.kept() as ledger:
                    ledger.execute("insert or replace into exchange_clock values (1, ?)", (instant_text(at),))
                self._now = at
            return self._now

    def set_to(self, at: datetime) -> datetime:
        """Go forward to an instant as somebody orders it; raises `ApiRefusal` for an earlier one."""
        if (now := self.move_to(at)) > at:
            raise refusals.unprocessable(
                f"clock only goes forward: it is {now.isoformat()}, and {at.isoformat()} is over"
            )
        return now


ExchangeTime = SystemTime | SimulatedTime
