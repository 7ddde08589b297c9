"""The console's root: the real adapters behind its actions, by the machine's settings. Nothing of Dagster.

Reading verbs do with less (desk.py); starting runs is launcher.py.
"""

from __future__ import annotations

from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.profiles import Profiled
from resources.settings import Settings
from trading.books import BookConfig


def open_journal(settings: Settings) -> SqlJournal:
    """Return the journal of the settings' profile."""
    return Profiled(settings).journal


def open_lake(settings: Settings) -> Lake:
    """Return the lake of the settings' profile."""
    return Profiled(settings).lake


def load_books(settings: Settings) -> dict[str, BookConfig]:
    """Return every configured book with its rules; raises `BadSetting` naming file, section and key."""
    return dict(Profiled(settings).books)
