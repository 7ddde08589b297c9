"""Prove the promise, and tell how much was covered: `make prove`, `python -m proof kills --scale 0.1`.

Each suite runs in a process of its own and first has to find a bug planted for it: a suite that cannot find
one proves nothing. Those that keep one processor busy run last, as many at a time as there are workers.
A finished suite is kept with the digest of what it ran on, and runs again when the product, its reviewed
files, the suite, the machine or what was asked has changed; one that was ended half-way starts anew.
Status: 0 all held; 1 a violation, a planted bug not found, or a suite that died; 2 not understood;
3 a suite could not run.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, cast

from proof.suite import NotRun, Run, Size, Told

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "proof" / "RESULTS.md"
STATE = ROOT / ".trading" / "proof"

PRODUCT = ("trading", "resources", "trading_assets", "jobs", "sensors", "console")
"""The packages whose source a kept result stands for."""

STATEMENTS = "proof.statements"
"""What every suite begins with."""

CONFIG = ROOT / "config"
"""The reviewed files: books, limits and routes, by which several suites trade."""

SEED = 20130228
"""What suites draw from where no seed is asked for: the same points each time."""

VIOLATIONS_SHOWN = 20
PROGRESS_S = 10.0
"""How often progress is told where no terminal is looking, in seconds."""

EXIT_VIOLATED, EXIT_NOT_UNDERSTOOD, EXIT_NOT_RUN = 1, 2, 3


class Suite(NamedTuple):
    """Hold where a suite is (`module:function`), its size in `make prove`, and what it does.

    One that `is_single` keeps one processor busy at most, whatever the workers: others like it run beside it.
    """

    module: str
    function: str
    points: int
    unit: str
    does: str
    is_single: bool = False


SUITES: dict[str, Suite] = {
    "kills": Suite(
        "proof.kills", "run", 9_700, "kills", "SIGKILL at every executed line of store and executor"
    ),
    "double_kills": Suite(
        "proof.kills", "run_double", 5_000, "pairs", "SIGKILL, and again during the recovery"
    ),
    "outbox_kills": Suite(
        "proof.outbox_kills",
        "run",
        2_000,
        "kills",
        "SIGKILL at every line of telling people: nothing critical is lost, nothing is told twice",
    ),
    "system_calls": Suite("proof.system_calls", "run", 600, "kills", "SIGKILL at system calls, by strace"),
    "storage": Suite("proof.storage", "run", 20_000, "images", "lost, reordered and torn writes; disk full"),
    "simulation": Suite("proof.simulation", "run", 10_000, "seeds", "three executors on a virtual clock"),
    "races": Suite("proof.races", "run", 350, "rounds", "real processes race for the same intents"),
    "postgres": Suite("proof.postgres", "run", 520, "kills", "clients and servers of PostgreSQL killed"),
    "machines": Suite(
        "proof.machines", "run", 90_000, "steps", "store, fills, approvals, log against models"
    ),
    "graph": Suite("proof.graph", "run", 12, "rounds", "ticks, retries, launches and backfills of Dagster"),
    "transport": Suite(
        "proof.transport",
        "run",
        24,
        "sessions",
        "the same sessions embedded and over Alpaca's protocol",
        is_single=True,
    ),
    "transport_kills": Suite(
        "proof.transport_kills",
        "run",
        600,
        "kills",
        "SIGKILL at lines of store, executor and adapter over HTTP",
    ),
    "guards": Suite(
        "proof.guards",
        "run",
        20_000,
        "books",
        "every guard's word against a naive second version",
        is_single=True,
    ),
    "tampering": Suite(
        "proof.tampering", "run", 10_000, "cases", "an audit log changed by somebody", is_single=True
    ),
    "alertmanager": Suite(
        "proof.alertmanager",
        "run",
        1_000,
        "histories",
        "alerts told by ours and by a real Alertmanager",
        is_single=True,
    ),
    "alert_noise": Suite(
        "proof.alert_noise",
        "run",
        490,
        "sessions",
        "replayed years in which nobody is told for nothing",
        is_single=True,
    ),
    "advisor": Suite(
        "proof.hostile",
        "run",
        20_000,
        "answers",
        "a hostile model: nothing but smaller orders may follow",
        is_single=True,
    ),
    "identity": Suite(
        "proof.identity",
        "run",
        18,
        "replays",
        "the same replay, byte for byte, whatever the place",
        is_single=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Hold what came of one suite: what it told, or why there is nothing to tell."""

    name: str
    unit: str
    told: Told | None = None
    not_run: str = ""
    died: str = ""
    is_kept: bool = False

    @property
    def status(self) -> int:
        """Return the exit status that this outcome alone asks for."""
        if self.told is None:
            return EXIT_NOT_RUN if self.not_run else EXIT_VIOLATED
        # Whoever covered nothing has found nothing.
        is_proof = self.told.points > 0 and self.told.is_planted_bug_caught
        return 0 if is_proof and not self.told.violations else EXIT_VIOLATED


@dataclass(slots=True)
class Voice:
    """Tell progress on standard error: over one line in a terminal, else now and then."""

    name: str
    unit: str
    points: int
    started_at: float = field(default_factory=time.monotonic)
    told_at: float = 0.0

    def progress(self, done: int) -> None:
        """Tell how far the suite is."""
        is_seen = sys.stderr.isatty()
        now = time.monotonic()
        if now - self.told_at < (0.5 if is_seen else PROGRESS_S):
            return
        self.told_at = now
        rate = done / max(now - self.started_at, 1e-9)
        line = f"prove: {self.name}: {done:,} of {self.points:,} {self.unit}, {rate:,.1f}/s"
        print(f"\r{line:<78}" if is_seen else line, end="" if is_seen else "\n", file=sys.stderr, flush=True)

    def end(self, line: str) -> None:
        """Tell what came of it."""
        start = "\r" if sys.stderr.isatty() else ""
        print(f"{start}{line:<78}".rstrip(), file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None, *, suites: Mapping[str, Suite] = SUITES) -> int:
    """Run the suites asked for, and tell; returns the status."""
    given = _parser(suites).parse_args(arguments)
    names = given.suites or list(suites)
    if unknown := sorted(set(names) - set(suites)):
        print(f"prove: no such suite: {', '.join(unknown)}; there are {', '.join(suites)}", file=sys.stderr)
        return EXIT_NOT_UNDERSTOOD
    if unwritable := _unwritable(given.state):
        print(
            f"prove: finished suites cannot be kept in {given.state} ({unwritable}), and nothing was run:"
            " name a folder that can be written with --state, or leave --state out",
            file=sys.stderr,
        )
        return EXIT_NOT_UNDERSTOOD
    left = [name for name in suites if name not in names]
    standing = RESULTS.read_text("utf-8") if given.write and left and RESULTS.exists() else ""
    if standing and _machine_line() not in standing.splitlines():
        print(
            f"prove: {RESULTS} tells what another machine found, where this one is {machine()}, and nothing"
            " was run: run every suite with --write, or these without it",
            file=sys.stderr,
        )
        return EXIT_NOT_UNDERSTOOD
    wanted = [
        _Asked(name, suites[name], _size_of(suites[name], given), given.state / f"{name}.json")
        for name in names
    ]
    found = _found_by(wanted, beside=given.workers, is_fresh=given.fresh)
    outcomes = [found[name] for name in names]
    if given.write:
        RESULTS.write_text(page(outcomes, order=tuple(suites), standing=standing), encoding="utf-8")
    print(as_json(outcomes) if given.json else table(outcomes))
    return worst(outcomes)


def worst(outcomes: list[Outcome]) -> int:
    """Return the status of the whole: a violation outweighs a suite that could not run."""
    statuses = {outcome.status for outcome in outcomes}
    return next((status for status in (EXIT_VIOLATED, EXIT_NOT_RUN) if status in statuses), 0)


# -------------------------------------------------------------------------------- one suite


class _Asked(NamedTuple):
    """Hold what is asked of a suite, and where its result is kept."""

    name: str
    suite: Suite
    size: Size
    kept_at: Path

    @property
    def asked(self) -> dict[str, object]:
        """Return what a kept result must have been an answer to."""
        return {
            "points": self.size.points,
            "seed": self.size.seed,
            "sources": sources_sha(self.suite.module),
            "machine": machine(),
        }


def _found_by(wanted: Sequence[_Asked], *, beside: int, is_fresh: bool) -> dict[str, Outcome]:
    """Run suites, one after another, and last the single ones, `beside` at a time."""
    found: dict[str, Outcome] = {}
    waiting = deque(sorted(wanted, key=lambda each: each.suite.is_single))
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            if waiting and _fits(waiting[0], running.values(), beside=beside):
                each = waiting.popleft()
                if not is_fresh and (told := _kept(each.kept_at, each.asked)) is not None:
                    found[each.name] = Outcome(name=each.name, unit=each.suite.unit, told=told, is_kept=True)
                    Voice(each.name, each.suite.unit, each.size.points).end(line_of(found[each.name]))
                else:
                    begun = _Running(each)
                    running[begun.receiver] = begun
                continue
            for receiver in wait(list(running)):
                one = running[cast("Connection", receiver)]
                if (outcome := one.heard()) is not None:
                    found[one.asked.name] = outcome
                    del running[one.receiver]
    finally:
        for one in running.values():
            one.end()
    return found


def _fits(next_one: _Asked, running: Collection[_Running], *, beside: int) -> bool:
    if not running:
        return True
    is_among_single = next_one.suite.is_single and all(one.asked.suite.is_single for one in running)
    return is_among_single and len(running) < beside


class _Running:
    """Run one suite in a process of its own, so that its death is told instead of shared."""

    def __init__(self, asked: _Asked) -> None:
        self.asked = asked
        self._answers = asked.asked
        # A result that is about to be superseded must not be found by whoever runs after a kill.
        asked.kept_at.unlink(missing_ok=True)
        self._voice = Voice(asked.name, asked.suite.unit, asked.size.points)
        self._voice.end(
            f"prove: {asked.name}: {asked.size.points:,} {asked.suite.unit} from seed {asked.size.seed}:"
            f" {asked.suite.does}"
        )
        self.receiver, sender = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.get_context("fork").Process(
            target=_run_here, args=(asked.suite, asked.size, sender)
        )
        self._process.start()
        sender.close()
        self._last: object = None

    def heard(self) -> Outcome | None:
        """Take in what the suite says next; return what came of it once it has ended."""
        try:
            self._last = self.receiver.recv()
        except EOFError:
            self._process.join()
            outcome = self._outcome()
            if outcome.told is not None and outcome.status == 0:
                _keep(self.asked.kept_at, self._answers, outcome.told)
            self._voice.end(line_of(outcome))
            return outcome
        if isinstance(self._last, int):
            self._voice.progress(self._last)
        return None

    def end(self) -> None:
        """End the suite where it is."""
        self._process.terminate()
        self._process.join()

    def _outcome(self) -> Outcome:
        name, unit = self.asked.name, self.asked.suite.unit
        match self._last:
            case Told() as told:
                return Outcome(name=name, unit=unit, told=told)
            case NotRun() as reason:
                return Outcome(name=name, unit=unit, not_run=str(reason))
            case str() as died:
                return Outcome(name=name, unit=unit, died=died)
            case _:
                died = f"its process ended with status {self._process.exitcode}"
                return Outcome(name=name, unit=unit, died=died)


def _run_here(suite: Suite, size: Size, sender: Connection) -> None:
    """Run one suite and send what it tells; the last thing sent is the outcome."""
    # A runner that is told to end takes its suite along, whose own children die with their pipes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_VIOLATED))
    # Only here: a run of which every result is kept imports no product.
    importlib.import_module(STATEMENTS).share()
    try:
        run: Run = getattr(importlib.import_module(suite.module), suite.function)
        sender.send(run(size, sender.send))
    except NotRun as reason:
        sender.send(reason)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told and fails the proof
        traceback.print_exc()
        sender.send(f"{type(error).__name__}: {error}")


def _size_of(suite: Suite, given: argparse.Namespace) -> Size:
    points = given.points or max(1, round(suite.points * given.scale))
    return Size(points=points, seed=given.seed, workers=given.workers)


# -------------------------------------------------------------------------------- what is kept


def sources_sha(module: str) -> str:
    """Return the digest of all that a suite's result depends on: the product, its files, the suite."""
    sha = hashlib.sha256()
    for path in _sources(module):
        content = path.read_bytes()
        sha.update(f"{path.name} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()


def _sources(module: str) -> Iterator[Path]:
    for room in PRODUCT:
        yield from sorted(path for path in (ROOT / room).rglob("*") if path.suffix in {".py", ".sql"})
    yield from sorted(path for path in CONFIG.rglob("*") if path.is_file())
    yield from sorted(_files_of(STATEMENTS, _files_of(module, {})).values())
    yield ROOT / "requirements.lock"


def _files_of(module: str, known: dict[str, Path]) -> dict[str, Path]:
    """Return a suite's file and those of this package that it imports, and so on."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or module in known:
        return known
    known[module] = Path(spec.origin)
    for node in ast.walk(ast.parse(known[module].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            # `from proof import desk` names a module, `from proof.desk import Desk` what is in one.
            inside = [f"proof.{alias.name}" for alias in node.names] if node.module == "proof" else []
            for name in (node.module, *inside):
                if name.split(".")[0] == "proof":
                    _files_of(name, known)
    return known


def _kept(path: Path, asked: dict[str, object]) -> Told | None:
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if kept.get("asked") != asked:
        return None
    told = kept["told"]
    return Told(**{**told, "violations": tuple(told["violations"])})


def _unwritable(state: Path) -> str:
    """Return why nothing can be kept in a folder, before hours went into what is to be kept there."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _keep(path: Path, asked: dict[str, object], told: Told) -> None:
    half = path.with_suffix(".half")
    half.write_text(json.dumps({"asked": asked, "told": asdict(told)}, indent=2), encoding="utf-8")
    half.replace(path)


# -------------------------------------------------------------------------------- what is told


def line_of(outcome: Outcome) -> str:
    """Return one line on a suite."""
    if outcome.told is None:
        why = f"NOT RUN: {outcome.not_run}" if outcome.not_run else f"DIED: {outcome.died}"
        return f"prove: {outcome.name}: {why}"
    told = outcome.told
    caught = "caught" if told.is_planted_bug_caught else "NOT CAUGHT"
    covered = f"{told.points:,} {outcome.unit}" if told.points else f"NO {outcome.unit} COVERED"
    lines = [
        f"prove: {outcome.name}: {covered} in {told.seconds:,.0f} s"
        f" ({_rate(told):,.1f}/s) from seed {told.seed}, {len(told.violations)} violations;"
        f" planted bug {caught}: {told.planted_bug}" + (" (kept from before)" if outcome.is_kept else "")
    ]
    lines += [f"prove: {outcome.name}: VIOLATION: {each}" for each in told.violations[:VIOLATIONS_SHOWN]]
    if len(told.violations) > VIOLATIONS_SHOWN:
        lines.append(f"prove: {outcome.name}: and {len(told.violations) - VIOLATIONS_SHOWN} more")
    return "\n".join(lines)


def table(outcomes: list[Outcome]) -> str:
    """Return all outcomes as columns."""
    rows = [
        ("suite", "covered", "rate", "seconds", "seed", "violations", "planted bug"),
        *map(_cells, outcomes),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    # A fraction is what a suite is run for; counts of what it covered stand on the page.
    lines += [
        f"{outcome.name}: {name} {value}"
        for outcome in outcomes
        if outcome.told is not None
        for name, value in outcome.told.parts.items()
        if isinstance(value, str)
    ]
    return "\n".join(lines)


def as_json(outcomes: list[Outcome]) -> str:
    """Return all outcomes as JSON."""
    suites = {
        outcome.name: {
            "covered": None if outcome.told is None else asdict(outcome.told),
            "unit": outcome.unit,
            "not_run": outcome.not_run,
            "died": outcome.died,
            "is_kept": outcome.is_kept,
        }
        for outcome in outcomes
    }
    return json.dumps({"machine": machine(), "status": worst(outcomes), "suites": suites}, indent=2)


def page(outcomes: list[Outcome], *, order: Sequence[str], standing: str) -> str:
    """Return the page that is kept in the repository, with suites in an order.

    A suite without an outcome keeps its lines of the page as it is `standing`, so that a part can be proven
    anew without losing what was proven of the rest.
    """
    rows = _lines_by_suite(standing, starts="| ", ends=" |")
    rows |= {outcome.name: "| " + " | ".join(_cells(outcome)) + " |" for outcome in outcomes}
    parts = _lines_by_suite(standing, starts="- ", ends=": ")
    for outcome in outcomes:
        parts.pop(outcome.name, None)
        if outcome.told is not None and outcome.told.parts:
            counts = ", ".join(
                f"{name} {count if isinstance(count, str) else f'{count:,}'}"
                for name, count in outcome.told.parts.items()
            )
            parts[outcome.name] = f"- {outcome.name}: {counts}."
    lines = [
        "# What was proven",
        "",
        "Written by `make prove ARGS=--write`; with the names of suites, their lines alone are written anew.",
        "What each suite does: [how it is proven](../docs/explanation/how_it_is_proven.md).",
        "A rate is of this machine and of that hour; the count and the seed are what matters.",
        "",
        _machine_line(),
        "",
        "| Suite | Covered | Rate | Seconds | Seed | Violations | Planted bug |",
        "|---|---|---|---|---|---|---|",
        *(rows[name] for name in order if name in rows),
        "",
        "## Of which",
        "",
        *(parts[name] for name in order if name in parts),
    ]
    return "\n".join(lines) + "\n"


def _lines_by_suite(text: str, *, starts: str, ends: str) -> dict[str, str]:
    """Return the lines of a page that start with a suite's name between two marks, by that name."""
    lines = (line for line in text.splitlines() if line.startswith(starts))
    return {line.removeprefix(starts).partition(ends)[0]: line for line in lines}


def _machine_line() -> str:
    return f"Machine: {machine()}."


def machine() -> str:
    """Return what the figures were taken on."""
    return (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _cells(outcome: Outcome) -> tuple[str, ...]:
    told = outcome.told
    if told is None:
        why = f"not run: {outcome.not_run}" if outcome.not_run else f"died: {outcome.died}"
        return (outcome.name, "nothing", "", "", "", "", why)
    caught = "caught" if told.is_planted_bug_caught else "NOT CAUGHT"
    return (
        outcome.name,
        f"{told.points:,} {outcome.unit}",
        f"{_rate(told):,.1f}/s",
        f"{told.seconds:,.0f}",
        str(told.seed),
        str(len(told.violations)),
        f"{caught}: {told.planted_bug}",
    )


def _rate(told: Told) -> float:
    return told.points / max(told.seconds, 1e-9)


def _parser(suites: Mapping[str, Suite]) -> argparse.ArgumentParser:
    listed = "\n".join(
        f"  {name:<13} {suite.points:>7,} {suite.unit:<7} {suite.does}" for name, suite in suites.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m proof",
        description="Prove that no intent is executed twice and none is lost, whatever dies or races.",
        epilog=(
            f"suites, and the points each covers by itself:\n{listed}\n\n"
            "A finished suite is kept and not run again before something it depends on changes.\n"
            "Through make: make prove ARGS='kills --scale 0.1'\n"
            "status: 0 all held; 1 a violation, a planted bug not found, or a suite that died;\n"
            "        2 not understood; 3 a suite could not run on this machine"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="which to run; all when left out")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--points", type=_count, metavar="N", help="points of each suite asked for, at most")
    many.add_argument("--scale", type=_share, default=1.0, metavar="X", help="that share of each suite's own")
    parser.add_argument("--seed", type=_whole, default=SEED, help=f"what suites draw from (default: {SEED})")
    parser.add_argument(
        "--workers", type=_count, default=2, metavar="N", help="processes at a time (default: 2)"
    )
    parser.add_argument("--fresh", action="store_true", help="run finished suites again as well")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON on standard output")
    parser.add_argument(
        "--write", action="store_true", help="write proof/RESULTS.md as well: the lines of each suite run"
    )
    parser.add_argument(
        "--state", type=Path, default=STATE, metavar="FOLDER", help="where finished suites are kept"
    )
    return parser


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number; give one, as 500") from error


def _count(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; give 1 or more")
    return number


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no number; give a share, as 0.1") from error
    if not 0 < share <= 100:
        raise argparse.ArgumentTypeError(f"{text} is no share that can be run; give one above 0, at most 100")
    return share


if __name__ == "__main__":
    sys.exit(main())
