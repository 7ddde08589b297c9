"""Whether a database is a journal that this version can use, and what a person can do where it is not.

Imports no database: the reader and the store ask the same questions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trading.errors import JournalUnavailable

SCHEMA_REVISION = "0010"
"""The migration that this version reads and writes; a file of an older one is migrated by the next writer."""

SQLITE, POSTGRESQL = "sqlite", "postgresql"
"""The two engines, as URLs and SQLAlchemy call them."""

DURABLE_SETTINGS = ["fsync", "full_page_writes", "synchronous_commit", "server_encoding"]
"""What a PostgreSQL server is asked before it is trusted with an order."""

REVISION_TABLE = "alembic_version"
"""Where the revision stands, as Alembic writes it; other programs keep theirs in one of this name too."""

OWN_TABLE = "events"
"""What every revision of a journal has beside it: the migration that makes one makes both, or neither."""


_CONNECTION_LOST = (
    "connection",
    "could not receive data",
    "could not send data",
    "server closed",
    "terminating",
    "starting up",
    "shutting down",
    "statement timeout",
)
"""What PostgreSQL's messages have in common where a server or the way to it is gone."""

_NO_RIGHT = ("readonly", "read-only", "unable to open", "permission denied", "not permitted")
"""How SQLite, PostgreSQL and a system say that it may not be done here, or not by this user."""


def is_journal(name: str, tables: Collection[str]) -> bool:
    """Say whether tables are a journal's, `False` where there are none; raises where they are another's."""
    if {REVISION_TABLE, OWN_TABLE} <= set(tables):
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


def check_durable(name: str, settings: Mapping[str, str]) -> None:
    """Raise `JournalUnavailable` where a PostgreSQL server would not keep what it said was committed.

    With less, a power loss can leave an order at the broker and no claim here.
    """
    for setting, wrong in (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")):
        if settings[setting] == wrong:
            raise JournalUnavailable(
                f"journal {name}: {setting} is {wrong}; trading needs every commit on disk: turn it on"
            )
    if settings["server_encoding"] != "UTF8":
        raise JournalUnavailable(
            f"journal {name}: encoded as {settings['server_encoding']}; create it with encoding UTF8"
        )


def advice(message: str) -> str:
    """Return a database's message, or a system's about a file, with what a person can do about it."""
    message = " ".join(message.split())
    lowered = message.lower()
    if "locked" in lowered or "busy" in lowered or "lock timeout" in lowered:
        return f"{message}: another process writes it; wait for it, or end it, and try again"
    if "not a database" in lowered or "malformed" in lowered:
        return f"{message}: the file is damaged or no journal; keep it, and restore the last copy"
    if "database" in lowered and "does not exist" in lowered:
        return (
            f"{message}: the server answers, but has no such database; create an empty one, encoded as UTF8, "
            "and the first command that writes makes its tables"
        )
    if "authentication failed" in lowered or "no password supplied" in lowered:
        return f"{message}: the server answers, and refuses this user; correct the user, or PGPASSFILE"
    if any(words in lowered for words in _CONNECTION_LOST):
        return (
            f"{message}: the server does not answer; start it, or wait for it. What was being stored"
            " when it fell silent may be stored or not: look again"
        )
    if "disk i/o" in lowered or "input/output error" in lowered:
        # What was written before a sync failed may be on the disk: a restart can still find it.
        return (
            f"{message}: what was being stored may be stored or not; mend the disk, or make room on the disk,"
            " then look again"
        )
    if "full" in lowered or "no space left" in lowered or "quota exceeded" in lowered:
        return f"{message}: nothing was changed; make room on the disk and try again"
    if any(words in lowered for words in _NO_RIGHT):
        return f"{message}: this user cannot open it for this; give it the right, or name another path"
    return f"{message}: nothing was changed"
