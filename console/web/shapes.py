"""How views look in JSON: a typed model of each, made from the view itself, so that neither can drift.

Money becomes its amount as a decimal string with its currency, times RFC 3339 in UTC. What a view holds is
said where it is made (console/); terminals get theirs by console/render.py.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from console.freshness import Freshness
from trading.values import amount_from_micros

MICROS = "_micros"

View = TypeVar("View")


class Money(BaseModel):
    """Hold an amount exactly."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": "1234.56", "currency": "USD"}]})

    amount: Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal number, exact.")]
    currency: Annotated[str, Field(description="ISO 4217.")]


class Stamp(BaseModel):
    """Hold of when an answer is."""

    as_of: Annotated[datetime, Field(description="When the stores were read.")]
    mode: Annotated[str, Field(description="simulated, paper or live: whose money moves.")]
    stale: Annotated[bool, Field(description="Quotes of a book end before the last session that has closed.")]


class One(Stamp, Generic[View]):
    """Hold one thing."""

    item: View


class Listed(Stamp, Generic[View]):
    """Hold a page of a list."""

    items: list[View]
    next: Annotated[str | None, Field(description="The `cursor` of the next page, null on the last.")]


class Changed(Stamp, Generic[View]):
    """Hold what a change did, or on a dry run would have done."""

    item: View
    dry_run: Annotated[bool, Field(description="True where nothing was kept of it.")]


@cache
def shape_of(kind: Any) -> Any:
    """Return the model of a dataclass or a NamedTuple."""
    named = get_type_hints(kind)
    order = [row.name for row in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    members: dict[str, Any] = {_name(name): (_type_of(named[name], name), ...) for name in order}
    return create_model(kind.__name__, __doc__=kind.__doc__, __module__=kind.__module__, **members)


def shaped(value: Any, currency: str = "") -> Any:
    """Return a view as JSON values; `currency` is that of amounts whose own view names none."""
    if is_dataclass(value) and not isinstance(value, type):
        items = {row.name: getattr(value, row.name) for row in fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = dict(zip(value._fields, value, strict=True))
    elif isinstance(value, Mapping):
        return {_name(_text(key)): _member(_text(key), part, currency) for key, part in value.items()}
    elif isinstance(value, list | tuple | set | frozenset):
        return [shaped(part, currency) for part in value]
    else:
        return _leaf(value)
    currency = _currency_in(items) or currency
    return {_name(name): _member(name, part, currency) for name, part in items.items()}


def one_of(kind: Any) -> Any:
    """Return the model of an answer that holds one view of a kind."""
    return _made(One, shape_of(kind))


def list_of(kind: Any) -> Any:
    """Return the model of an answer that holds a page of views."""
    return _made(Listed, shape_of(kind))


def change_of(kind: Any) -> Any:
    """Return the model of an answer that says what a change did."""
    return _made(Changed, shape_of(kind))


def one(view: Any, fresh: Freshness, *, currency: str = "") -> dict[str, Any]:
    """Return the answer that holds one thing."""
    return {"item": shaped(view, currency), **shaped(fresh)}


def listed(views: Sequence[Any], fresh: Freshness, *, following: str | None = None) -> dict[str, Any]:
    """Return the answer that holds a page of a list."""
    return {"items": [shaped(view) for view in views], "next": following, **shaped(fresh)}


def changed(view: Any, fresh: Freshness, *, dry_run: bool, currency: str = "") -> dict[str, Any]:
    """Return the answer that says what a change did."""
    return {**one(view, fresh, currency=currency), "dry_run": dry_run}


def _member(name: str, value: Any, currency: str) -> Any:
    if not name.endswith(MICROS) or value is None:
        return shaped(value, currency)
    if not currency and isinstance(value, int):
        raise TypeError(f"{name}: an amount without its currency")
    return {"amount": f"{amount_from_micros(value):f}", "currency": currency}


def _currency_in(items: Mapping[str, Any]) -> str:
    """Return the currency of a view: its own, or that of the intent that it is about."""
    if isinstance(items.get("currency"), str):
        return str(items["currency"])
    for name in ("intent", "pending"):
        about = items.get(name)
        for whose in (about, getattr(about, "intent", None)):
            if isinstance(found := getattr(whose, "currency", None), str):
                return found
    return ""


def _leaf(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    return value


def _name(name: str) -> str:
    return name.removesuffix(MICROS)


def _text(key: Any) -> str:
    return str(key.value if isinstance(key, Enum) else key)


def _type_of(hint: Any, name: str) -> Any:
    """Return how a member's type reads in JSON."""
    if isinstance(hint, NewType):
        return _type_of(hint.__supertype__, name)
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return Union[tuple(_type_of(part, name) for part in parts)]  # noqa: UP007 - the parts are made here
    if name.endswith(MICROS) and hint is int:
        return Money
    if origin in {tuple, list, set, frozenset} or (isinstance(origin, type) and _is_sequence(origin)):
        return _made(list, _type_of(parts[0], name))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _made(dict, (str, _type_of(parts[1], name)))
    if not isinstance(hint, type) or hint is type(None):
        return hint
    if is_dataclass(hint) or hasattr(hint, "_fields"):
        return shape_of(hint)
    if issubclass(hint, IntEnum):
        return int
    return str if issubclass(hint, Decimal | Path) else hint


def _made(generic: Any, parts: Any) -> Any:
    """Return a generic type of parts that are known only now."""
    return generic[parts]


def _is_sequence(origin: type) -> bool:
    return issubclass(origin, Sequence)
