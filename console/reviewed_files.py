"""Whether a book's reviewed files can be read: asked before a word is kept that needs them."""

from __future__ import annotations

from pathlib import Path

from console.desk import Desk


def require_readable(desk: Desk, book: str) -> None:
    """Raise `BadSetting` where a file of rules, limits or control would be refused by whatever executes.

    An approval that is stored first and cannot be executed then is answered, and cannot be given again.
    """
    from resources.reviewed_config import read_books, read_rules, refuse_unknown_sections

    refuse_unknown_sections(desk.settings.config_dir, books=read_books(Path(desk.settings.books_file)))
    read_rules(book, desk.settings.config_dir)
