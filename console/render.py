"""What people and scripts read: aligned text tables, and the JSON of a view.

Plain text without colour, so that `NO_COLOR` has nothing to switch off and a word always says what a colour
would. Numbers come in micro-units and leave as exact decimals. What is shown is decided in status.py, why.py,
trace.py and their neighbours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from trading.values import amount_from_micros

NONE = "–"
"""Stands where there is no value: no data is not zero."""

NOT_SHOWN = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""What no line of text may hold: breaks, tabs, escapes of a terminal, and what turns the writing direction.

With it one text could be read as several lines, or as another text than it is (Unicode TR 36, 2.5).
"""

_NOT_SHOWN = re.compile(f"[{NOT_SHOWN}]")
_NOT_SHOWN_BUT_BREAKS = re.compile(f"(?!\n)[{NOT_SHOWN}]")


def is_shown(text: str) -> bool:
    """Say whether a text is one line that reads as what it is."""
    return _NOT_SHOWN.search(text) is None


def in_one_line(text: str) -> str:
    """Return a text as one line: what is not shown stands there as its escape."""
    return _NOT_SHOWN.sub(_escaped, text)


def in_lines(text: str) -> str:
    """Return a text of several lines, each as it reads."""
    return _NOT_SHOWN_BUT_BREAKS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def money(micros: int | None, currency: str = "") -> str:
    """Return `1,234.56 USD`, cents shown (ROUND_HALF_EVEN), or a dash where there is none."""
    if micros is None:
        return NONE
    amount = amount_from_micros(micros).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return f"{amount:,} {currency}".rstrip()


def instant(at: datetime | None) -> str:
    """Return a UTC instant to the second, or a dash."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else NONE


def counted(count: int, noun: str) -> str:
    """Return `1 fill`, `2 fills` or `2,000 fills`."""
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def short(identity: str, length: int = 16) -> str:
    """Return the start of an id or digest: enough to find it again by prefix."""
    return identity[:length] or NONE


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows under headers, columns aligned, numbers to the right; two spaces between columns."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(header), *(len(row[i]) for row in cells)) if cells else len(header)
        for i, header in enumerate(headers)
    ]
    right = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(headers))]
    lines = [_line(headers, widths, right), _line(["-" * width for width in widths], widths, right)]
    lines += [_line(row, widths, right) for row in cells]
    return "\n".join(lines)


def pairs(items: Mapping[str, object]) -> str:
    """Return names and values in two columns."""
    width = max((len(name) for name in items), default=0)
    return "\n".join(f"{name.ljust(width)}  {_cell(value)}".rstrip() for name, value in items.items())


def json_text(value: Any) -> str:
    """Return the one JSON object of a view; raises `TypeError` for a value that has no JSON form.

    What is not shown is escaped as JSON has it, so that the value is what it was.
    """
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    return _NOT_SHOWN_BUT_BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(value: Any) -> Any:
    """Return a view as JSON values: `…_micros` becomes a decimal string under its name without the unit."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_items((field.name, getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _plain_items(zip(value._fields, value, strict=True))
    if isinstance(value, Mapping):
        return _plain_items(value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} {value!r}: has no JSON form")


def _plain_items(items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in items:
        key = str(name.value if isinstance(name, Enum) else name)
        if key.endswith("_micros"):
            made[key.removesuffix("_micros")] = None if value is None else f"{amount_from_micros(value):f}"
        else:
            made[key] = plain(value)
    return made


def _cell(value: object) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:,}" if isinstance(value, int) else in_one_line(str(value))


def _is_number(cell: str) -> bool:
    return (
        cell == NONE
        or cell.split(" ", maxsplit=1)[0].replace(",", "").replace(".", "").lstrip("+-").isdigit()
    )


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(placed).rstrip()
