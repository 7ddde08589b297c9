"""What the search box finds: an intent by any id of it, a symbol's intents, a session, a replay or a sweep.

Ids are looked up by lookup.py. A symbol, or an intent's key, is looked for in the last sessions of each book
only, so that the answer does not wait for ten years of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.history import SESSIONS_SHOWN
from console.lookup import KEY_PREFIX, find_intent
from console.pages.replays import is_named
from trading.errors import BadInput
from trading.journal import JournalIntent
from trading.values import Symbol

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

ROWS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Hold what a search found: one intent, a session of a book, or a symbol's intents (none: empty).

    `replay` is the name of a replay or a sweep.
    """

    intent_id: str = ""
    book: str = ""
    session: date | None = None
    replay: str = ""
    rows: tuple[JournalIntent, ...] = ()


def search(desk: Desk, asked: str) -> Found:
    """Return what somebody looks for; raises `BadInput`, and `UnknownId` where nothing is stored under it."""
    wanted = asked.strip()
    if _DATE.fullmatch(wanted):
        return _session(desk, wanted)
    if "@" in wanted:
        return Found(intent_id=find_intent(desk, wanted).intent_id)
    rows = _of_key(desk, wanted) if wanted.startswith(KEY_PREFIX) else _of_symbol(desk, wanted)
    if rows or wanted.startswith(KEY_PREFIX) or _is_symbol(desk, wanted):
        return Found(rows=rows)
    if is_named(desk, wanted):
        return Found(replay=wanted)
    return Found(intent_id=find_intent(desk, wanted).intent_id)


def _session(desk: Desk, wanted: str) -> Found:
    """Return a session in the first book that has run it, or that has it in its calendar."""
    try:
        session = date.fromisoformat(wanted)
    except ValueError as error:
        raise BadInput(f"session {wanted!r}: no such date") from error
    ran = [
        book.name
        for book in desk.books.values()
        if desk.journal.session_record(book=book.name, lane=desk.lane, session=session)
    ]
    return Found(book=ran[0] if ran else next(iter(desk.books)), session=session)


def _of_symbol(desk: Desk, symbol: str) -> tuple[JournalIntent, ...]:
    rows = [
        row
        for book in desk.books.values()
        if (first := _first_session(desk, book))
        for name in dict.fromkeys((symbol, symbol.upper()))
        for row in desk.journal.intents_of_symbol(book=book.name, lane=desk.lane, symbol=name, first=first)
    ]
    return tuple(sorted(rows, key=lambda row: row.intent.session, reverse=True)[:ROWS_MAX])


def _of_key(desk: Desk, key: str) -> tuple[JournalIntent, ...]:
    return tuple(
        row
        for book in desk.books.values()
        for record in desk.journal.sessions(book=book.name, lane=desk.lane, last=SESSIONS_SHOWN)
        for row in desk.journal.intents(book=book.name, lane=desk.lane, session=record.session)
        if row.intent.intent_key.startswith(key)
    )[:ROWS_MAX]


def _first_session(desk: Desk, book: BookOutline) -> date | None:
    records = desk.journal.sessions(book=book.name, lane=desk.lane, last=SESSIONS_SHOWN)
    return records[0].session if records else None


def _is_symbol(desk: Desk, wanted: str) -> bool:
    """Say whether some book holds what was asked for, though no intent of late is about it."""
    return any(
        record.closing is not None and record.closing.quantity_of(Symbol(wanted))
        for book in desk.books
        if (record := desk.journal.last_settled(book=book, lane=desk.lane)) is not None
    )
