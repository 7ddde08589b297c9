"""What a journal takes as an argument at all, checked by its type in the port before a database is asked.

Two engines refuse different things in their own words, or store them: a text with NUL, a number that does
not fit, a time without its zone. Here they are one `BadInput` that names the argument, and in a value or in
several of them the place. Whether the argument is right (a version, an epoch, an id) is the store's to say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import wraps
from operator import itemgetter
from types import UnionType
from typing import Any, NamedTuple, NewType, TypeVar, get_args, get_origin, get_type_hints

from trading.approvals import StageRecord
from trading.decisions import Decision
from trading.errors import BadInput
from trading.guards import Why
from trading.intents import Intent
from trading.journal import CooldownRules, Journal, StageRun
from trading.orders import BrokerOrder, Fill
from trading.positions import Book, Position
from trading.routing import RouteChoice
from trading.values import ClientOrderId, IntentId
from trading.verdicts import Verdict

TEXT_CHARACTERS_MAX = 10_000
"""The longest text: what a person says, or a reason that was found."""

LONG_TEXT_CHARACTERS_MAX = 1_000_000
LONG_TEXTS = frozenset({"body", "detail", "findings", "plan"})
"""What is made of many lines."""

NUMBER_MAX = 2**62
SECONDS_MAX = 10**9
COMPARED = frozenset({"version", "epoch", "term", "attempt", "after", "outbox_id"})
"""The numbers that are only compared with stored ones: below 0 they are wrong as any other is."""

SIGNED_MAX = 2**63 - 1
"""The most that a column keeps, above 0 and below: what guards saw and a book holds may be negative."""

YEARS = range(1000, 9960)
"""The years whose instants are text of one length, so that text sorts as time.

`SECONDS_MAX` after the last of them is still an instant.
"""

NEVER_BLANK = frozenset(
    {
        "book", "lane", "account", "holder", "kind", "stage", "decisions_sha", "row_id", "dedup_key",
        "channel", "severity", "execution_id", "takes_back", "command_id", "owner",
    }
)  # fmt: skip
"""The texts that name something, besides ids."""

_SIGNED = (Verdict, Why, Book, Position)
_LOOKED_INTO = (
    *_SIGNED, BrokerOrder, Fill, RouteChoice, Decision, Intent, StageRecord, StageRun, CooldownRules
)  # fmt: skip
"""The values that the journal stores: their fields are checked too, whether they check themselves or not.

Other values are only compared with what is stored.
"""

Kind = TypeVar("Kind", bound=type)


class Within(NamedTuple):
    """Hold what is wrong within a value: the way to the innermost one that is, that one, and its rule."""

    way: str
    held: object
    rule: str

    def __str__(self) -> str:
        """Tell of the innermost one, and the way to it."""
        return f"{self.way} {_shown(self.held)}: {self.rule}"


Wrong = str | Within
"""The rule that a value breaks, or where within it another one breaks one; empty where all is right."""

Check = Callable[[Any], Wrong]


def checks_arguments(kind: Kind) -> Kind:
    """Let each method of the port refuse arguments of a `trading.journal.Journal` that cannot be meant."""
    for name, method in inspect.getmembers(Journal, inspect.isfunction):
        if not name.startswith("_"):
            setattr(kind, name, _checked(getattr(kind, name), _checks_of(method)))
    return kind


def check_review(whys: Any) -> None:
    """Refuse what is no answer of a review."""
    if wrong := _wrong_review(whys):
        raise BadInput(f"review: {_shown(whys)}: {wrong}")


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


def _within(place: str, value: object, wrong: Wrong) -> Within:
    """Return what is wrong at a place in a value, seen from outside of it."""
    if isinstance(wrong, Within):
        return wrong._replace(way=f"{place}: {wrong.way}")
    return Within(place, value, wrong)


def _checks_of(method: Callable[..., Any]) -> dict[str, Check]:
    hints = get_type_hints(method)
    return {name: _check_of(name, hint) for name, hint in hints.items() if name != "return"}


def _check_of(name: str, hint: Any, *, is_signed: bool = False) -> Check:
    """Return the check of one argument, by its type."""
    origin = get_origin(hint)
    if origin is UnionType:
        inner = _check_of(name, next(one for one in get_args(hint) if one is not type(None)))
        return lambda value: "" if value is None else inner(value)
    if origin is Callable:
        return lambda value: "" if callable(value) else "must be a function"
    if origin is not None:
        inside = get_args(hint)[0]
        return _each(origin, _check_of(name, inside), inside)
    if isinstance(hint, NewType) or hint is str:
        is_named = hint in {IntentId, ClientOrderId} or name in NEVER_BLANK
        limit = LONG_TEXT_CHARACTERS_MAX if name in LONG_TEXTS else TEXT_CHARACTERS_MAX
        return lambda value: _wrong_text(value, limit=limit, is_named=is_named)
    if hint is int:
        if is_signed:
            return lambda value: _wrong_number(value, least=-SIGNED_MAX, most=SIGNED_MAX)
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


def _each(several: Any, check: Check, kind: Any) -> Check:
    """Return the check of several values: what can be looked at once only would be stored as nothing."""
    is_right_at_once = _columns_are_right(kind)

    def wrong(values: Any) -> Wrong:
        if isinstance(values, str) or not isinstance(values, several):
            return f"must be {_article(several)}"
        if is_right_at_once(values):
            return ""
        for place, value in enumerate(values):
            if found := check(value):
                return _within(f"number {place + 1}", value, found)
        return ""

    return wrong


def _columns_are_right(kind: Any) -> Callable[[Collection[Any]], bool]:
    """Return what says that all is right with many rows of a kind, each of their columns looked at as one.

    Its values are few where rows are many. Where it says no, each row is looked at by itself.
    """
    checks = _field_checks(kind) if kind in _LOOKED_INTO and issubclass(kind, tuple) else {}
    hints = get_type_hints(kind) if checks else {}
    columns = [
        (_type_of(hints[name]), check, itemgetter(place))
        for place, (name, check) in enumerate(checks.items())
    ]

    def are_right(rows: Collection[Any]) -> bool:
        if set(map(type, rows)) != {kind}:
            return False
        for held, check, of_row in columns:
            column = list(map(of_row, rows))
            # Equal values of two types, as 1 and True, are one in a set.
            if set(map(type, column)) != {held}:
                return False
            if any(map(check, (min(column), max(column)) if held is int else set(column))):
                return False
        return True

    return are_right if columns else lambda _: False


def _type_of(hint: Any) -> Any:
    return str if isinstance(hint, NewType) else hint


def _of_fields(kind: type) -> Check:
    checks = _field_checks(kind)

    def wrong(value: Any) -> Wrong:
        if not isinstance(value, kind):
            return f"must be {_article(kind)}"
        for name, check in checks.items():
            held = getattr(value, name)
            if found := check(held):
                return _within(f"its {name}", held, found)
        return ""

    return wrong


def _field_checks(kind: type) -> dict[str, Check]:
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind)] if is_dataclass(kind) else list(hints)
    return {name: _check_of(name, hints[name], is_signed=kind in _SIGNED) for name in names}


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


_wrong_review = _check_of("review", Sequence[Why])
