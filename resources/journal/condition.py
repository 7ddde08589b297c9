"""Whether a database is a journal that this version can use, and what a person can do where it is not.

Imports no database: the reader and the store ask the same questions.
"""

from __future__ import annotations

from collections.abc import Collection

from trading.errors import JournalUnavailable

SCHEMA_REVISION = "0001"
"""The migration that this version reads and writes; a file of an older one is migrated by the next writer."""

REVISION_TABLE = "alembic_version"
"""Where the revision stands, as Alembic writes it."""


def is_journal(name: str, tables: Collection[str]) -> bool:
    """Say whether tables are a journal's, `False` where there are none; raises where they are another's."""
    if REVISION_TABLE in tables:
        return True
    if tables:
        shown = ", ".join(sorted(tables)[:3])
        raise JournalUnavailable(f"journal {name}: holds tables ({shown}) but no journal: name another path")
    return False


def check_not_newer(name: str, revision: str) -> None:
    """Raise `JournalUnavailable` where a newer version wrote the journal."""
    if revision > SCHEMA_REVISION:
        raise JournalUnavailable(
            f"journal {name}: schema {revision}, this version knows up to {SCHEMA_REVISION}:"
            " it was written by a newer version; use that one"
        )


def advice(message: str) -> str:
    """Return a database's message with what a person can do about it."""
    lowered = message.lower()
    if "locked" in lowered or "busy" in lowered:
        return f"{message}: another process writes it; wait for it, or end it, and try again"
    if "not a database" in lowered or "malformed" in lowered:
        return f"{message}: the file is damaged or no journal; keep it, and restore the last copy"
    if "full" in lowered or "disk i/o" in lowered:
        return f"{message}: nothing was changed; make room on the disk and try again"
    if "readonly" in lowered or "read-only" in lowered or "unable to open" in lowered:
        return f"{message}: this user cannot open it for this; give it the right, or name another path"
    return f"{message}: nothing was changed"
