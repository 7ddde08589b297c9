"""Write the generated pages of docs/reference from the code they describe: `make docs`.

Here: settings, assets and checks, guards, invariants, metrics, alerts, measures, reviewed files, quarantine,
the cases of every broker's adapter, the REST API, and the table of edges in docs/explanation/intent_life.md.
The command line's two pages are made by console/reference.py.
Other pages are written by hand. tests/docs holds every page current, so a page never says less than the code.
"""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from console import reference
from console.console_site import build_site
from console.desk import Desk, desk_of
from console.exit_codes import MEANINGS, ExitCode
from console.exposition import families_of
from console.verify import REMEDIES
from console.web.described import ABOUT, describe
from console.web.gate import Access
from console.web.problems import CODES, STATUS_OF_ERROR, code_of, problem, problem_of
from resources.alert_policy import load_alert_policy
from resources.settings import describe_settings, load_settings
from trading.attribution import MEASURES_OF_ROUND_TRIPS
from trading.guards import CODES as GUARD_CODES
from trading.guards import GUARDS, REASONS, SOFT
from trading.honest import MEASURES_OF_LUCK
from trading.invariants import INVARIANTS
from trading.lifecycle import EDGES, Edge
from trading.metrics import (
    API_ERRORS,
    BLOCKED_REASON,
    FALLBACKS,
    INPUT_FALLBACKS,
    METRICS,
    SCHEMA_VERSION,
)
from trading.performance import MEASURES, MEASURES_BESIDE, SESSIONS_MIN
from trading.quality import RELEASABLE, Reason
from trading.scorecard import MEASURES_OF_TRADING
from trading.stress import SCENARIOS, usual_scenarios
from trading_assets.definitions import definitions_of
from trading_assets.tables import ROW_TYPES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
CONFIG = ROOT / "config"

MADE_BY = "Made by `make docs` from {}; change it there."

INTENT_LIFE = DOCS / "explanation" / "intent_life.md"
EDGES_BEGIN = "<!-- edges: made by `make docs` from trading/lifecycle.py -->"
EDGES_END = "<!-- end of edges -->"

UNITS_OF_GUARD = {
    "kill_switch": ("1 on, 0 off", "0"),
    "paused": ("1 paused, 0 not", "0"),
    "cooldown": ("1 cooling down, 0 not", "0"),
    "reconciled": ("1 reconciled, 0 not", "1"),
    "execution_enabled": ("1 enabled, 0 not", "1"),
    "preflight": ("number of the denial, 0 none", "0"),
    "quote_present": ("price in micro-units", "1 micro-unit"),
    "quote_age": ("before the open: sessions behind the last closed one; at a send: seconds", "0; seconds"),
    "session_open": ("1 open, 0 closed", "1"),
    "clock_skew": ("seconds", "seconds"),
    "well_formed": ("shares", "shares that 64 bits can value"),
    "universe": ("1 in it, 0 not", "1"),
    "allowlist": ("1 on the list, 0 not", "1"),
    "restricted": ("number of the policy, 0 none", "0"),
    "lot_size": ("shares", "shares in a lot"),
    "tick_size": ("price in micro-units", "tick in micro-units"),
    "prohibited_tactic": ("number of the tactic, 0 none", "0"),
    "max_quantity": ("shares", "shares"),
    "max_notional": ("worth of the order in micro-units", "micro-units"),
    "price_collar": ("distance from the reference in micro-units", "micro-units"),
    "fat_finger_hard": ("worth of the order in micro-units", "micro-units"),
    "fat_finger_soft": ("worth of the order in micro-units", "micro-units"),
    "volume_share": ("shares", "shares"),
    "duplicate": ("other intents for the same", "0"),
    "order_rate": ("orders in the last minute", "orders; at it nothing more"),
    "repeated_execution": ("orders of the strategy in the session", "orders; at it nothing more"),
    "self_match": ("shares in own open orders on the other side", "0"),
    "exposure_sound": ("shares or micro-units under nothing, 0 where there are none", "0"),
    "buying_power": ("worth of the buy with costs in micro-units", "free cash in micro-units"),
    "shorts": ("shares sold", "shares that are held and not on sale already"),
    "exposure_priced": ("positions and open buys without a price", "0"),
    "position_limit": ("worth of the resulting position in micro-units", "micro-units"),
    "symbol_cap": ("worth of the resulting position in micro-units", "micro-units"),
    "strategy_budget": ("worth of the strategy's resulting positions in micro-units", "micro-units"),
    "gross_exposure": ("worth of all resulting positions in micro-units", "micro-units"),
    "net_exposure": ("longs less shorts in micro-units", "micro-units"),
    "leverage": ("worth of all resulting positions in micro-units", "micro-units"),
    "value_at_risk": ("resulting value at risk in micro-units; 1 where it cannot be told", "micro-units; 0"),
    "daily_loss": ("loss of the session in micro-units; 1 where it cannot be told", "micro-units; 0"),
    "drawdown": ("distance from the peak in micro-units; 1 where it cannot be told", "micro-units; 0"),
    "degrade_manual_approval": ("1 degraded, 0 not", "0"),
    "degrade_allowlist": ("symbols on the list; 1 where there are none", "1; 0"),
    "degrade_symbol": ("1 not on the list, 0 on it", "0"),
    "degrade_price": ("price in micro-units", "1 micro-unit"),
    "degrade_notional": ("worth of the order in micro-units, 0 while not degraded", "micro-units"),
}
"""What `observed` and `limit` of each guard are measured in."""

CONFIG_FILES = (
    "books.toml",
    "limits.toml",
    "restricted.toml",
    "overrides.toml",
    "routes.toml",
    "control.toml",
    "rules.toml",
    "strategies.toml",
    "promotion.toml",
    "quality.toml",
    "releases.toml",
    "instruments.toml",
    "advisor.toml",
)

TOP = "at the top"
"""Stands for the section of a key that is in none."""

ROLES = {
    "commander": "opens the book",
    "scanner": "brings quotes and finds candidates",
    "strategist": "wishes and advises",
    "supervisor": "judges and decides",
    "executor": "sends",
    "monitor": "watches orders and positions",
    "reporter": "measures, alerts and tells",
}
"""The groups of the graph in words."""


def pages() -> dict[Path, str]:
    """Return the text of every generated page by its path, the command line's pages included."""
    return {
        REFERENCE / "settings.md": settings_page(),
        REFERENCE / "config.md": config_page(),
        REFERENCE / "assets_and_checks.md": assets_page(),
        REFERENCE / "guards.md": guards_page(),
        REFERENCE / "invariants.md": invariants_page(),
        REFERENCE / "quarantine.md": quarantine_page(),
        REFERENCE / "metrics.md": metrics_page(),
        REFERENCE / "alerts.md": alerts_page(),
        REFERENCE / "measures.md": measures_page(),
        REFERENCE / "broker_conformance.md": conformance_page(),
        INTENT_LIFE: with_edges(INTENT_LIFE.read_text("utf-8")),
        REFERENCE / "rest.md": rest_page(),
        **reference.pages(),
    }


def main() -> int:
    """Write the pages that changed; return the exit code."""
    for path, text in pages().items():
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and path.read_text("utf-8") == text:
            print(f"current {name}")
            continue
        path.write_text(text, "utf-8")
        print(f"wrote   {name}")
    return 0


# ---------------------------------------------------------------------------------------------- settings


def settings_page() -> str:
    """Return the page of every environment variable."""
    rows = [
        (f"`{one.variable}`", f"`{_as_typed(one.default)}`" if one.default else "not set", one.meaning)
        for one in describe_settings()
    ]
    return page(
        "Settings",
        MADE_BY.format("`resources/settings_model.py`"),
        "What differs by machine is an environment variable; what decides is a [reviewed file](config.md).\n"
        "Settings are read once, at the start.\n"
        "An unknown `TRADING_` variable is an error that names the nearest one.\n"
        "`trading config show` prints what is in force and where each value comes from, secrets never.",
        table(("variable", "default", "what it is, and why the default is the safe one"), rows),
    )


def _as_typed(default: str) -> str:
    """Return a default as a person would type it."""
    return default.lower() if default in {"True", "False"} else default


# ---------------------------------------------------------------------------------------- reviewed files


class ConfigKey(NamedTuple):
    """Hold one key of a reviewed file: its value as written, and what its comment says."""

    section: str
    name: str
    value: str
    meaning: str


def config_page() -> str:
    """Return the page of every key in the reviewed files."""
    parts = []
    for name in CONFIG_FILES:
        keys = config_keys((CONFIG / name).read_text("utf-8"))
        parts.append(f"## `config/{name}`")
        parts.append(config_intro((CONFIG / name).read_text("utf-8")))
        parts.append(
            table(
                ("section", "key", "in the box", "what"),
                [(f"`{key.section}`", f"`{key.name}`", f"`{key.value}`", key.meaning) for key in keys],
            )
        )
    return page(
        "Reviewed files",
        MADE_BY.format("the files in `config/` and their comments"),
        "These files decide, so a change of one is a commit with a reason.\n"
        "A key that is unknown, missing or out of range is refused with file, section, key and value.\n"
        "The alert policy `config/alerts.toml` has [a page of its own](alerts.md).",
        *parts,
    )


def config_intro(text: str) -> str:
    """Return the comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(_plain(line.removeprefix("#").strip()))
    return "\n".join(lines)


def config_keys(text: str) -> list[ConfigKey]:
    """Return every key of a TOML file with its comment: the one beside it, else the block above.

    A key whose section repeats another's has the meaning told there. A commented example counts as a section.
    """
    keys: list[ConfigKey] = []
    section, above = TOP, list[str]()
    body = text.split("\n\n", 1)[-1] if text.startswith("#") else text
    for line in body.splitlines():
        bare = line.removeprefix("# ")
        if re.fullmatch(r"\[+[\w.]+\]+", bare):
            section, above = bare, []
        elif match := re.match(r"(\w+) = (.+?)\s*(?:#\s*(.*))?$", bare):
            name, value, beside = match[1], match[2].strip(), match[3] or ""
            told = beside or " ".join(above) or _told_before(keys, name)
            keys.append(ConfigKey(section, name, value, told))
            above = []
        elif line.startswith("#"):
            above.append(bare.removeprefix("#").strip())
        else:
            above = []
    return keys


def _told_before(keys: Sequence[ConfigKey], name: str) -> str:
    return next((key.meaning for key in keys if key.name == name), "")


# ---------------------------------------------------------------------------------------------- REST API


def _a_desk() -> Desk:
    """Return a desk that has not run."""
    return desk_of(load_settings())


def rest_page() -> str:
    """Return the page of the REST API: its routes, what changes take, and every problem with its codes."""
    app = build_site(_a_desk(), access=Access(origins=("http://127.0.0.1:3001",)))
    described, roles = describe(app), app.state.roles
    routes, changes = [], []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            role = roles[f"{method.upper()} {path}"]
            routes.append(
                (f"`{method.upper()} {path}`", role, _asked_by(operation), operation["description"])
            )
            if "requestBody" in operation:
                changes.append((f"`{path}`", _body_of(described, operation)))
    return page(
        "The REST API",
        MADE_BY.format("`console/web/`"),
        ABOUT.strip(),
        "`GET /api/v1/openapi.json` describes every field (OpenAPI 3.1); it takes a token as well.\n"
        "How to get one is [Open the console](../how-to/open_the_console.md).",
        "## Routes",
        table(("route", "role", "asked by", "answers"), routes),
        "## Changes",
        "Each takes `?dry_run=true`, which keeps nothing.\n"
        "Each but a halt needs the header `Idempotency-Key`.\n"
        "A browser's change also carries `X-CSRF-Token`.\n"
        "Names that end in `?` may be left out.",
        table(("route", "body"), changes),
        "## Problems",
        "An error is `application/problem+json`: `type`, `title`, `status`, `code`, `detail`, `exit_code`.\n"
        "Of an `invalid_request` the `errors` say where and what rule.",
        table(("code", "status", "exit code", "means"), _problem_rows()),
        "## Statuses and exit codes",
        "A look answers 200 where the command ends with 0, 3 or 5: the item's `exit_code` tells them apart.",
        table(("exit code", "statuses", "means"), _status_rows()),
    )


def _asked_by(operation: dict[str, Any]) -> str:
    names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    return ", ".join(f"`{name}`" for name in names if name != "dry_run")


def _body_of(described: dict[str, Any], operation: dict[str, Any]) -> str:
    named = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = described["components"]["schemas"][named]
    needed = schema.get("required", ())
    return ", ".join(f"`{name}{'' if name in needed else '?'}`" for name in schema["properties"])


def _problems() -> dict[str, tuple[int, int, str]]:
    """Return status, exit code and meaning of every code."""
    told = {
        name: (int(status), problem(name).exit_code, meaning) for name, (status, meaning) in CODES.items()
    }
    for kind, _ in STATUS_OF_ERROR:
        found = problem_of(kind(""))
        told[code_of(kind)] = (found.status, found.exit_code, _first_sentence(kind.__doc__ or ""))
    return told


def _first_sentence(text: str) -> str:
    """Return what an error's class says of itself, as the meaning of its code."""
    return cleandoc(text).splitlines()[0].rstrip(".")


def _problem_rows() -> list[tuple[object, ...]]:
    return [
        (f"`{name}`", status, exit_code, meaning)
        for name, (status, exit_code, meaning) in sorted(
            _problems().items(), key=lambda row: (row[1][0], row[0])
        )
    ]


def _status_rows() -> list[tuple[object, ...]]:
    looks = {ExitCode.DONE, ExitCode.ATTENTION, ExitCode.HALTED}
    rows = []
    for code, meaning in MEANINGS.items():
        statuses = {status for status, exit_code, _ in _problems().values() if exit_code == code}
        statuses |= {200} if code in looks else set()
        if statuses:
            rows.append((int(code), ", ".join(map(str, sorted(statuses))), meaning))
    return rows


# ------------------------------------------------------------------------------------------------- guards


def guards_page() -> str:
    """Return the page of every guard, in the order of precedence."""
    rows = []
    for name, guard in GUARDS:
        observed, limit = UNITS_OF_GUARD[name]
        told = ", ".join(f"`{REASONS[code]}` ({code}, {_level(code)})" for code in GUARD_CODES[name])
        rows.append((f"`{name}`", told, cleandoc(guard.__doc__ or ""), observed, limit))
    return page(
        "Guards",
        MADE_BY.format("`trading/guards.py`"),
        "A guard says of one intent why not, or nothing; every guard's word is a row of `verdicts`.\n"
        "All of them are asked, and the first one that stops gives the decision its reason.\n"
        "A hard block stops; a soft one asks a person, who approves the order or sets the guard aside"
        " for a while in `config/overrides.toml`.\n"
        "The same functions look again inside the transaction that precedes a send.\n"
        "A micro-unit is a millionth of the book's currency.\n"
        "`largest_quantity` is in shares: the largest that passes.\n"
        "`value_at_risk` tries nothing larger than an order that passes: then it is the order, *or more*.\n"
        "`trading explain ID` shows them for one intent, in words.",
        table(("guard", "reason code", "what it does", "observed", "limit"), rows),
        "Where a limit comes from: `config/limits.toml`, [told here](config.md#configlimitstoml).",
    )


def _level(code: int) -> str:
    """Return whether a code asks a person or stops."""
    return "soft" if code in SOFT else "hard"


def invariants_page() -> str:
    """Return the page of every invariant: what it means, how a violation looks, what to do about one."""
    rows = []
    for invariant in INVARIANTS:
        meaning = cleandoc(invariant.check.__doc__ or "").removeprefix(f"{invariant.name}: ")
        told = " ".join(meaning.split())
        rows.append((f"`{invariant.name}`", f"{told[0].upper()}{told[1:]}", REMEDIES[invariant.name]))
    return page(
        "Invariants",
        MADE_BY.format("`trading/invariants.py` and `console/verify.py`"),
        "What must be true of the journal, its audit log, the lake and the paper brokers together,"
        " whatever has happened.\n"
        "`trading verify` checks them; [how to](../how-to/verify_the_stores.md) says when.\n"
        "The tests of faults check them after every fault, by the same function.",
        table(("name", "what it means, and what a violation is", "what to do about one"), rows),
        "`INV18` is not of what is stored, so it is not among them: whoever shows the console no token and no"
        " cookie gets nothing but 401, and what they send is not read."
        " Tests ask every path; [open the console](../how-to/open_the_console.md) tells the one way in.",
    )


# -------------------------------------------------------------------------------------------- conformance


def conformance_page() -> str:
    """Return the page of every numbered case and the adapters that pass it."""
    # Loading them takes the servers and clients of the tests, which no other page needs.
    from tests.adapters.conformance.adapters import Kind  # noqa: PLC0415 - see above
    from tests.adapters.conformance.cases import CASES, FAMILIES  # noqa: PLC0415 - see above

    parts = []
    for letter, title in FAMILIES.items():
        rows = [
            (
                case.number,
                case.statement,
                *("passes" if kind in case.kinds else "–" for kind in Kind),
            )
            for case in CASES
            if case.number.startswith(letter)
        ]
        parts += [f"## {title}", table(("case", "what is true", *(kind.value for kind in Kind)), rows)]
    of_all = sum(1 for case in CASES if {Kind.DOOR, Kind.ALPACA} <= case.kinds)
    return page(
        "What an adapter of a broker has to keep",
        MADE_BY.format("`tests/adapters/conformance/cases.py`"),
        f"{len(CASES)} numbered cases;"
        f" {of_all} of them are passed by both the paper broker and Alpaca over HTTP.\n"
        "Every cell that says *passes* is a test of its own, which `make test` runs:"
        " `tests/adapters/conformance/test_numbered_cases.py`.\n"
        "Behind each adapter stands the same paper broker on the same small market."
        " Over HTTP a line between them is really reset, cut, slowed or made to say something else.\n"
        "A dash says that a case cannot be put to an adapter: where no line is, none can be spoilt.\n"
        "An id stays with its case, also when others come or go."
        " Which rules the port itself has is `trading/brokers.py`.",
        *parts,
    )


# --------------------------------------------------------------------------------------------- quarantine


def quarantine_page() -> str:
    """Return the page of every rule that holds a row back."""
    rows = [(f"`{reason}`", "yes" if reason in RELEASABLE else "no") for reason in Reason]
    return page(
        "Quarantine",
        MADE_BY.format("`trading/quality.py`"),
        "A row that breaks a rule is kept in `quarantined_quotes` with the rule's code.\n"
        "It reaches no decision.\n"
        "Where a row breaks several, the first one below is told.\n"
        "A person can vouch for a releasable row: `trading quarantine release ROW_ID --reason TEXT`.\n"
        "The others cannot become a quote, or say nothing new.\n"
        "The numbers stand in `config/quality.toml`, [told here](config.md#configqualitytoml).",
        table(("reason", "releasable"), rows),
    )


# ---------------------------------------------------------------------------------------- metrics, alerts


def families_told() -> list[tuple[str, str, str, str]]:
    """Return every family of `/metrics`: its name, type, labels and what it says."""
    return [
        (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels) or "–", one.says)
        for one in families_of(_a_desk())
    ]


def metrics_page() -> str:
    """Return the page of every metric of the frozen schema, and of every family that Prometheus is told."""
    rows = [(f"`{one.name}`", one.unit, one.formula, one.no_data_when) for one in METRICS]
    return page(
        "Metrics",
        MADE_BY.format("`trading/metrics.py`"),
        f"One row a session and metric in the table `metrics`, schema `{SCHEMA_VERSION}`.\n"
        "Names and units are frozen in `config/metrics_v1.json`; a change of either is another version.\n"
        "Where there was nothing to measure, the status is `no_data` and the value empty, never zero.\n"
        "Money is in the book's currency, ratios are parts of one.",
        table(("metric", "unit", "how", "no data when"), rows),
        "Four families add rows of their own: "
        f"`{BLOCKED_REASON}<reason>` (intents), `{FALLBACKS}<reason>` (orders)"
        f", `{API_ERRORS}<endpoint>` (errors) and `{INPUT_FALLBACKS}<reason>` (sources).",
        "## What Prometheus is told\n\n"
        "The console's `/metrics` ([how to](../how-to/watch_with_prometheus.md)).\n"
        "Names, types and labels are frozen in `config/exposition_v1.json`.\n"
        "What has not happened is zero; what is not known, or has nothing to be a share of, is absent.",
        table(("family", "type", "labels", "what it says"), families_told()),
    )


def alerts_page() -> str:
    """Return the page of the alert policy."""
    policy = load_alert_policy(CONFIG / "alerts.toml")
    rules = [
        (
            f"[`{rule.code}`](../runbooks/{rule.code}.md)",
            rule.severity.value,
            rule.owner,
            f"`{rule.metric}` {rule.comparison.value} {rule.threshold:g} ({rule.unit})",
            rule.why,
        )
        for rule in policy.rules
    ]
    text = (CONFIG / "alerts.toml").read_text("utf-8").split("[[inhibit]]", maxsplit=1)[0]
    keys = [(f"`{key.name}`", f"`{key.value}`", key.meaning or "as above") for key in config_keys(text)]
    return page(
        "Alerts",
        MADE_BY.format("`config/alerts.toml`"),
        "A rule judges one [metric](metrics.md) of a session.\n"
        "At the threshold all is well, and no data breaks no rule.\n"
        "Of a book, code and severity there is one alert while it goes on.\n"
        "It is told when it fires, when it is over, and again each day unless somebody has acknowledged it.\n"
        "Each links to its runbook: what it means, where to look, what to do.",
        table(("alert", "severity", "owner", "when", "why this number"), rules),
        "## How people are told",
        table(("key", "in the box", "what"), keys),
    )


# ---------------------------------------------------------------------------------------------- the graph


def measures_page() -> str:
    """Return the page of every measure of a scorecard, every statistic of luck, and every scenario."""
    headers = ("measure", "what it is", "sampling", "no data", "source")
    scenarios = (
        (
            f"`{scenario.name}`",
            _first_sentence(make.__doc__ or "").removeprefix("Return the scenario of "),
            ", ".join(f"`{name}` {amount:g}" for name, amount in scenario.amounts),
            scenario.reason,
        )
        for make, scenario in zip(SCENARIOS, usual_scenarios(), strict=True)
    )
    return page(
        "Measures of a scorecard",
        MADE_BY.format(
            "`trading/performance.py`, `trading/scorecard.py`, `trading/attribution.py`,"
            " `trading/honest.py` and `trading/stress.py`"
        ),
        "What a replay was worth is told by these, whole and by year, regime, symbol and strategy.\n"
        "r is a session's return of the book's worth at closes, n the number of sessions; a year has 252.\n"
        "Ratios are of 1: 0.01 is one per cent.\n"
        "*No data* is `null`, never zero: a measure without its sessions is not told.\n"
        f"Under {SESSIONS_MIN} sessions nothing annualised is told.\n"
        "When not to believe them: [what a scorecard says](../explanation/scorecards.md).",
        "## Of returns\n\n" + table(headers, _measure_rows(MEASURES)),
        "## Beside a benchmark\n\n" + table(headers, _measure_rows(MEASURES_BESIDE)),
        "## Of trading\n\n" + table(headers, _measure_rows(MEASURES_OF_TRADING)),
        "## Of round trips\n\n" + table(headers, _measure_rows(MEASURES_OF_ROUND_TRIPS)),
        "## Of luck\n\n" + table(headers, _measure_rows(MEASURES_OF_LUCK)),
        "## Scenarios\n\nEach is a replay of its own: decisions, guards and fills are made anew.\n\n"
        + table(("scenario", "the world is worse by", "how much", "why it is asked"), scenarios),
    )


def _measure_rows(measures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of each measure from its docstring, by what its labels say."""
    return [(f"`{name}`", *measure_told(measure).values()) for name, measure in measures.items()]


def measure_told(measure: Any) -> dict[str, str]:
    """Return what a measure's docstring says of it: what it is, its sampling, its *no data*, its source."""
    told = " ".join(cleandoc(measure.__doc__ or "").split())
    parts = re.split(r"(Sampling|No data|Source): ", told)
    labelled = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {
        "what": parts[0].strip().removeprefix("Return "),
        **{label: labelled.get(label, "").strip() for label in ("Sampling", "No data", "Source")},
    }


def assets_page() -> str:
    """Return the page of the graph: every asset with columns and checks, jobs, schedules, sensors.

    Every book has the same ones under its own name, so that one book is told and named `<book>`.
    """
    repository = definitions_of(load_settings()).get_repository_def()
    graph = repository.asset_graph
    book = min(key.path[0] for key in graph.get_all_asset_keys())
    jobs = [job for job in repository.get_all_jobs() if job.name.startswith(f"{book}__")]
    parts = ["## Assets", _assets_table(graph, book, ROW_TYPES)]
    for name, row_type in ROW_TYPES.items():
        parts += _asset(graph, book, name, row_type, jobs)
    parts += ["## Jobs", table(("job", "what", "assets"), [_job(job, book) for job in jobs])]
    parts += ["## Schedules", _schedules(repository, book)]
    parts += ["## Sensors", _sensors(repository, book)]
    return page(
        "Assets, checks, jobs",
        MADE_BY.format("the graph itself (`trading_assets/`, `jobs/`, `sensors/`)"),
        "Every book of `config/books.toml` has all of these under its name, here written `<book>`.\n"
        "A partition is the exchange session in which orders execute.\n"
        "A blocking check holds the execution of its own run; the executor asks the same gates again, "
        "see [gates and guards](../explanation/gates_and_guards.md).\n"
        "A column `…_micros` is money in millionths of the currency, "
        "`…_at` an instant in UTC, `…_sha` a SHA-256.",
        *parts,
    )


def _assets_table(graph: Any, book: str, row_types: dict[str, Any]) -> str:
    rows = []
    for name in row_types:
        node = graph.get(dg.AssetKey([book, name]))
        upstream = [
            f"`{key.path[-1]}`"
            for key in sorted(node.parent_keys, key=lambda k: list(row_types).index(k.path[-1]))
        ]
        rows.append(
            (
                f"[`{name}`](#{name})",
                f"{node.group_name}: {ROLES[node.group_name]}",
                ", ".join(upstream) or "–",
            )
        )
    return table(("asset", "group", "reads"), rows)


def _asset(graph: Any, book: str, name: str, row_type: Any, jobs: Sequence[Any]) -> list[str]:
    node = graph.get(dg.AssetKey([book, name]))
    columns = typing.get_type_hints(row_type)
    checks = [graph.get(key) for key in sorted(node.check_keys, key=lambda key: key.name)]
    runs = [
        f"`{_generic(job.name, book)}`" for job in jobs if node.key in job.asset_layer.selected_asset_keys
    ]
    parts = [
        f"### `{name}`",
        cleandoc(node.description or ""),
        "\n".join(
            [
                f"Partitioned by session: {'yes' if node.is_partitioned else 'no'}.",
                f"Kinds: {', '.join(sorted(node.kinds))}.",
                f"Owners: {', '.join(node.owners)}.",
                f"Jobs: {', '.join(runs)}.",
            ]
        ),
        table(
            ("column", "type"), [(f"`{column}`", f"`{_type_name(kind)}`") for column, kind in columns.items()]
        ),
    ]
    if len(cleandoc(row_type.__doc__ or "").split("\n\n")) > 1:
        parts.append(cleandoc(row_type.__doc__).split("\n\n", 1)[1])
    if checks:
        rows = [
            (f"`{one.key.name}`", "blocking" if one.blocking else "warns", one.description) for one in checks
        ]
        parts.append(table(("check", "kind", "what"), rows))
    return parts


def _type_name(kind: Any) -> str:
    return (
        kind.__name__
        if isinstance(kind, type) or hasattr(kind, "__supertype__")
        else str(kind).replace("datetime.", "")
    )


def _job(job: Any, book: str) -> tuple[str, str, str]:
    keys = sorted({key.path[-1] for key in job.asset_layer.selected_asset_keys})
    return f"`{_generic(job.name, book)}`", job.description or "", ", ".join(f"`{key}`" for key in keys)


def _schedules(repository: Any, book: str) -> str:
    rows = []
    for one in repository.schedule_defs:
        if one.name.startswith(f"{book}__"):
            crons = one.cron_schedule if isinstance(one.cron_schedule, list) else [one.cron_schedule]
            when = ", ".join(f"`{cron}`" for cron in crons) + f" in {one.execution_timezone}"
            rows.append(
                (f"`{_generic(one.name, book)}`", when, (one.description or "").replace(book, "the book"))
            )
    note = (
        "In the simulated profile schedules and sensors run by default.\n"
        "There a tick is for the last session of the data.\n"
        "In other profiles they are switched on in the UI."
    )
    return f"{table(('schedule', 'when', 'what'), rows)}\n\n{note}"


def _sensors(repository: Any, book: str) -> str:
    rows = [
        (
            f"`{_generic(one.name, book)}`",
            f"every {one.minimum_interval_seconds} s",
            (one.description or "").replace(book, "the book"),
        )
        for one in repository.sensor_defs
        if one.name.startswith(f"{book}__")
    ]
    return table(("sensor", "looks", "what"), rows)


def _generic(text: str, book: str) -> str:
    return text.replace(book, "<book>")


# ------------------------------------------------------------------------------------------ life of an intent


def with_edges(text: str) -> str:
    """Return a page with the table of edges between its two marks written anew."""
    before, _, rest = text.partition(EDGES_BEGIN)
    _, _, after = rest.partition(EDGES_END)
    if not after:
        raise ValueError(
            f"{INTENT_LIFE}: the marks {EDGES_BEGIN!r} and {EDGES_END!r} must stand on lines of their own"
        )
    return f"{before}{EDGES_BEGIN}\n\n{edges_table()}\n\n{EDGES_END}{after}"


def edges_table() -> str:
    """Return the table of every edge an intent can take, numbered as in the code."""

    def place(state: Any, stage: Any) -> str:
        return (
            "new" if state is None else f"{state.value} ({stage.value})" if stage.value else str(state.value)
        )

    def key(edge: Edge) -> tuple[int, str]:
        return edge.row, edge.step.value

    groups: dict[tuple[int, str], list[Edge]] = {}
    for edge in EDGES:
        groups.setdefault(key(edge), []).append(edge)
    rows = []
    for (row, step), edges in groups.items():
        befores = dict.fromkeys(place(edge.from_state, edge.from_stage) for edge in edges)
        afters = dict.fromkeys(place(edge.to_state, edge.to_stage) for edge in edges)
        held = "yes" if edges[0].is_held else "no"
        rows.append((row, f"`{step}`", " or ".join(befores), " or ".join(afters), held))
    return table(("#", "what happens", "from", "to", "by its holder only"), rows)


# -------------------------------------------------------------------------------------------------- Markdown


def page(title: str, *parts: str) -> str:
    """Return a page of a title and parts with an empty line between them."""
    return "\n\n".join([f"# {title}", *(part for part in parts if part)]) + "\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; a bar in a cell is escaped and a line break becomes a blank."""
    lines = [f"| {' | '.join(headers)} |", "|" + "---|" * len(headers)]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return _plain(" ".join(str(value).split()).replace("|", "\\|"))


def _plain(text: str) -> str:
    """Return text with `<` outside of code escaped: Markdown would take it for a tag and drop it."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


if __name__ == "__main__":
    sys.exit(main())
