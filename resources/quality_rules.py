"""Read the reviewed files of market-data quality: `config/quality.toml` and `config/releases.toml`.

What the limits mean and what a release can undo is trading/quality.py. Releases that people make at the
desk are journal rows; those in the file are reviewed together with the code, for data in the box.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from trading.errors import BadSetting
from trading.quality import QualityLimits
from trading.values import MICROS


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Hold one reviewed row: its id, what it is (for the reader), and why it is believed."""

    row_id: str
    source: str
    symbol: str
    session: date
    reason: str


def load_quality_limits(path: Path) -> QualityLimits:
    """Return the limits of a file; raises `BadSetting` for a missing, unknown or impossible one."""
    content = _toml(path)
    known = {
        "price_max" if field.name == "price_micros_max" else field.name for field in fields(QualityLimits)
    }
    _refuse_other_keys(path, content, known)
    for name, value in content.items():
        if type(value) is not int:
            raise BadSetting(f"{path}: {name} = {value!r} must be a whole number")
    content["price_micros_max"] = content.pop("price_max") * MICROS
    try:
        return QualityLimits(**content)
    except ValueError as error:
        raise BadSetting(f"{path}: {error}") from error


def load_releases(path: Path) -> tuple[Release, ...]:
    """Return the reviewed releases of a file, in its order; raises `BadSetting` for an incomplete one."""
    content = _toml(path)
    _refuse_other_keys(path, content, {"releases"})
    known = {field.name for field in fields(Release)}
    releases = []
    for entry in content["releases"]:
        _refuse_other_keys(path, entry, known)
        if type(entry["session"]) is not date or not str(entry["reason"]).strip():
            raise BadSetting(f"{path}: release {entry['row_id']}: session must be a date, reason a text")
        releases.append(Release(**entry))
    return tuple(releases)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: {error}") from error


def _refuse_other_keys(path: Path, content: dict[str, Any], known: set[str]) -> None:
    if missing := sorted(known - content.keys()):
        raise BadSetting(f"{path}: {', '.join(missing)} missing; needed: {', '.join(sorted(known))}")
    if unknown := sorted(content.keys() - known):
        raise BadSetting(f"{path}: {', '.join(unknown)} unknown; known: {', '.join(sorted(known))}")
