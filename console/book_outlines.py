"""What a reading verb has to know of a book: its name, calendar, currency and the sessions of its data.

A few keys of `config/books.toml`, read without pydantic, NumPy and the strategies, since a reading verb
answers in a moment. The whole book with its rules is resources/reviewed_config.py; `trading doctor` reads it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trading.errors import BadInput, BadSetting
from trading.values import micros_from_text

COSTS = ("slippage_bps", "commission_bps", "participation_bps")
"""The parts of a cost model, by which a replay may differ from its book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookOutline:
    """Hold a book as its section names it; the data's bounds are `None` where only the source knows them.

    `deposit_micros` is what it opens with, in micro-units of `currency`; `costs` are basis points by name,
    as far as its section tells them.
    """

    name: str
    title: str
    calendar: str
    currency: str
    account: str
    deposit_micros: int
    costs: Mapping[str, int]
    first_session: date | None
    last_session: date | None


def read_book_outlines(path: Path) -> dict[str, BookOutline]:
    """Return the books of a file by name; raises `BadSetting` naming file, book and key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadSetting(
            f"{path}: no such file; run in the repository's folder, set TRADING_BOOKS_FILE, or restore it"
        ) from error
    except OSError as error:
        raise BadSetting(f"{path}: {error.strerror}; make it readable, or set TRADING_BOOKS_FILE") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: {error}; correct the line it names") from error
    if not content:
        raise BadSetting(f"{path}: no book in it; add a section, e.g. [us_five]")
    return {name: _outline(name, section, path) for name, section in content.items()}


def require_book(books: dict[str, BookOutline], name: str) -> BookOutline:
    """Return a book by name; raises `BadInput` naming the known ones."""
    if name in books:
        return books[name]
    near = get_close_matches(name, books, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise BadInput(f"book {name!r}: no such book; {meant}known: {', '.join(books)}")


def _outline(name: str, section: Any, path: Path) -> BookOutline:
    if not isinstance(section, dict):
        raise BadSetting(f"{path} {name} = {section!r}: a book is a section, e.g. [{name}]")
    return BookOutline(
        name=name,
        title=_text(section, "title", name, path),
        calendar=_text(section, "calendar", name, path),
        currency=_text(section, "currency", name, path),
        account=_text(section, "account", name, path),
        deposit_micros=_money(section, "deposit", name, path),
        # One that is no number is for `trading doctor` to refuse: here it is compared with nothing.
        costs={cost: bps for cost in COSTS if isinstance(bps := section.get(cost), int)},
        first_session=_date(section, "first_session", name, path),
        last_session=_date(section, "last_session", name, path),
    )


def _text(section: dict[str, Any], key: str, name: str, path: Path) -> str:
    value = section.get(key)
    if not isinstance(value, str) or not value:
        raise BadSetting(f"{path} [{name}] {key} = {value!r}: a text is needed")
    return value


def _money(section: dict[str, Any], key: str, name: str, path: Path) -> int:
    try:
        return micros_from_text(_text(section, key, name, path))
    except BadSetting:
        raise
    except BadInput as error:
        raise BadSetting(f"{path} [{name}] {key}: {error}") from error


def _date(section: dict[str, Any], key: str, name: str, path: Path) -> date | None:
    value = section.get(key)
    if value is None or type(value) is date:
        return value
    raise BadSetting(f"{path} [{name}] {key} = {value!r}: a date is needed, e.g. 2013-03-01 without quotes")
