"""The audit chain: each event's hash covers the one before, so that an edit, a gap or a swap shows.

Pure: events and lines in, hashes and findings out. The journal stores the chain with each event; the file
that people keep a copy of is resources/audit_log.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from trading.errors import BadInput
from trading.journal import JournalEvent
from trading.values import canonical_json

GENESIS = "0" * 64
"""What the first event's hash covers in place of an earlier one."""

INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""Instants as text: fixed width, UTC, so that they sort as they happen."""


class BadEntry(NamedTuple):
    """Name the first entry of a log that does not hold: its line and number (from 1), and what is wrong."""

    line: int
    seq: int
    reason: str


class AuditLog(Protocol):
    """Keep a copy of the journal's events where people can take it away; never ahead of the journal."""

    def project(self) -> int:
        """Append the events that the copy does not have yet; return how many."""
        ...


def instant_text(at: datetime) -> str:
    """Return an instant as text; raises `BadInput` for a time without a zone."""
    if at.tzinfo is None:
        raise BadInput(f"time {at.isoformat()}: has no time zone; instants are aware")
    return at.astimezone(UTC).strftime(INSTANT_FORMAT)


def instant_from_text(text: str) -> datetime:
    """Return the instant of a stored text."""
    return datetime.fromisoformat(text)


def content_of(event: JournalEvent) -> dict[str, Any]:
    """Return what an event says, without its hashes, as plain JSON values."""
    return {
        "seq": event.seq,
        "at": instant_text(event.at),
        "kind": event.kind,
        "book": event.book,
        "lane": event.lane,
        "session": event.session,
        "intent_id": event.intent_id,
        "actor": event.actor,
        "reason": event.reason,
        "body": dict(event.body),
    }


def chained(prev_hash: str, content: Mapping[str, Any]) -> str:
    """Return the hash (SHA-256, hex) of an event's content on top of the hash before it."""
    return hashlib.sha256(f"{prev_hash}\n{canonical_json(content)}".encode()).hexdigest()


def line_of(event: JournalEvent) -> str:
    """Return an event as one line of the log, without the line's end."""
    return canonical_json({**content_of(event), "prev_hash": event.prev_hash, "hash": event.hash})


def verify(lines: Iterable[str]) -> BadEntry | None:
    """Return the first entry that does not hold, or `None`; lines come with or without their ends.

    A log cut off between two lines is whole as far as it goes: that it is short shows only against the
    journal, or a checkpoint.
    """
    prev_hash = GENESIS
    for number, line in enumerate(lines, start=1):
        text = line.rstrip("\n")
        entry = _entry_of(text)
        if entry is None:
            return BadEntry(
                number, number, "not an event: the line is no JSON object with the event's fields"
            )
        if canonical_json(entry) != text:
            return BadEntry(number, number, "not canonical: the line was written by something else")
        if entry["seq"] != number:
            return BadEntry(number, number, f"sequence number {entry['seq']}: expected {number}")
        if entry["prev_hash"] != prev_hash:
            return BadEntry(number, number, "prev_hash is not the hash of the entry before")
        content = {name: value for name, value in entry.items() if name not in {"prev_hash", "hash"}}
        if chained(prev_hash, content) != entry["hash"]:
            return BadEntry(number, number, "hash is not that of the content")
        prev_hash = entry["hash"]
    return None


_FIELDS = {
    "seq", "at", "kind", "book", "lane", "session",
    "intent_id", "actor", "reason", "body", "prev_hash", "hash",
}  # fmt: skip


def _entry_of(text: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(text, parse_float=_refuse_float, parse_constant=_refuse_float)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and set(entry) == _FIELDS else None


def _refuse_float(text: str) -> None:
    raise ValueError(f"{text}: a log holds no floats")
