"""Read the reviewed file of routes, `config/routes.toml`: each contradiction in it is refused by name.

What a route is stands in trading/routing.py; which adapter is behind a name is profiles.py. Without the file
every order goes to the embedded paper broker, as it did before there were routes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resources.setting_names import Profile
from trading.errors import BadInput, BadSetting
from trading.routing import ANY, EMBEDDED_PAPER, RouteLine, RouteTable
from trading.values import micros_from_text

PAPER_EXCHANGE = "paper_exchange"
ALPACA_PAPER = "alpaca_paper"
ALPACA_LIVE = "alpaca_live"


class AdapterKind(NamedTuple):
    """Say of an adapter whether real money answers, and whether one address and key reach one account."""

    is_live: bool
    is_remote: bool


ADAPTERS: Mapping[str, AdapterKind] = {
    EMBEDDED_PAPER: AdapterKind(is_live=False, is_remote=False),
    PAPER_EXCHANGE: AdapterKind(is_live=False, is_remote=True),
    ALPACA_PAPER: AdapterKind(is_live=False, is_remote=True),
    ALPACA_LIVE: AdapterKind(is_live=True, is_remote=True),
}
"""Every adapter that a route may name."""

DEFAULT = RouteLine(
    account=ANY,
    market=ANY,
    strategy=ANY,
    adapters=(EMBEDDED_PAPER,),
    reason="without a file of routes, the paper broker in this process",
)


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Route(_Line):
    account: str = Field(min_length=1)
    market: str = Field(min_length=1)
    strategy: str = Field(min_length=1)
    adapters: tuple[str, ...]
    reason: str
    profile: Profile | None = None


class _Adapter(_Line):
    account: str = Field(min_length=1)
    opening_cash: str | None = None


class _File(_Line):
    routes: tuple[_Route, ...]
    adapters: dict[str, _Adapter] = {}


Model = TypeVar("Model", bound=BaseModel)


class Traded(NamedTuple):
    """Name what a book trades as: its account, and the calendar of its market."""

    account: str
    market: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Hold the lines of one profile, and what the adapters over a network were opened with (micro-units).

    An adapter without an opening of its own was opened with the book's deposit.
    """

    table: RouteTable
    openings: Mapping[str, int]


def read_routes(
    path: Path, *, profile: Profile, books: Mapping[str, Traded], shipped: Iterable[Traded] = ()
) -> Routes:
    """Return the routes of a profile; raises `BadSetting` naming the line and what contradicts it.

    Refused are: an adapter nobody knows, a book without a route, one adapter for two accounts, a live
    adapter outside of profile live, live and paper in one route, two lines of which neither is the more
    specific one, and a line that no book would ever use. `shipped` books may always have theirs.
    """
    if not path.exists():
        return Routes(table=RouteTable(lines=(DEFAULT,)), openings={})
    content = _parsed(path)
    known = {*books.values(), *shipped}
    for number, route in enumerate(content.routes, start=1):
        where = f"{path} [routes {number}]"
        _refuse_unread(route, where, known)
        for name in route.adapters:
            _refuse_misplaced(route, name, where, content.adapters)
        _refuse_mixture(route, where)
    for name, adapter in content.adapters.items():
        if not ADAPTERS.get(name, ADAPTERS[EMBEDDED_PAPER]).is_remote:
            raise BadSetting(f"{path} [adapters.{name}]: nothing reads it; known are {_remote()}")
        if adapter.account not in {traded.account for traded in known}:
            raise BadSetting(f"{path} [adapters.{name}] account = {adapter.account!r}: is of no book")
    try:
        table = RouteTable(
            lines=tuple(
                RouteLine(**route.model_dump(exclude={"profile"}))
                for route in content.routes
                if route.profile in {None, profile}
            )
        )
    except ValueError as error:
        raise BadSetting(f"{path}: {error}") from error
    for book, traded in books.items():
        # No strategy is called like this: what is asked for is the line of those that have none of their own.
        if table.line_for(account=traded.account, market=traded.market, strategy="") is None:
            raise BadSetting(
                f"{path}: no route for book {book} (account {traded.account}, market {traded.market}, any "
                f'strategy) in profile {profile}; add one, e.g. adapters = ["{EMBEDDED_PAPER}"]'
            )
    return Routes(table=table, openings=_openings(path, content.adapters))


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = _where(first["loc"])
        if first["type"] == "missing":
            raise BadSetting(f"{path} {where}: missing") from error
        raise BadSetting(f"{path} {where} = {first['input']!r}: {first['msg']}") from error


def _where(place: tuple[Any, ...]) -> str:
    """Return how a person finds a key: list places count from 1, as in the other reviewed files."""
    section, *rest = place
    if rest and isinstance(rest[0], int):
        return f"[{section} {rest[0] + 1}] {'.'.join(str(part) for part in rest[1:])}".rstrip()
    return f"[{section}] {'.'.join(str(part) for part in rest)}".rstrip()


def _refuse_unread(route: _Route, where: str, known: Collection[Traded]) -> None:
    """Raise `BadSetting` at a misspelt account or market: the line would hold for nothing, in silence."""
    for name, value, told in (
        ("account", route.account, {traded.account for traded in known}),
        ("market", route.market, {traded.market for traded in known}),
    ):
        if value not in {ANY, *told}:
            raise BadSetting(
                f"{where} {name} = {value!r}: no book has it; known are {', '.join(sorted(told))}"
            )


def _refuse_misplaced(route: _Route, name: str, where: str, adapters: Mapping[str, _Adapter]) -> None:
    """Raise `BadSetting` at an adapter that nobody knows, of another account, or of another profile."""
    kind = ADAPTERS.get(name)
    if kind is None:
        raise BadSetting(f"{where} adapters: {name!r} is no adapter; known are {', '.join(ADAPTERS)}")
    if kind.is_live and route.profile is not Profile.LIVE:
        raise BadSetting(
            f'{where} adapters: {name} moves real money; its line needs profile = "live" beside it'
        )
    if not kind.is_remote:
        return
    if name not in adapters:
        raise BadSetting(
            f"{where} adapters: {name} reaches one account; say which in [adapters.{name}] account"
        )
    if route.account != adapters[name].account:
        raise BadSetting(
            f"{where} adapters: {name} reaches account {adapters[name].account} alone, the line is for "
            f"{route.account!r}; an order of one account never goes to another's adapter"
        )


def _refuse_mixture(route: _Route, where: str) -> None:
    if len({ADAPTERS[name].is_live for name in route.adapters}) > 1:
        raise BadSetting(
            f"{where} adapters: {', '.join(route.adapters)} are live and paper in one route; an order that "
            "was meant for money would be pretended, or the other way round"
        )


def _openings(path: Path, adapters: Mapping[str, _Adapter]) -> dict[str, int]:
    found = {}
    for name, adapter in adapters.items():
        if adapter.opening_cash is not None:
            try:
                found[name] = micros_from_text(adapter.opening_cash)
            except BadInput as error:
                raise BadSetting(f"{path} [adapters.{name}] opening_cash: {error}") from error
    return found


def _remote() -> str:
    return ", ".join(name for name, kind in ADAPTERS.items() if kind.is_remote)
