"""The journal on SQLite or PostgreSQL: `SqlJournal(url, busy_timeout_s=…)` implements `trading.journal.Journal`."""

from __future__ import annotations
