"""Pages from templates: everything that is put in is text unless the template itself is the markup.

The environment escapes always, whatever a template is called, and a name that is missing is an error. Here
too are the few words that templates say values with; what is shown is decided in the view models.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.pages.runbooks import runbook_link
from console.render import NONE, money

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
STATIC = FOLDER / "static"

BPS_PER_PERCENT = 100


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the environment that all pages are made in."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": money,
        "signed": signed_money,
        "instant": instant,
        "day": day,
        "count": count,
        "percent": percent,
        "words": words,
        "short": short,
        "runbook": runbook_link,
    }
    return made


def page(template: str, values: Mapping[str, Any]) -> str:
    """Return a page as text."""
    return environment().get_template(template).render(values)


def signed_money(micros: int | None, currency: str = "") -> str:
    """Return `+12.00 USD` or `−12.00 USD`: a gain and a loss differ by a sign, not by a colour."""
    if micros is None:
        return NONE
    sign = "+" if micros > 0 else "−" if micros < 0 else ""
    return sign + money(abs(micros), currency)


def instant(at: datetime | None, timezone: str = "UTC") -> str:
    """Return an instant in a zone, to the second and with the zone's name, or a dash."""
    return at.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%d %H:%M:%S %Z") if at else NONE


def day(session: date | None) -> str:
    """Return an exchange date, or a dash."""
    return session.isoformat() if session else NONE


def count(number: float | None) -> str:
    """Return a number with thousands separators, or a dash: no data is not zero."""
    return NONE if number is None else f"{number:,}"


def percent(bps: int | None) -> str:
    """Return basis points as percent, or a dash."""
    return NONE if bps is None else f"{bps / BPS_PER_PERCENT:,.2f} %"


def words(name: str) -> str:
    """Return a code as words: `pending_approval` reads `pending approval`."""
    return name.replace("_", " ")


def short(identity: str, length: int = 12) -> str:
    """Return the beginning of an id: enough to find it again."""
    return identity[:length] or NONE
