"""Where the paper brokers' ledgers lie, and which are gone or cannot be read: a quick look, without a change.

What a ledger adds up to is paper_accounts.py; how one is missed is resources/paper_ledgers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from console.book_outlines import BookOutline
from console.desk import Desk
from resources import paper_ledgers
from resources.ledger_paths import ledger_of
from resources.paper_broker.statement import read_only
from trading.errors import BrokerUnavailable


def ledger_path(desk: Desk, book: BookOutline) -> Path:
    """Return where the ledger of a book's paper account lies."""
    return ledger_of(desk.settings.profile_dir, book.account)


def ledger_paths(desk: Desk) -> dict[str, Path]:
    """Return where each paper account's ledger lies, by account: those of books, and those of their orders.

    A book's account may have been another one when its orders were sent, and a book may be gone.
    """
    ordered = paper_ledgers.accounts_on_paper(desk.journal, lane=desk.lane)
    named = dict.fromkeys([*(book.account for book in desk.books.values()), *ordered])
    return {account: ledger_of(desk.settings.profile_dir, account) for account in named}


def damaged_ledgers(desk: Desk) -> Iterator[str]:
    """Give what ails each ledger that cannot be read, with what to do about it."""
    for path in ledger_paths(desk).values():
        if not paper_ledgers.is_gone(path):
            try:
                with read_only(path) as ledger:
                    ledger.execute("select name from account").fetchone()
            except BrokerUnavailable as error:
                yield str(error)


def lost_ledgers(desk: Desk) -> dict[str, str]:
    """Return what to do about each ledger that is gone although its paper broker took orders, by account."""
    return paper_ledgers.lost_ledgers(desk.journal, lane=desk.lane, profile_dir=desk.settings.profile_dir)
