"""Read the reviewed files in `config/`: books, rules, strategies, limits. Each mistake is named exactly.

What the numbers mean stands in the files; the values they become are trading/books.py, rules and limits.
Settings that differ by machine are settings.py, not here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.allocation import AllocationRules
from trading.books import BookConfig, Rules
from trading.candidates import ScannerRules
from trading.council import CouncilRules
from trading.errors import BadInput, BadSetting
from trading.guards import BPS
from trading.limits import Limits
from trading.quotes import MarketData
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.strategies.plugin import Strategy, load_strategy
from trading.values import Symbol, micros_from_text

Model = TypeVar("Model", bound=BaseModel)
Ratio = Field(ge=0, le=1)
Bps = Field(ge=0, le=10_000)

RULES_SECTIONS = ("scanner", "council", "allocation")

_Part = tuple[str, dict[str, Any]]
"""A section's name and its keys."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BookLine(_Line):
    """Hold one section of `books.toml`."""

    title: str
    source: Literal["bokeh_stocks", "bytetheory", "folder"]
    calendar: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    account: str = Field(min_length=1)
    deposit: str
    slippage_bps: int = Bps
    commission_bps: int = Bps
    participation_bps: int = Field(gt=0, le=10_000)
    path: Path | None = None
    date_style: Literal["mdy", "dmy"] | None = None
    first_session: date | None = None
    last_session: date | None = None


class _Scanner(_Line):
    window_sessions: int = Field(gt=21)
    history_sessions: int = Field(gt=21)
    top: int = Field(gt=0)
    confidence_min: float = Ratio
    risk_score_max: float = Ratio
    trend_weight: float
    strength_weight: float
    activity_weight: float
    calm_weight: float
    open_order_penalty: float


class _Council(_Line):
    quorum: int = Field(gt=0)
    support_min: float = Ratio
    exit_quorum: int = Field(gt=0)
    exit_support_min: float = Ratio


class _Allocation(_Line):
    position_bps: int = Bps
    cap_bps: int = Bps
    reserve_bps: int = Bps
    band_bps: int = Bps
    step_bps: int = Field(gt=0, le=10_000)
    lot: int = Field(gt=0)


class _StrategyLine(_Line):
    weight: float = Field(gt=0)
    parameters: dict[str, int | float | str | bool] = {}


class _Limits(_Line):
    order_notional_max: str
    symbol_weight_bps_max: int = Bps
    auto_approve_notional: str
    cost_bps: int = Bps
    quote_age_s_max: int = Field(gt=0)
    stale_ratio_bps_max: int = Bps
    allowlist: tuple[str, ...] = ()


def read_books(path: Path) -> dict[str, BookLine]:
    """Return the sections of `books.toml` by book name.

    Raises `BadSetting` naming file, book, key, value and rule.
    """
    content = _toml(path)
    if not content:
        raise BadSetting(f"{path}: no book in it; add a section, e.g. [us_five]")
    books = {}
    for name in content:
        if not name.isidentifier() or not name.islower():
            raise BadSetting(f"{path} [{name}]: a book's name is a lower-case word of letters, digits and _")
        books[name] = _parsed(BookLine, path, _part(content, path, name))
        _refuse_contradictions(books[name], f"{path} [{name}]")
        _refuse_shared_account(books, name, path)
    return books


def book_config(
    name: str, line: BookLine, *, config_dir: Path, source: MarketData, calendar: Calendar
) -> BookConfig:
    """Return one book with its rules; the source's sessions bound it where the file does not.

    Raises `BadSetting` naming file, section, key, value and rule.
    """
    first, last = line.first_session, line.last_session
    if first is None or last is None:
        traded = [day for day in source.sessions() if day in calendar]
        if not traded:
            raise BadSetting(f"books.toml [{name}]: its source has no bar on any session of {line.calendar}")
        first, last = first or traded[0], last or traded[-1]
    rules = read_rules(name, config_dir)
    if (BPS + line.slippage_bps) * (BPS + line.commission_bps) > BPS * (BPS + rules.limits.cost_bps):
        raise BadSetting(
            f"books.toml [{name}] slippage_bps = {line.slippage_bps}, commission_bps = {line.commission_bps} "
            f"are over cost_bps = {rules.limits.cost_bps} in limits.toml; a buy could cost more than there is"
        )
    return BookConfig(
        name=name,
        title=line.title,
        calendar=line.calendar,
        currency=line.currency,
        account=line.account,
        deposit_micros=_money(line.deposit, f"books.toml [{name}] deposit"),
        source=line.source,
        first_session=first,
        last_session=last,
        rules=rules,
        costs=FillModel(
            slippage_bps=line.slippage_bps,
            commission_bps=line.commission_bps,
            participation_bps=line.participation_bps,
        ),
    )


def read_rules(book: str, config_dir: Path) -> Rules:
    """Return the rules of a book from `rules.toml`, `strategies.toml` and `limits.toml`."""
    path = config_dir / "rules.toml"
    content = _toml(path)
    scanner = _parsed(_Scanner, path, *_rules_parts(content, path, "scanner", book))
    council = _parsed(_Council, path, *_rules_parts(content, path, "council", book))
    allocation = _parsed(_Allocation, path, *_rules_parts(content, path, "allocation", book))
    strategies = read_strategies(config_dir / "strategies.toml")
    for key, votes in (("quorum", council.quorum), ("exit_quorum", council.exit_quorum)):
        if votes > len(strategies):
            raise BadSetting(
                f"{path} [council] {key} = {votes}: only {len(strategies)} strategies are configured; "
                "no such motion could ever carry"
            )
    if scanner.history_sessions > scanner.window_sessions:
        raise BadSetting(
            f"{path} [scanner] history_sessions = {scanner.history_sessions}: over window_sessions = "
            f"{scanner.window_sessions}; no symbol could ever have a quote in all of them"
        )
    return Rules(
        window_sessions=scanner.window_sessions,
        scanner=ScannerRules(**scanner.model_dump(exclude={"window_sessions"})),
        strategies=strategies,
        council=CouncilRules(**council.model_dump()),
        allocation=AllocationRules(**allocation.model_dump()),
        limits=read_limits(book, config_dir / "limits.toml"),
    )


def read_strategies(path: Path) -> tuple[Strategy, ...]:
    """Return the configured strategies by name; raises `BadSetting` where a file or parameter is wrong."""
    content = _toml(path)
    if not content:
        raise BadSetting(f"{path}: no strategy in it; add one line, e.g. momentum = {{ weight = 1.0 }}")
    lines = {name: _parsed(_StrategyLine, path, _part(content, path, name)) for name in content}
    return tuple(
        load_strategy(name, weight=line.weight, parameters=line.parameters)
        for name, line in sorted(lines.items())
    )


def read_limits(book: str, path: Path) -> Limits:
    """Return a book's limits: `[default]`, with the keys of `[<book>]` over it."""
    content = _toml(path)
    if "default" not in content:
        raise BadSetting(f"{path}: no [default]; without limits nothing is traded")
    line = _parsed(_Limits, path, _part(content, path, "default"), _part(content, path, book))
    try:
        return Limits(
            order_notional_micros_max=_money(line.order_notional_max, f"{path} [{book}] order_notional_max"),
            symbol_weight_bps_max=line.symbol_weight_bps_max,
            auto_approve_notional_micros=_money(
                line.auto_approve_notional, f"{path} [{book}] auto_approve_notional"
            ),
            cost_bps=line.cost_bps,
            quote_age_s_max=line.quote_age_s_max,
            stale_ratio_bps_max=line.stale_ratio_bps_max,
            allowlist=tuple(Symbol(symbol) for symbol in line.allowlist),
        )
    except ValueError as error:
        raise BadSetting(f"{path} [{book}]: {error}") from error


def refuse_unknown_sections(config_dir: Path, *, books: Collection[str]) -> None:
    """Raise `BadSetting` where `rules.toml` or `limits.toml` has a section that nothing would ever read.

    A limit under a misspelt book is not in force, and nobody would notice. The shipped books may always
    have theirs.
    """
    shipped = config_dir / "books.toml"
    known = sorted({*books, *(_toml(shipped) if shipped.exists() else ())})
    _refuse_others(config_dir / "limits.toml", {"default": (), **dict.fromkeys(known, ())})
    _refuse_others(
        config_dir / "rules.toml",
        {**dict.fromkeys(RULES_SECTIONS, ()), **dict.fromkeys(known, RULES_SECTIONS)},
    )


def _refuse_others(path: Path, known: Mapping[str, Collection[str]]) -> None:
    """Raise `BadSetting` at a section of a file that is not known; values are the known parts of each."""
    content = _toml(path)
    for name in content:
        if name not in known:
            raise BadSetting(f"{path} [{name}]: nothing reads it; known are {', '.join(known)}")
        for part in _part(content, path, name)[1] if known[name] else ():
            if part not in known[name]:
                raise BadSetting(
                    f"{path} [{name}.{part}]: nothing reads it; known are {', '.join(known[name])}"
                )


def _refuse_contradictions(line: BookLine, where: str) -> None:
    if line.source == "folder" and line.path is None:
        raise BadSetting(f'{where} path: missing; source "folder" needs the folder of the bars')
    if line.first_session and line.last_session and line.first_session > line.last_session:
        raise BadSetting(
            f"{where} first_session = {line.first_session}: after last_session = {line.last_session}; "
            "no session is left"
        )


def _refuse_shared_account(books: Mapping[str, BookLine], name: str, path: Path) -> None:
    """Raise `BadSetting` where an account is no single word, or another book's: their orders would mix."""
    account = books[name].account
    if "/" in account:
        raise BadSetting(f"{path} [{name}] account = {account!r}: must hold no /; it names files")
    for other, line in books.items():
        if other != name and line.account.casefold() == account.casefold():
            raise BadSetting(
                f"{path} [{name}] account = {account!r}: is the account of [{other}] too; "
                "each book needs one of its own"
            )


def _rules_parts(content: Mapping[str, Any], path: Path, name: str, book: str) -> tuple[_Part, _Part]:
    if name not in content:
        raise BadSetting(f"{path}: no [{name}]")
    return _part(content, path, name), _part(content, path, book, name)


def _part(content: Mapping[str, Any], path: Path, *names: str) -> _Part:
    """Return a section with its name, without keys where the file has none of it."""
    section: Any = content
    for depth, name in enumerate(names, start=1):
        section = section.get(name, {})
        if not isinstance(section, dict):
            raise BadSetting(f"{path} {'.'.join(names[:depth])} = {section!r}: must be a section with keys")
    return ".".join(names), section


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadSetting(f"{path}: no such file; it is part of the project, restore it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSetting(f"{path}: {error}") from error


def _parsed(model: type[Model], path: Path, *parts: _Part) -> Model:
    """Return sections as one value, later ones over earlier ones; an error names where its key stands."""
    try:
        return model.model_validate({key: value for _, part in parts for key, value in part.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        stands_in = [name for name, part in parts if first["loc"][0] in part]
        where = f"{path} [{(stands_in or [parts[0][0]])[-1]}] {key}"
        if first["type"] == "missing":
            raise BadSetting(f"{where}: missing") from error
        raise BadSetting(f"{where} = {first['input']!r}: {first['msg']}") from error


def _money(text: str, where: str) -> int:
    try:
        micros = micros_from_text(text)
    except BadInput as error:
        raise BadSetting(f"{where}: {error}") from error
    if micros <= 0:
        raise BadSetting(f"{where} = {text!r}: must be positive")
    return micros
