"""A journal that does every change as the journal would, and takes it back: what a dry run asks.

The same transaction with the same rules, so that what would be refused is refused; it is rolled back instead
of committed. It holds the write lock for that moment, as any change does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resources.journal.store import SqlJournal

if TYPE_CHECKING:
    import sqlalchemy as sa


class RehearsedJournal(SqlJournal):
    """Answer as the journal would, and keep nothing; each change is rehearsed alone."""

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with super()._writing() as conn:
            yield conn
            conn.rollback()
