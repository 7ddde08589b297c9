"""Read the reviewed files in `config/`: books, rules, strategies, limits. Each mistake is named exactly.

What the numbers mean stands in the files; the values they become are trading/books.py, rules and limits.
Settings that differ by machine are settings.py, not here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resources.instruments import FILE as INSTRUMENTS_FILE
from resources.instruments import load_instruments
from trading.allocation import AllocationRules
from trading.approvals import ApprovalMode, ApprovalPolicy
from trading.books import BookConfig, Rules
from trading.candidates import ScannerRules
from trading.council import COUNCIL, CouncilRules
from trading.errors import BadInput, BadSetting
from trading.evidence_ledger import Recording
from trading.inputs import ORIGINS, InputSource, Origin
from trading.instruments import spelled
from trading.journal import CooldownRules
from trading.limits import Change, Limits, Override, Restriction
from trading.promotion import PromotionRules, Thresholds
from trading.quality import SYMBOL_PATTERN
from trading.quotes import MarketData
from trading.sessions import Calendar
from trading.simulation import FillModel, buy_cost_bps
from trading.strategies.plugin import Strategy, load_strategy
from trading.values import Symbol, amount_from_micros, micros_from_text

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
    source: Literal["bokeh_stocks", "bytetheory", "folder", "alpaca"]
    calendar: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    account: str = Field(min_length=1)
    deposit: str
    slippage_bps: int = Bps
    commission_bps: int = Bps
    participation_bps: int = Field(gt=0, le=10_000)
    path: Path | None = None
    fallback_source: Literal["bokeh_stocks", "bytetheory", "folder"] | None = None
    fallback_path: Path | None = None
    date_style: Literal["mdy", "dmy"] | None = None
    first_session: date | None = None
    last_session: date | None = None
    account_orders: tuple[Origin, ...] = Field(default=ORIGINS[InputSource.ACCOUNT_ORDERS], min_length=1)


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
    lot: int = Field(gt=0, le=1_000_000)


class _StrategyLine(_Line):
    weight: float = Field(gt=0)
    parameters: dict[str, int | float | str | bool] = {}


class _Limits(_Line):
    order_quantity_max: int = Field(gt=0, le=10**10)
    order_notional_max: str
    price_collar_bps: int = Field(gt=0, le=10_000)
    usual_order_notional: str
    fat_finger_soft_multiple: int = Field(gt=0, le=1_000)
    fat_finger_hard_multiple: int = Field(gt=0, le=1_000)
    volume_share_bps_max: int = Field(gt=0, le=10_000)
    volume_sessions: int = Field(gt=0, le=250)
    orders_per_minute_max: int = Field(gt=0, le=100_000)
    repeated_executions_max: int = Field(gt=0, le=1_000)
    position_weight_bps_max: int = Field(gt=0, le=10_000)
    symbol_weight_bps_max: int = Bps
    symbol_caps_bps: dict[str, int]
    strategy_budgets_bps: dict[str, int]
    gross_notional_max: str
    net_notional_max: str
    leverage_bps_max: int = Field(gt=0, le=100_000)
    var_bps_max: int = Field(gt=0, le=10_000)
    var_level_bps: int = Field(gt=5_000, lt=10_000)
    daily_loss_bps_max: int = Field(gt=0, le=10_000)
    drawdown_bps_max: int = Field(gt=0, le=10_000)
    drawdown_sessions: int = Field(gt=0, le=2_520)
    degrade_notional_bps: int = Field(gt=0, le=10_000)
    auto_approve_notional: str
    cost_bps: int = Bps
    quote_age_s_max: int = Field(gt=0, le=86_400)
    clock_skew_s_max: int = Field(ge=0, le=3_600)
    stale_ratio_bps_max: int = Bps
    lot: int = Field(gt=0)
    tick_size: str
    allowlist: tuple[str, ...] = ()


class _Change(_Line):
    """Hold one `[[changes]]` section apart from the limits that it changes."""

    book: str
    effective_from: date
    reason: str = Field(min_length=1)


class _Restriction(_Line):
    """Hold one `[[restricted]]` section."""

    policy: int = Field(gt=0)
    symbol: str = Field(min_length=1)
    book: str = ""
    since: date = Field(alias="from")
    until: date | None = None
    reason: str = Field(min_length=1)
    tactic: str = ""


class _Override(_Line):
    """Hold one `[[overrides]]` section."""

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    guard: str
    book: str
    symbol: str = ""
    session: date | None = None
    since: datetime | None = Field(default=None, alias="from")
    until: datetime | None = None


MONEY_LIMITS = {
    "order_notional_max": "order_notional_micros_max",
    "usual_order_notional": "usual_order_notional_micros",
    "gross_notional_max": "gross_notional_micros_max",
    "net_notional_max": "net_notional_micros_max",
    "auto_approve_notional": "auto_approve_notional_micros",
    "tick_size": "tick_micros",
}
"""The limits that are money: how the file calls them, and how `Limits` does in micro-units."""

SOFT_GUARDS = ("fat_finger_soft", "volume_share", "repeated_execution")
"""The guards whose soft block an override may set aside."""


class _Control(_Line):
    approval_mode: ApprovalMode
    four_eyes_notional: str
    risk_expires_s: int = Field(gt=0)
    compliance_expires_s: int = Field(gt=0)
    person_expires_s: int = Field(gt=0)
    failures_max: int = Field(gt=0)
    failures_window_s: int = Field(gt=0)
    cooldown_s: int = Field(gt=0)
    incidents_max: int = Field(gt=0)
    incidents_window_s: int = Field(gt=0)


class _Promotion(_Line):
    sessions_min: int = Field(gt=0)
    fills_min: int = Field(gt=0)
    folds_min: int = Field(gt=0)
    trials_min: int = Field(gt=0)
    age_days_max: int = Field(gt=0)
    lag_days_max: int = Field(ge=0)
    net_return_min: float = Field(ge=0)
    deflated_sharpe_min: float = Field(gt=0.5, lt=1)
    overfitting_max: float = Field(ge=0, lt=0.5)
    drawdown_max: float = Field(gt=0, lt=1)
    fold_wins_min: float = Field(gt=0, le=1)
    stresses: tuple[str, ...]
    stress_survivors_min: int = Field(gt=0)
    window_sessions: int = Field(gt=0)
    windows: int = Field(gt=0)


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
    later = (dict(change.values).get("cost_bps", rules.limits.cost_bps) for change in rules.limits.changes)
    cost_bps = min([rules.limits.cost_bps, *later])
    if buy_cost_bps(costs_of(line)) > cost_bps:
        raise BadSetting(
            f"books.toml [{name}] slippage_bps = {line.slippage_bps}, commission_bps = {line.commission_bps} "
            f"are over cost_bps = {cost_bps} in limits.toml; a buy could cost more than there is"
        )
    return BookConfig(
        name=name,
        title=line.title,
        calendar=line.calendar,
        currency=line.currency,
        account=line.account,
        deposit_micros=deposit_of(name, line),
        source=line.source,
        first_session=first,
        last_session=last,
        rules=rules,
        costs=costs_of(line),
        account_orders=line.account_orders,
    )


def deposit_of(name: str, line: BookLine) -> int:
    """Return what a book opens with, in micro-units; raises `BadSetting` where it is no amount."""
    return _money(line.deposit, f"books.toml [{name}] deposit")


def costs_of(line: BookLine) -> FillModel:
    """Return what a fill costs in a book."""
    return FillModel(
        slippage_bps=line.slippage_bps,
        commission_bps=line.commission_bps,
        participation_bps=line.participation_bps,
    )


def read_rules(book: str, config_dir: Path) -> Rules:
    """Return the rules of a book from `rules.toml`, `strategies.toml`, `limits.toml` and `control.toml`."""
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
    approvals, cooldown = read_control(book, config_dir / "control.toml")
    limits = read_limits(book, config_dir / "limits.toml")
    _refuse_unseen_orders(book, limits, approvals, config_dir)
    return Rules(
        window_sessions=scanner.window_sessions,
        scanner=ScannerRules(**scanner.model_dump(exclude={"window_sessions"})),
        strategies=strategies,
        council=CouncilRules(**council.model_dump()),
        allocation=AllocationRules(**allocation.model_dump()),
        limits=limits,
        overrides=read_overrides(book, config_dir / "overrides.toml"),
        approvals=approvals,
        cooldown=cooldown,
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
    """Return a book's limits: `[default]`, with the keys of `[<book>]` over it, and what changes on a date.

    The restricted list beside the file is part of them. Raises `BadSetting` at what contradicts itself, also
    only after a change.
    """
    content = _toml(path)
    if "default" not in content:
        raise BadSetting(f"{path}: no [default]; without limits nothing is traded")
    parts = [_part(content, path, "default"), _part(content, path, book)]
    limits = _limits(path, book, *parts)
    try:
        return replace(
            limits,
            changes=_changes(path, book, parts),
            restrictions=read_restrictions(book, path.with_name("restricted.toml")),
        )
    except ValueError as error:
        raise BadSetting(f"{path} [{book}]: {error}") from error


def read_restrictions(book: str, path: Path) -> tuple[Restriction, ...]:
    """Return the lines of the restricted list that are of a book, by policy, symbol and date."""
    found = []
    for line, where in _listed(_Restriction, path, "restricted"):
        symbol = _symbol_of(line.symbol, f"{where} symbol", path.parent)
        try:
            restriction = Restriction(
                policy=line.policy,
                symbol=symbol,
                since=line.since,
                until=line.until,
                reason=line.reason,
                tactic=line.tactic,
            )
        except ValueError as error:
            raise BadSetting(f"{where}: {error}") from error
        if line.book in {"", book}:
            found.append(restriction)
    return tuple(sorted(found, key=lambda line: (line.policy, line.symbol, line.since)))


def read_overrides(book: str, path: Path) -> tuple[Override, ...]:
    """Return the overrides of a book; raises `BadSetting` at one of a guard that only blocks hard."""
    found = []
    for line, where in _listed(_Override, path, "overrides"):
        if line.guard not in SOFT_GUARDS:
            raise BadSetting(
                f"{where} guard = {line.guard!r}: its block is hard, or nothing but an approval answers it; "
                f"an override is of {', '.join(SOFT_GUARDS)}"
            )
        symbol = _symbol_of(line.symbol, f"{where} symbol", path.parent) if line.symbol else ""
        if line.since is not None and line.since.tzinfo is None:
            raise BadSetting(f"{where} from = {line.since}: needs its offset, e.g. {line.since.isoformat()}Z")
        if line.until is not None and line.until.tzinfo is None:
            raise BadSetting(
                f"{where} until = {line.until}: needs its offset, e.g. {line.until.isoformat()}Z"
            )
        try:
            override = Override(
                actor=line.actor,
                reason=line.reason,
                guard=line.guard,
                symbol=symbol,
                session=line.session,
                since=line.since and line.since.astimezone(UTC),
                until=line.until and line.until.astimezone(UTC),
            )
        except ValueError as error:
            raise BadSetting(f"{where}: {error}") from error
        if line.book == book:
            found.append(override)
    return tuple(found)


def read_control(book: str, path: Path) -> tuple[ApprovalPolicy, CooldownRules]:
    """Return how a book's intents are approved, and when its account cools down."""
    content = _toml(path)
    if "default" not in content:
        raise BadSetting(f"{path}: no [default]; without it nobody could approve")
    line = _parsed(_Control, path, _part(content, path, "default"), _part(content, path, book))
    policy = ApprovalPolicy(
        mode=line.approval_mode,
        four_eyes_micros=_money(line.four_eyes_notional, f"{path} [{book}] four_eyes_notional"),
        risk_expires_s=line.risk_expires_s,
        compliance_expires_s=line.compliance_expires_s,
        person_expires_s=line.person_expires_s,
    )
    cooldown = CooldownRules(
        failures_max=line.failures_max,
        window_s=line.failures_window_s,
        cooldown_s=line.cooldown_s,
        incidents_max=line.incidents_max,
        incidents_window_s=line.incidents_window_s,
    )
    return policy, cooldown


def read_promotion(book: str, path: Path, *, books: Collection[str]) -> PromotionRules:
    """Return what evidence has to reach in a book, and which windows need a record.

    Raises `BadSetting` where thresholds contradict each other, or a section is of none of `books`.
    """
    content = _toml(path)
    if "default" not in content:
        raise BadSetting(f"{path}: no [default]; without it nothing could be promoted")
    for name in content:
        if name not in {"default", *books}:
            raise BadSetting(f"{path} [{name}]: nothing reads it; known are default, {', '.join(books)}")
    line = _parsed(_Promotion, path, _part(content, path, "default"), _part(content, path, book))
    recording = Recording(line.window_sessions, line.windows)
    try:
        return PromotionRules(
            Thresholds(**line.model_dump(exclude={"window_sessions", "windows"})), recording
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
    _refuse_others(
        config_dir / "limits.toml", {"default": (), **dict.fromkeys(known, ())}, lists=("changes",)
    )
    for name, key in (
        ("limits.toml", "changes"),
        ("restricted.toml", "restricted"),
        ("overrides.toml", "overrides"),
    ):
        for number, section in enumerate(_list(config_dir / name, key), start=1):
            if section.get("book", "default") not in {"default", *known}:
                raise BadSetting(
                    f"{config_dir / name} [{key} {number}] book = {section['book']!r}: no such book; "
                    f"known are {', '.join(known)}"
                )
    _refuse_others(config_dir / "control.toml", {"default": (), **dict.fromkeys(known, ())})
    _refuse_others(
        config_dir / "rules.toml",
        {**dict.fromkeys(RULES_SECTIONS, ()), **dict.fromkeys(known, RULES_SECTIONS)},
    )


def _limits(path: Path, book: str, *parts: _Part) -> Limits:
    """Return sections as limits without their dates."""
    line = _parsed(_Limits, path, *parts)
    for name in line.strategy_budgets_bps:
        if name != COUNCIL:
            raise BadSetting(
                f"{path} [{book}] strategy_budgets_bps {name}: decides no intent, so that its budget would "
                f"hold for nothing; strategies vote in the {COUNCIL}, which alone has a budget"
            )
    values = line.model_dump()
    where = f"{path} [{book}]"
    values["allowlist"] = tuple(
        _symbol_of(symbol, f"{where} allowlist", path.parent) for symbol in line.allowlist
    )
    values["symbol_caps_bps"] = {
        _symbol_of(symbol, f"{where} symbol_caps_bps", path.parent): cap
        for symbol, cap in line.symbol_caps_bps.items()
    }
    for name, field_name in MONEY_LIMITS.items():
        values[field_name] = _money(values.pop(name), f"{path} [{book}] {name}")
    for name in ("symbol_caps_bps", "strategy_budgets_bps"):
        values[name] = tuple(sorted(values[name].items()))
    try:
        return Limits(**values)
    except ValueError as error:
        raise BadSetting(f"{path} [{book}]: {error}") from error


def _changes(path: Path, book: str, parts: list[_Part]) -> tuple[Change, ...]:
    """Return the changes of a book's limits by date, each checked with those before it.

    What changes for every book stays under the book's own keys: a book that is held tighter stays it.
    """
    found: list[Change] = []
    set_on: set[tuple[date, str, str]] = set()
    default, own = parts[:1], parts[1:]
    told = [(_changed(path, section), section) for section in _list(path, "changes")]
    for line, section in sorted(told, key=lambda one: one[0].effective_from):
        if line.book not in {"default", book}:
            continue
        keys = {key: value for key, value in section.items() if key not in _Change.model_fields}
        name = f"changes of {line.effective_from}"
        if not keys:
            raise BadSetting(f"{path} [{name}]: changes no limit")
        for key in keys:
            if (line.effective_from, line.book, key) in set_on:
                raise BadSetting(
                    f"{path} [{name}]: {key} of {line.book} is changed twice on that date; "
                    "which holds nobody could tell, so keep one"
                )
            set_on.add((line.effective_from, line.book, key))
        (own if line.book == book else default).append((name, keys))
        changed = _limits(path, f"{book} from {line.effective_from}", *default, *own)
        fields = {MONEY_LIMITS.get(key, key) for key in keys}
        values = tuple((field_name, getattr(changed, field_name)) for field_name in sorted(fields))
        found.append(Change(effective_from=line.effective_from, reason=line.reason, values=values))
    return tuple(found)


def _changed(path: Path, section: Mapping[str, Any]) -> _Change:
    heads = {key: value for key, value in section.items() if key in _Change.model_fields}
    return _parsed(_Change, path, ("changes", heads))


def _listed(model: type[Model], path: Path, name: str) -> list[tuple[Model, str]]:
    """Return the sections of a list with where each stands; the file holds nothing else."""
    for other in _toml(path):
        if other != name:
            raise BadSetting(f"{path} [{other}]: nothing reads it; known is [[{name}]]")
    return [
        (_parsed(model, path, (f"{name} {number}", section)), f"{path} [{name} {number}]")
        for number, section in enumerate(_list(path, name), start=1)
    ]


def _list(path: Path, name: str) -> list[dict[str, Any]]:
    """Return the sections of a list, none where the file has none."""
    sections = _toml(path).get(name, [])
    if not isinstance(sections, list) or not all(isinstance(section, dict) for section in sections):
        raise BadSetting(f"{path} [{name}]: must be a list of sections, [[{name}]]")
    return sections


def _refuse_others(path: Path, known: Mapping[str, Collection[str]], *, lists: Collection[str] = ()) -> None:
    """Raise `BadSetting` at a section of a file that is not known; values are the known parts of each."""
    content = {name: section for name, section in _toml(path).items() if name not in lists}
    for name in content:
        if name not in known:
            raise BadSetting(f"{path} [{name}]: nothing reads it; known are {', '.join(known)}")
        for part in _part(content, path, name)[1] if known[name] else ():
            if part not in known[name]:
                raise BadSetting(
                    f"{path} [{name}.{part}]: nothing reads it; known are {', '.join(known[name])}"
                )


def _symbol_of(text: str, where: str, config_dir: Path) -> Symbol:
    """Return the symbol that a reviewed line means, in whatever notation it is written.

    Raises `BadSetting` at what no quote is stored under: a line on it would hold for nothing, in silence.
    """
    symbol = spelled(text)
    if not SYMBOL_PATTERN.fullmatch(symbol) or text != text.strip():
        raise BadSetting(
            f"{where} = {text!r}: is no symbol; one is of capital letters, digits, . and -, at most 12"
        )
    listed = load_instruments(config_dir / INSTRUMENTS_FILE).listed
    called = [one.symbol for one in listed if any(name.name == symbol for name in one.names)]
    if called and symbol not in called:
        raise BadSetting(f"{where} = {text!r}: is stored as {' or '.join(called)}; write that")
    return symbol


def _refuse_contradictions(line: BookLine, where: str) -> None:
    if line.source in {"folder", "alpaca"} and line.path is None:
        raise BadSetting(f'{where} path: missing; source "{line.source}" needs the folder of the bars')
    if line.fallback_path is not None and line.fallback_source != "folder":
        raise BadSetting(
            f'{where} fallback_path = {str(line.fallback_path)!r}: only fallback_source "folder" has one'
        )
    if line.fallback_source == "folder" and line.fallback_path is None:
        raise BadSetting(
            f'{where} fallback_path: missing; fallback_source "folder" needs the folder of the bars'
        )
    if line.fallback_source == line.source and line.fallback_path == line.path:
        raise BadSetting(
            f"{where} fallback_source = {line.fallback_source!r}: is its source; it would fail alike"
        )
    known = ORIGINS[InputSource.ACCOUNT_ORDERS]
    if len(set(line.account_orders)) < len(line.account_orders) or not set(line.account_orders) <= set(known):
        raise BadSetting(
            f"{where} account_orders = {[str(origin) for origin in line.account_orders]}: each of "
            f"{', '.join(known)} at most once; the first is asked, the next one where it fails"
        )
    if line.first_session and line.last_session and line.first_session > line.last_session:
        raise BadSetting(
            f"{where} first_session = {line.first_session}: after last_session = {line.last_session}; "
            "no session is left"
        )


def _refuse_unseen_orders(book: str, limits: Limits, approvals: ApprovalPolicy, config_dir: Path) -> None:
    """Raise `BadSetting` where an order could go without a person that two persons have to approve."""
    held = [
        ("", limits),
        *((f" from {on}", limits.on(on)) for on in (c.effective_from for c in limits.changes)),
    ]
    for since, limit in held:
        if limit.auto_approve_notional_micros > approvals.four_eyes_micros:
            raise BadSetting(
                f"{config_dir / 'control.toml'} [{book}] four_eyes_notional = "
                f"{amount_from_micros(approvals.four_eyes_micros)}: is under auto_approve_notional = "
                f"{amount_from_micros(limit.auto_approve_notional_micros)}{since} in limits.toml; "
                "what two persons have to approve would go without one"
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
