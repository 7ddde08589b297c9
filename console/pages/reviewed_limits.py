"""The limits in force with the reason that stands beside each in its reviewed file.

A limit's reason is the comment on its line; values are those that `trading config show` tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from console.effective import Effective

_LINE = re.compile(r"^(?P<name>[A-Za-z_][\w-]*)\s*=\s*(?P<rest>.*)$")
_SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]")
_COMMENTED = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^"#])*#(?P<comment>.*)')
"""A value and the comment after it: a number sign inside a text begins none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitShown:
    """Hold one limit: its name, which ends in its unit, its value, and why it is what it is."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSection:
    """Hold the limits of one section: `default`, or what a book has instead."""

    name: str
    rows: tuple[LimitShown, ...]


def limits_shown(found: Effective) -> tuple[LimitSection, ...]:
    """Return the limits in force, section by section in the order of their file."""
    reasons = reasons_in(found.limits_file.read_text(encoding="utf-8"))
    return tuple(
        LimitSection(
            name=section,
            rows=tuple(
                LimitShown(name=name, value=value, reason=reasons.get((section, name), ""))
                for name, value in rows.items()
            ),
        )
        for section, rows in found.limits.items()
    )


def reasons_in(text: str) -> dict[tuple[str, str], str]:
    """Return the comment beside each key of a TOML text, by section and key."""
    section, found = "", {}
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section = heading["name"].strip()
        elif row := _LINE.match(line):
            commented = _COMMENTED.match(row["rest"])
            found[section, row["name"]] = commented["comment"].strip() if commented else ""
    return found
