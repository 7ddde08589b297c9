"""Pages of lists: each begins after the last row that was seen, whatever was added meanwhile.

A cursor says that row in a way that is nobody's business. What is listed is reading.py.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from trading.errors import BadInput

LIMIT_DEFAULT = 100
LIMIT_MAX = 500

Row = TypeVar("Row")


def page_of(
    rows: Sequence[Row], name_of: Callable[[Row], list[str]], *, cursor: str | None, limit: int
) -> tuple[list[Row], str | None]:
    """Return the rows after a cursor, at most `limit`, and the cursor of those that follow.

    `name_of` tells a row from all others of the list. Raises `BadInput` on a cursor that names no row.
    """
    start = 0
    if cursor is not None:
        after = named_by(cursor)
        places = [place for place, row in enumerate(rows) if name_of(row) == after]
        if not places:
            raise BadInput("cursor: names no row of this list; begin without one")
        start = places[0] + 1
    page = list(rows[start : start + limit])
    is_last = start + limit >= len(rows)
    return page, None if is_last or not page else cursor_of(name_of(page[-1]))


def cursor_of(name: Sequence[str]) -> str:
    """Return the cursor that names a row."""
    return base64.urlsafe_b64encode(json.dumps(list(name)).encode()).decode().rstrip("=")


def named_by(cursor: str) -> list[str]:
    """Return the name of the row that a cursor names; raises `BadInput`."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        name = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise BadInput("cursor: is none of ours; take it from `next` as it stands") from error
    if not isinstance(name, list) or not all(isinstance(part, str) for part in name):
        raise BadInput("cursor: is none of ours; take it from `next` as it stands")
    return name
