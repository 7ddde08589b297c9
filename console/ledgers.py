"""Where the paper brokers' ledgers lie, and which are gone or cannot be read: a quick look, without a change.

What a ledger adds up to is paper_accounts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from console.book_outlines import BookOutline
from console.desk import Desk
from resources.paper_broker.statement import read_only
from trading.errors import BrokerUnavailable
from trading.invariants import LIVE
from trading.routing import EMBEDDED_PAPER

SESSIONS_BACK = 20
"""How many sessions of a book without a ledger are looked through for an order that one should hold."""


def ledger_path(desk: Desk, book: BookOutline) -> Path:
    """Return where the ledger of a book's paper account lies."""
    return desk.settings.profile_dir / "paper" / f"{book.account}.db"


def damaged_ledgers(desk: Desk) -> Iterator[str]:
    """Give what ails each ledger that cannot be read, with what to do about it."""
    for path in dict.fromkeys(ledger_path(desk, book) for book in desk.books.values()):
        if path.exists():
            try:
                with read_only(path) as ledger:
                    ledger.execute("select name from account").fetchone()
            except BrokerUnavailable as error:
                yield str(error)


def lost_ledgers(desk: Desk) -> Iterator[str]:
    """Give each ledger that is not there although its paper broker took orders, with what to do about it.

    An account all of whose orders go to a broker over a network has none. Every order is asked by verify.py.
    """
    if desk.lane == LIVE:
        return
    for book in desk.books.values():
        path = ledger_path(desk, book)
        if not path.exists() and (session := _last_taken(desk, book)) is not None:
            yield (
                f"paper broker {path}: is missing, but took orders of {book.name}, the last on {session}: "
                "restore its last copy, do not trade"
            )


def _last_taken(desk: Desk, book: BookOutline) -> date | None:
    """Return the last of a book's sessions in which the paper broker took an order, as the journal has it."""
    with desk.journal.at_one_moment() as journal:
        for record in reversed(journal.sessions(book=book.name, lane=desk.lane, last=SESSIONS_BACK)):
            orders = journal.orders(book=book.name, lane=desk.lane, session=record.session)
            if any(row.broker_order_id and row.route.actual in {"", EMBEDDED_PAPER} for row in orders):
                return record.session
    return None
