"""The delivery log: each attempt to tell people, by what came of it and over which channel.

The latest message stands first, its last attempt before the earlier ones. What the reasons mean is
trading/alerts.py; resources/notifier.py makes the attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.desk import Desk
from resources.journal.records import Row
from resources.setting_names import CHANNELS
from trading.alerts import Reason
from trading.audit import instant_from_text
from trading.errors import BadInput

Place = tuple[int, int]
"""Where an attempt stands in the log: its message and its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """Hold one attempt of a message; `status` is what the message is now: waiting, delivered, dead."""

    at: datetime
    outbox_id: int
    attempt: int
    channel: str
    reason: str
    severity: str
    subject: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCount:
    """Hold how many attempts over a channel came to the same."""

    channel: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Hold which attempts are wanted: empty or `None` for all; `since` is a day of UTC, itself included.

    Raises `BadInput` for a channel that there is not.
    """

    reason: Reason | None = None
    channel: str | None = None
    since: date | None = None

    def __post_init__(self) -> None:
        if self.channel is not None and self.channel not in CHANNELS:
            raise BadInput(f"channel {self.channel[:60]!a}: channels are {', '.join(CHANNELS)}")

    @property
    def bound(self) -> dict[str, str]:
        """Return what the questions of the log bind."""
        return {
            "reason": self.reason.value if self.reason else "",
            "channel": self.channel or "",
            "since": self.since.isoformat() if self.since else "",
        }


def deliveries_of(
    desk: Desk, wanted: DeliveryFilter, *, last: int, before: Place | None = None
) -> tuple[DeliveryLine, ...]:
    """Return the last attempts, or the last ones before a place in the log."""
    rows = desk.journal.last_deliveries(**wanted.bound, before=before, last=last)
    return tuple(_line(row) for row in rows)


def delivery_counts(desk: Desk, wanted: DeliveryFilter) -> tuple[DeliveryCount, ...]:
    """Return how many attempts there were, by channel and reason."""
    rows: Sequence[Row] = desk.journal.delivery_counts(**wanted.bound)
    return tuple(
        DeliveryCount(channel=row["channel"], reason=row["reason"], attempts=int(row["attempts"]))
        for row in rows
    )


def _line(row: Row) -> DeliveryLine:
    return DeliveryLine(
        at=instant_from_text(row["at"]),
        outbox_id=row["outbox_id"],
        attempt=row["attempt"],
        channel=row["channel"],
        reason=row["reason"],
        severity=row["severity"],
        subject=row["subject"],
        status=row["status"],
    )
