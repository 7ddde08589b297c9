"""What is in force here: settings with where they come from, limits, books. Secrets are never read for it.

Settings are declared in resources/settings_model.py; limits and rules stand in reviewed files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.book_outlines import BookOutline
from console.desk import Desk
from resources.settings import PREFIX, SECRETS, Settings, describe_settings, shown
from trading.errors import BadSetting

MASKED = "hidden"
"""Stands for a secret, whether it is set or not: that it is set is not told either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSetting:
    """Hold one setting: its variable, value in force, whether that is the `default` or was `set`, and why."""

    variable: str
    value: str
    source: str
    meaning: str


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
    """Return every setting with its value and source, in the order they are declared."""
    values = shown(settings)
    made = made_by_default(settings)
    lines = []
    for line in describe_settings():
        name = line.variable.removeprefix(PREFIX).lower()
        if name in SECRETS:
            lines.append(
                EffectiveSetting(variable=line.variable, value=MASKED, source="secret", meaning=line.meaning)
            )
            continue
        value = values[line.variable]
        default = made.get(name, line.default)
        source = "default" if value == default else "set"
        lines.append(
            EffectiveSetting(variable=line.variable, value=value, source=source, meaning=line.meaning)
        )
    return tuple(lines)


def made_by_default(settings: Settings) -> dict[str, str]:
    """Return the values of settings whose default is made from others, as text by name."""
    return {
        "state_dir": str(Path.cwd() / ".trading"),
        "config_dir": str(Path.cwd() / "config"),
        "books_file": str(settings.config_dir / "books.toml"),
        "journal_url": f"sqlite:///{settings.profile_dir / 'journal.db'}",
        "lake_root": str(settings.profile_dir / "lake"),
    }


def _sections(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: {error}; restore the file, without limits nothing is traded") from error
    return {name: {key: str(value) for key, value in section.items()} for name, section in content.items()}
