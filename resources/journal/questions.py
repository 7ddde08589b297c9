"""The questions asked of a journal in plain SQL: one file each in sql/, read by the store and the reader."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_SQL = Path(__file__).parent / "sql"


@cache
def text_of(question: str) -> str:
    """Return the SQL of a question, by its file's name."""
    return (_SQL / f"{question}.sql").read_text(encoding="utf-8")
