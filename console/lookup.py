"""Find an intent by whatever id somebody holds: its own, its order's, its fill's, or symbol@session.

Any unique beginning will do. What is then told of it is order_trace.py and explain.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from console.desk import Desk
from resources.instruments import FILE as INSTRUMENTS_FILE
from resources.instruments import load_instruments
from trading.errors import BadInput, UnknownId
from trading.instruments import Instruments, UnknownInstrument
from trading.journal import JournalIntent
from trading.values import Symbol

KEY_PREFIX = "key-"
"""How an intent's key begins; other ids have their own beginnings."""

SESSIONS_MAX = 100_000
"""More sessions than any book has: keys are looked for in all of them."""

PREFIX_MIN = 4
"""Fewer characters than this fit too much to be meant."""


def find_intent(desk: Desk, identity: str) -> JournalIntent:
    """Return the intent an id or its unique beginning belongs to, or that of `SYMBOL@SESSION`.

    Raises `UnknownId` where there is none, `BadInput` where there are several.
    """
    wanted = identity.strip()
    found = _by_symbol(desk, wanted) if "@" in wanted else _by_id(desk, wanted)
    if not found:
        raise UnknownId(
            f"id {wanted!r}: nothing is stored under it in {desk.lane}; see `trading orders`, "
            "or name it by symbol and session, e.g. AAPL@2013-02-28"
        )
    if len(found) > 1:
        shown = ", ".join(f"{row.intent_id} ({row.intent.symbol} {row.intent.session})" for row in found[:5])
        raise BadInput(f"id {wanted!r}: fits {len(found)} intents: {shown}; write more of it")
    return found[0]


def _by_symbol(desk: Desk, wanted: str) -> Sequence[JournalIntent]:
    symbol, _, text = wanted.rpartition("@")
    try:
        session = date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"id {wanted!r}: after @ comes a session as YYYY-MM-DD, e.g. AAPL@2013-02-28"
        ) from error
    rows = []
    for book, outline in desk.books.items():
        names = load_instruments(desk.settings.config_dir / INSTRUMENTS_FILE, outline.calendar)
        meant = {symbol.casefold(), _stored_as(names, symbol, session).casefold()}
        rows += [
            row
            for row in desk.journal.intents(book=book, lane=desk.lane, session=session)
            if row.intent.symbol.casefold() in meant
        ]
    return [row for row in rows if row.intent.symbol == symbol] or rows


def _stored_as(names: Instruments, symbol: str, session: date) -> Symbol:
    """Return the symbol of what is called so in a session; itself where that is somebody nobody reviewed."""
    try:
        return names.symbol_of(symbol.upper(), session)
    except UnknownInstrument:
        return Symbol(symbol)


def _by_id(desk: Desk, wanted: str) -> Sequence[JournalIntent]:
    if len(wanted) < PREFIX_MIN:
        raise BadInput(
            f"id {wanted!r}: write at least {PREFIX_MIN} characters of it, or name a symbol with its "
            f"session, e.g. {wanted.upper() or 'AAPL'}@2013-02-28"
        )
    if wanted.startswith(KEY_PREFIX):
        return [row for row in _all_intents(desk) if row.intent.intent_key.startswith(wanted)]
    return desk.journal.intents_by_any_id(wanted, lane=desk.lane) or desk.journal.intents_by_broker_order_id(
        wanted, lane=desk.lane
    )


def _all_intents(desk: Desk) -> Iterator[JournalIntent]:
    """Give every intent of the lane: a key is no column of the journal, but made from what was decided."""
    for book in desk.books:
        for record in desk.journal.sessions(book=book, lane=desk.lane, last=SESSIONS_MAX):
            yield from desk.journal.intents(book=book, lane=desk.lane, session=record.session)
