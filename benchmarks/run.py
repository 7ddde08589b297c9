"""Measure, and tell the figures: `make bench`, `make bench ARGS=--json`, `make bench ARGS="--write cli"`.

Each figure stands beside a named baseline of the same run, since a machine that others use has no speed of
its own. No test asserts a time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

import approve
import cli_reading_verbs
import console_pages
import guards
import journal
import session_graph
import session_step
from measuring import PROJECT, Figure, machine

RESULTS = PROJECT / "benchmarks" / "RESULTS.md"
BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "step": session_step.measure,
    "graph": session_graph.measure,
    "cli": cli_reading_verbs.measure,
    "guards": guards.measure,
    "journal": journal.measure,
    "pages": console_pages.measure,
    "approve": approve.measure,
}
TITLES = {
    "step": "The session step",
    "graph": "A session through the graph",
    "cli": "Verbs that look",
    "guards": "The guards",
    "journal": "The journal",
    "pages": "The console's pages",
    "approve": "From an approval to the broker",
}


def main() -> int:
    """Run the benchmarks asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all when left out"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON on standard output")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.relative_to(PROJECT)} as well")
    given = parser.parse_args()
    names = given.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    measured = {}
    for name in names:
        print(f"bench: {TITLES[name]}", file=sys.stderr)
        measured[name] = BENCHMARKS[name]()
    page = told(measured)
    if given.write:
        RESULTS.write_text(page, encoding="utf-8")
    figures = {name: [asdict(figure) for figure in rows] for name, rows in measured.items()}
    print(json.dumps({"machine": machine(), "figures": figures}, indent=2) if given.json else page)
    return 0


def told(measured: dict[str, list[Figure]]) -> str:
    """Return the figures as a page."""
    lines = [
        "# Figures",
        "",
        f"Written by `make bench ARGS=--write`. {machine()}.",
        "Each ratio is against a baseline of the same run; times move with what else the machine does.",
    ]
    for name, figures in measured.items():
        lines += [
            "",
            f"## {TITLES[name]}",
            "",
            "| what | figure | against | ratio | note |",
            "| --- | ---: | --- | ---: | --- |",
        ]
        for figure in figures:
            ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}"
            number = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.2f}"
            lines.append(
                f"| {figure.what} | {number} {figure.unit} | {figure.baseline} | {ratio} | {figure.note} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
