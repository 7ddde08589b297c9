"""Read an exchange's calendar from its generated file in `config/calendars/`.

What a calendar can say is trading/sessions.py; how the file is made is config/calendars/generate.py.
Light on purpose: the command line reads calendars before it has decided to import anything big.
"""

from __future__ import annotations

import json
from datetime import date, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from trading.errors import BadSetting
from trading.sessions import Calendar


@lru_cache(maxsize=16)
def load_calendar(name: str, folder: Path) -> Calendar:
    """Return the calendar of a market by its code, e.g. `XNYS`, from `<folder>/<name>.json`.

    Raises `BadSetting` where there is no such file, or where it cannot be read.
    """
    path = folder / f"{name}.json"
    known = sorted(file.stem for file in folder.glob("*.json"))
    if name not in known:
        raise BadSetting(
            f"no calendar for market {name!r}: {path} does not exist; known: {', '.join(known) or 'none'}. "
            "Use a known one, or add the market to generate.py beside them and run it"
        )
    try:
        return _calendar_from(json.loads(path.read_text(encoding="utf-8")))
    except KeyError as error:
        raise BadSetting(f"calendar {path}: {error} is missing; run generate.py beside it again") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadSetting(f"calendar {path}: {error}; run generate.py beside it again") from error


def _calendar_from(content: dict[str, Any]) -> Calendar:
    holidays = {date.fromisoformat(day): str(why) for day, why in content["holidays"].items()}
    return Calendar(
        name=content["name"],
        timezone=content["timezone"],
        open_time=time.fromisoformat(content["open_time"]),
        close_time=time.fromisoformat(content["close_time"]),
        sessions=_weekdays_without(
            holidays,
            first=date.fromisoformat(content["first_session"]),
            last=date.fromisoformat(content["last_session"]),
        ),
        early_closes={
            date.fromisoformat(day): time.fromisoformat(at) for day, at in content["early_closes"].items()
        },
        holidays=holidays,
    )


def _weekdays_without(holidays: dict[date, str], *, first: date, last: date) -> tuple[date, ...]:
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return tuple(day for day in days if day.weekday() < 5 and day not in holidays)  # noqa: PLR2004 - Mon to Fri
