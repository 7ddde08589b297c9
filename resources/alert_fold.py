"""What is known of alerts, folded from the journal's events once and then only from what came after.

A server that answers for years, and a watch that looks each minute of them, read each event a single time.
What follows from an event is trading/alert_log.py alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from trading.alert_log import AlertLog, alert_log_of
from trading.journal import JournalEvent


class AlertEvents(Protocol):
    """Be where a journal's events of alerts are read: a reader, or a transaction."""

    def alert_events(self, *, first: int) -> Sequence[JournalEvent]:
        """Return the events that tell of alerts from a sequence number on, ascending."""
        ...


class _Folded(NamedTuple):
    """Hold what events say up to one of them, which `seq` and `hash` name."""

    seq: int
    hash: str
    log: AlertLog


@dataclass(slots=True)
class AlertFold:
    """Remember what the events read so far say. One that was read names all before it, by its hash."""

    _last: _Folded | None = field(default=None)

    def of(self, journal: AlertEvents) -> AlertLog:
        """Return what a journal tells of alerts; where it is another one than before, all of it is read."""
        before = self._last
        events = journal.alert_events(first=before.seq if before is not None else 0)
        if before is not None and [(one.seq, one.hash) for one in events[:1]] != [before[:2]]:
            # Another journal, or a look from before the last one.
            before, events = None, journal.alert_events(first=0)
        if before is not None and len(events) == 1:
            return before.log
        log = alert_log_of(events) if before is None else alert_log_of(events[1:], before.log)
        if events:
            self._last = _Folded(events[-1].seq, events[-1].hash, log)
        return log
