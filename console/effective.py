"""What is in force here: settings with where they come from, limits, books. Secrets are never read for it.

Settings are declared in resources/settings_model.py; limits and rules stand in reviewed files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.book_outlines import BookOutline
from console.desk import Desk
from resources.settings import PREFIX, SECRETS, Settings, given_variables, shown
from trading.errors import BadSetting

MASKED = "****"
"""Stands for a secret, whether one is set or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSetting:
    """Hold one setting: its variable, the value in force, and its source, `default` or `environment`."""

    variable: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """Hold everything in force: settings, the limits by section of their file, and the books."""

    settings: tuple[EffectiveSetting, ...]
    limits_file: Path
    limits: Mapping[str, Mapping[str, str]]
    books_file: Path
    books: tuple[BookOutline, ...]


def effective(desk: Desk) -> Effective:
    """Return settings, limits and books in force; raises `BadSetting` where the limits cannot be read."""
    path = desk.settings.config_dir / "limits.toml"
    return Effective(
        settings=effective_settings(desk.settings),
        limits_file=path,
        limits=_sections(path),
        books_file=desk.settings.books_file,
        books=tuple(desk.books.values()),
    )


def effective_settings(settings: Settings) -> tuple[EffectiveSetting, ...]:
    """Return every setting with its value and source; a secret's value is never read."""
    given = {f"{PREFIX}{name.removeprefix(PREFIX)}" for name in given_variables()}
    values = {**shown(settings), **{f"{PREFIX}{name.upper()}": MASKED for name in sorted(SECRETS)}}
    return tuple(
        EffectiveSetting(variable=name, value=value, source="environment" if name in given else "default")
        for name, value in values.items()
    )


def _sections(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: {error}; restore the file, without limits nothing is traded") from error
    return {
        name: {key: str(value) for key, value in section.items()}
        for heading, found in content.items()
        for name, section in _named(heading, found)
    }


def _named(heading: str, found: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return a section by its heading, or sections of one heading each with its number."""
    if isinstance(found, list):
        return [(f"{heading} {number}", section) for number, section in enumerate(found, start=1)]
    return [(heading, found)]
