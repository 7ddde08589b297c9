"""Measure, and tell the figures: `make bench`, `make bench ARGS=--json`, `make bench ARGS="--write cli"`.

Replays are measured small unless told otherwise: `make bench ARGS="replay --sizes S M L --growth --write"`.

Each figure stands beside a named baseline of the same run, since a machine that others use has no speed of
its own. No test asserts a time.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

import advisor
import approve
import artefacts
import cli_reading_verbs
import console_pages
import detectors
import guards
import ingestion
import journal
import launches
import monitoring
import paper_exchange
import replay
import session_graph
import session_step
import telling
from measuring import PROJECT, Figure, Table, machine
from panels import SIZES

RESULTS = PROJECT / "benchmarks" / "RESULTS.md"
BENCHMARKS: dict[str, Callable[[], Sequence[Figure | Table]]] = {
    "step": session_step.measure,
    "graph": session_graph.measure,
    "cli": cli_reading_verbs.measure,
    "guards": guards.measure,
    "ingestion": ingestion.measure,
    "journal": journal.measure,
    "pages": console_pages.measure,
    "approve": approve.measure,
    "exchange": paper_exchange.measure,
    "replay": replay.measure,
    "artefacts": artefacts.measure,
    "launches": launches.measure,
    "advisor": advisor.measure,
    "detectors": detectors.measure,
    "monitoring": monitoring.measure,
    "telling": telling.measure,
}
TITLES = {
    "step": "The session step",
    "graph": "A session through the graph",
    "cli": "Verbs that look",
    "guards": "The guards",
    "ingestion": "Bars into the lake",
    "journal": "The journal",
    "pages": "The console's pages",
    "approve": "From an approval to the broker",
    "exchange": "The paper exchange over HTTP",
    "replay": "Replays",
    "artefacts": "What a replay leaves behind",
    "launches": "From a launch to thirteen years that can be looked at",
    "advisor": "The advisor's tokens",
    "detectors": "The detectors, on every session",
    "monitoring": "Metrics, alerts and ten years looked at",
    "telling": "People told, and ten years of alerts looked at",
}
HEAD = """\
# Figures

Written by `make bench ARGS=--write`, section by section, each on the machine that it names.
Each ratio is against a baseline of the same run; times move with what else the machine does.
"""


def main() -> int:
    """Run the benchmarks asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all when left out"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON on standard output")
    parser.add_argument(
        "--write", action="store_true", help=f"write the sections into {RESULTS.relative_to(PROJECT)} as well"
    )
    replays = parser.add_argument_group("replays")
    replays.add_argument("--sizes", nargs="+", choices=SIZES, default=["S"], help="how large, S by default")
    replays.add_argument("--growth", action="store_true", help="also how time and memory grow")
    replays.add_argument(
        "--vectorbt", metavar="PYTHON", help="the interpreter that has vectorbt, if not this"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=detectors.EVERY,
        metavar="N",
        help=f"detectors: look at each N-th session, {detectors.EVERY} by default",
    )
    given = parser.parse_args()
    names = given.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    asked = {
        **BENCHMARKS,
        "replay": partial(replay.measure, given.sizes, vectorbt=given.vectorbt, growth=given.growth),
        "detectors": partial(detectors.measure, given.every),
    }
    measured = {}
    for name in names:
        print(f"bench: {TITLES[name]}", file=sys.stderr)
        measured[name] = asked[name]()
        if given.write:
            # At once, since what comes after may take long, or fail.
            write(TITLES[name], told(measured[name]))
    page = HEAD + "".join(f"\n## {TITLES[name]}\n{told(figures)}" for name, figures in measured.items())
    figures = {name: [asdict(figure) for figure in rows] for name, rows in measured.items()}
    print(json.dumps({"machine": machine(), "figures": figures}, indent=2) if given.json else page)
    return 0


def write(title: str, text: str) -> None:
    """Write a section into the page of results, in place of the one of its title; the others stay."""
    page = RESULTS.read_text("utf-8") if RESULTS.is_file() else HEAD
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", page, flags=re.MULTILINE))
    sections[title] = text
    known = sorted(sections, key=[*TITLES.values()].index)
    body = "\n".join(f"## {name}\n{sections[name].rstrip()}\n" for name in known)
    RESULTS.write_text(f"{HEAD}\n{body}", encoding="utf-8")


def told(figures: Sequence[Figure | Table]) -> str:
    """Return the figures of one section as text, with the machine they were taken on."""
    lines = ["", f"{machine()}."]
    rows = [figure for figure in figures if isinstance(figure, Figure)]
    if rows:
        headers = ("what", "figure", "against", "ratio", "note")
        lines += _lines(headers, [_row(figure) for figure in rows], right=(1, 3))
    for table in figures:
        if isinstance(table, Table):
            lines += ["", f"### {table.title}", *_lines(table.headers, table.rows)]
            lines += ["", table.note] if table.note else []
    return "\n".join(lines) + "\n"


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}"
    number = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.2f}"
    return figure.what, f"{number} {figure.unit}", figure.baseline, ratio, figure.note


def _lines(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    rule = ["---:" if place in right else "---" for place in range(len(headers))]
    return ["", *(f"| {' | '.join(cells)} |" for cells in (headers, rule, *rows))]


if __name__ == "__main__":
    raise SystemExit(main())
