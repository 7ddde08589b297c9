"""Quarantined rows as a person reviews them: list, look up, release.

The rules that put a row there are trading/quality.py, which says too what a release can undo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.actions import require_actor
from console.lake_pointers import LakePointers
from console.lake_rows import rows_found
from trading.errors import BadInput, Refused, UnknownId
from trading.journal import Journal

ASSET = "quarantined_quotes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Hold a quarantined row that a person vouched for. `is_new` is false where somebody had before."""

    row_id: str
    symbol: str
    session: str
    was: str
    actor: str
    reason: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """Hold one row as a reviewer sees it: where it stood, which rule it broke, and how.

    `releasable` says whether a person may overrule that. A gap has `line` 0.
    """

    row_id: str
    symbol: str
    session: date
    source: str
    line: int
    reason: str
    detail: str
    releasable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineCount:
    """Hold how many rows of one session are quarantined."""

    session: date
    rows: int


def quarantine_counts(lake: LakePointers, book: str) -> tuple[QuarantineCount, ...]:
    """Return the sessions of a book that have quarantined rows, ascending."""
    counts = []
    for partition in lake.partitions(book, ASSET):
        state = lake.state(book, ASSET, partition)
        if state is not None and state.rows:
            counts.append(QuarantineCount(session=date.fromisoformat(partition), rows=state.rows))
    return tuple(counts)


def quarantined_rows(lake: LakePointers, book: str, sessions: Sequence[date]) -> tuple[QuarantinedRow, ...]:
    """Return the quarantined rows of sessions, each file checked by its name."""
    states = [state for day in sessions if (state := lake.state(book, ASSET, day.isoformat()))]
    return tuple(QuarantinedRow(**row) for row in rows_found(lake, states, "list_quarantined"))


def release_quote(
    journal: Journal, row: QuarantinedRow, *, actor: str, reason: str, now: datetime
) -> Released:
    """Vouch for a quarantined row: it counts as a quote when its session is imported again.

    Raises `Refused` for a row that cannot become a quote at all.
    """
    require_actor(actor, reason)
    if not row.releasable:
        raise Refused(
            f"{row.row_id} {row.symbol} {row.session}: {row.reason} cannot be released, since it is no quote "
            f"({row.detail}); correct the source and import again"
        )
    is_new = journal.release_quote(row_id=row.row_id, actor=actor, reason=reason, now=now)
    return Released(
        row_id=row.row_id,
        symbol=row.symbol,
        session=row.session.isoformat(),
        was=row.reason,
        actor=actor,
        reason=reason,
        is_new=is_new,
    )


def quarantined_row(rows: Iterable[QuarantinedRow], row_id: str) -> QuarantinedRow:
    """Return the row under an id or its unique beginning; raises `UnknownId` or `BadInput`."""
    found = {row.row_id: row for row in rows if row.row_id.startswith(row_id)}
    if not found:
        raise UnknownId(
            f"row {row_id!r}: nothing is quarantined under this id; see `trading quarantine list`"
        )
    if len(found) > 1:
        raise BadInput(
            f"row {row_id!r}: fits {len(found)} rows: {', '.join(sorted(found)[:5])}; write more of it"
        )
    return next(iter(found.values()))
