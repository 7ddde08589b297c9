"""What a journal takes as an argument at all, checked by its type in the port before a database is asked.

Two engines refuse different things in their own words, or store them: a text with NUL, a number that does
not fit, a time without its zone. Here they are one `BadInput` that names the argument. Whether the argument
is right (a version, an epoch, an id) is the store's to say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import wraps
from types import UnionType
from typing import Any, NewType, TypeVar, get_args, get_origin, get_type_hints

from trading.errors import BadInput
from trading.journal import Journal
from trading.orders import BrokerOrder, Fill
from trading.routing import RouteChoice
from trading.values import ClientOrderId, IntentId

TEXT_CHARACTERS_MAX = 10_000
"""The longest text: what a person says, or a reason that was found."""

LONG_TEXT_CHARACTERS_MAX = 1_000_000
LONG_TEXTS = frozenset({"body", "detail", "findings", "plan"})
"""What is made of many lines."""

NUMBER_MAX = 2**62
SECONDS_MAX = 10**9
COMPARED = frozenset({"version", "epoch", "term", "attempt", "after", "outbox_id"})
"""The numbers that are only compared with stored ones: below 0 they are wrong as any other is."""

YEARS = range(1000, 9999)
"""The years whose instants are text of one length, so that text sorts as time."""

NEVER_BLANK = frozenset(
    {
        "book", "lane", "account", "holder", "kind", "stage", "decisions_sha", "row_id", "dedup_key",
        "channel", "severity", "execution_id", "takes_back", "command_id",
    }
)  # fmt: skip
"""The texts that name something, besides ids."""

_LOOKED_INTO = (BrokerOrder, Fill, RouteChoice)
"""What a broker says, and which way to it: their fields are checked too.

Other values check themselves when they are made.
"""

Kind = TypeVar("Kind", bound=type)
Check = Callable[[Any], str]
"""Returns what is wrong with a value, empty where nothing is."""


def checks_arguments(kind: Kind) -> Kind:
    """Let each method of the port refuse arguments of a `trading.journal.Journal` that cannot be meant."""
    for name, method in inspect.getmembers(Journal, inspect.isfunction):
        if not name.startswith("_"):
            setattr(kind, name, _checked(getattr(kind, name), _checks_of(method)))
    return kind


def check_person(actor: str, reason: str) -> None:
    """Refuse what a person says without a name or a reason."""
    if not actor.strip() or not reason.strip():
        raise BadInput(
            f"actor {actor!r}, reason {reason!r}: both are needed, so that people can ask who and why"
        )


def _checked(method: Callable[..., Any], checks: dict[str, Check]) -> Callable[..., Any]:
    in_place = list(checks)

    @wraps(method)
    def asked(self: object, *values: Any, **named: Any) -> Any:
        for name, value in (*zip(in_place, values, strict=False), *named.items()):
            check = checks.get(name)
            if check is not None and (wrong := check(value)):
                raise BadInput(f"{method.__name__}: {name} {_shown(value)}: {wrong}")
        return method(self, *values, **named)

    return asked


def _shown(value: object) -> str:
    """Return a value as it is told of: short, and without what cannot be printed."""
    told = ascii(value)
    return told if len(told) <= 60 else f"{told[:60]}…"  # noqa: PLR2004 - what fits in a line


def _checks_of(method: Callable[..., Any]) -> dict[str, Check]:
    hints = get_type_hints(method)
    return {name: _check_of(name, hint) for name, hint in hints.items() if name != "return"}


def _check_of(name: str, hint: Any) -> Check:
    """Return the check of one argument, by its type."""
    origin = get_origin(hint)
    if origin is UnionType:
        inner = _check_of(name, next(one for one in get_args(hint) if one is not type(None)))
        return lambda value: "" if value is None else inner(value)
    if origin is Callable:
        return lambda value: "" if callable(value) else "must be a function"
    if origin is not None:
        return _each(_check_of(name, get_args(hint)[0]))
    if isinstance(hint, NewType) or hint is str:
        is_named = hint in {IntentId, ClientOrderId} or name in NEVER_BLANK
        limit = LONG_TEXT_CHARACTERS_MAX if name in LONG_TEXTS else TEXT_CHARACTERS_MAX
        return lambda value: _wrong_text(value, limit=limit, is_named=is_named)
    if hint is int:
        most = SECONDS_MAX if name.endswith("_s") else NUMBER_MAX
        return lambda value: _wrong_number(value, least=-most if name in COMPARED else 0, most=most)
    if hint is datetime:
        return _wrong_instant
    if hint is date:
        return _wrong_date
    if hint in _LOOKED_INTO:
        return _of_fields(hint)
    return lambda value: "" if isinstance(value, hint) else f"must be {_article(hint)}"


def _article(kind: type) -> str:
    if issubclass(kind, StrEnum):
        return f"one of {', '.join(repr(str(one)) for one in kind)}"
    return f"a {kind.__name__}"


def _each(check: Check) -> Check:
    def wrong(values: Any) -> str:
        if isinstance(values, str) or not isinstance(values, Iterable):
            return "must be several"
        return next((found for value in values if (found := check(value))), "")

    return wrong


def _of_fields(kind: type) -> Check:
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind)] if is_dataclass(kind) else list(hints)
    checks = {name: _check_of(name, hints[name]) for name in names}

    def wrong(value: Any) -> str:
        if not isinstance(value, kind):
            return f"must be a {kind.__name__}"
        for name, check in checks.items():
            held = getattr(value, name)
            if found := check(held):
                return f"its {name} {_shown(held)}: {found}"
        return ""

    return wrong


def _wrong_text(value: Any, *, limit: int, is_named: bool) -> str:
    if not isinstance(value, str):
        return "must be a text"
    if len(value) > limit:
        return f"is {len(value)} characters long, at most {limit}"
    if "\0" in value:
        return "has a NUL character, which no database keeps"
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return "has half a character, which no file keeps"
    return "must not be blank" if is_named and not value.strip() else ""


def _wrong_number(value: Any, *, least: int, most: int) -> str:
    if type(value) is not int:
        return "must be a whole number"
    return "" if least <= value <= most else f"must be {least} to {most}"


def _wrong_instant(value: Any) -> str:
    if not isinstance(value, datetime):
        return "must be an instant"
    if value.utcoffset() is None:
        return "has no time zone; instants are aware"
    return "" if value.year in YEARS else f"must be of a year from {YEARS[0]} to {YEARS[-1]}"


def _wrong_date(value: Any) -> str:
    return "" if type(value) is date else "must be a date"
