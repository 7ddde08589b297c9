"""Where the paper brokers' ledgers lie, and which of them cannot be read: a quick look that changes nothing.

What a ledger adds up to is paper_accounts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from console.book_outlines import BookOutline
from console.desk import Desk
from resources.paper_broker.statement import read_only
from trading.errors import BrokerUnavailable


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
