"""Whether the pages of a journal's file hold together where a verb reads them.

Milliseconds in a small file. In one above `WHOLE_BYTES_MAX` the tables of sessions alone are looked at, so
that damage among its orders is found by doctor.py alone.

SQLite tells of a page that is no page when it reads it; half a page, or another page in its place, reads like
rows that are not there. Every page is read by doctor.py, and what rows say is compared in verify.py.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from console.desk import Desk
from resources.journal.condition import REVISION_TABLE
from resources.journal.looking import UNREADABLE, file_of, read_only_address, told
from trading.errors import JournalUnavailable

SESSIONS = "book_sessions"
"""What says which session is the latest: a row a session and book, so that it stays small."""
ORDERS = ("intents", "orders", "fills")
WHOLE_BYTES_MAX = 16_000_000
"""In a larger file the tables that grow with every order are left to `trading doctor`."""


def require_whole_pages(desk: Desk) -> None:
    """Hold the tables of sessions and orders against their indexes; raises `JournalUnavailable`.

    Nothing is asked of a journal in a server, nor where there is none yet.
    """
    path = file_of(desk.settings.journal_url)
    if path is None or not path.exists():
        return
    is_small = path.stat().st_size <= WHOLE_BYTES_MAX
    wanted = (REVISION_TABLE, SESSIONS, *(ORDERS if is_small else ()))
    try:
        with closing(sqlite3.connect(read_only_address(path), uri=True)) as connection:
            there = {name for (name,) in connection.execute("select name from sqlite_master").fetchall()}
            answers = [
                str(connection.execute(f"pragma integrity_check({table})").fetchone()[0])
                for table in wanted
                if table in there
            ]
    except UNREADABLE as error:
        raise JournalUnavailable(f"journal {path}: {told(error)}") from error
    if found := next((answer for answer in answers if answer != "ok"), ""):
        # What comes before says which database of the connection, and there is one.
        what = found.splitlines()[-1]
        raise JournalUnavailable(
            f"journal {path}: {what}: the file is damaged, so rows may be missing; keep it, and restore the"
            " last copy (docs/how-to/copy_and_restore.md)"
        )
