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


def ledger_path(desk: Desk, book: BookOutline) -> Path:
    """Return where the ledger of a book's paper account lies."""
    return _path_of(desk, book.account)


def ledger_paths(desk: Desk) -> dict[str, Path]:
    """Return where each paper account's ledger lies, by account: those of books, and those of their orders.

    A book's account may have been another one when its orders were sent, and a book may be gone.
    """
    named = dict.fromkeys([*(book.account for book in desk.books.values()), *accounts_on_paper(desk)])
    return {account: _path_of(desk, account) for account in named}


def accounts_on_paper(desk: Desk) -> tuple[str, ...]:
    """Return the accounts of which a paper broker of ours took an order, by the journal; ascending.

    An account all of whose orders go to a broker over a network is none: it has no ledger.
    """
    if desk.lane == LIVE:
        return ()
    rows = desk.journal.answers(("find_accounts_on_paper",))["find_accounts_on_paper"]
    return tuple(row["account"] for row in rows if row["lane"] == desk.lane)


def damaged_ledgers(desk: Desk) -> Iterator[str]:
    """Give what ails each ledger that cannot be read, with what to do about it."""
    for path in ledger_paths(desk).values():
        if path.exists():
            try:
                with read_only(path) as ledger:
                    ledger.execute("select name from account").fetchone()
            except BrokerUnavailable as error:
                yield str(error)


def lost_ledgers(desk: Desk) -> Iterator[str]:
    """Give each ledger that is not there although its paper broker took orders, with what to do about it."""
    lost = {
        account: path for account in accounts_on_paper(desk) if not (path := _path_of(desk, account)).exists()
    }
    if not lost:
        return
    last = _last_on_paper(desk)
    for account, path in lost.items():
        yield (
            f"paper broker {path}: is missing, but took orders, the last on {last[account]}: "
            "restore its last copy, do not trade"
        )


def _last_on_paper(desk: Desk) -> dict[str, date]:
    """Return the last session in which a paper broker of ours took an order, by account."""
    rows = desk.journal.answers(("find_last_on_paper",))["find_last_on_paper"]
    return {row["account"]: date.fromisoformat(row["session"]) for row in rows if row["lane"] == desk.lane}


def _path_of(desk: Desk, account: str) -> Path:
    return desk.settings.profile_dir / "paper" / f"{account}.db"
