"""The verb that tries many variants of one replay. What they say together is trading/sweeps.py."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode, exit_code_named
from console.render import counted, pairs, table
from console.verbs.options import RUNNING, JsonOption, OneBookOption, show, tell
from console.verbs.replaying import range_of
from console.verbs.teaching import help_of
from trading.measure_words import measure_text

if TYPE_CHECKING:
    from console.desk import Desk
    from trading.sweeping import AskedSweep

SHOWN = 20
"""Variants that a person reads; --json has all of them."""

ENOUGH_PBO = 0.5
"""A choice that fails as often as this is no better than a coin."""

WORKERS_MAX = 64


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    app.command(help=help_of(sweep), rich_help_panel=RUNNING)(sweep)


def sweep(
    *,
    sessions: Annotated[
        str,
        typer.Argument(
            metavar="[FIRST..LAST]",
            help="The range: years, months or sessions, e.g. 2003-01..2012-12; all data when left out.",
            show_default=False,
        ),
    ] = "",
    book: OneBookOption = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="STRATEGY.PARAMETER=VALUE,…",
            help="A parameter and the values it takes; again for more: every combination is tried.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="STRATEGY[:KEY=VALUE,…][+STRATEGY…]",
            help="A council to set against the others that are named so; twice for A against B.",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="MEASURE",
            help="The measure that ranks them, the largest first, e.g. cagr, sortino.",
        ),
    ] = "sharpe",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=WORKERS_MAX, help="Processes; all cores when left out."
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Run it in the graph, kept under this name with a page of plots."
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Try many variants of one replay by the live rules, rank them, and say how much of the best is luck.

    The best of many looks better than it is. So the whole sweep is judged together: what Sharpe ratio luck
    alone gives the best of so many, and how often the best on half of the sessions was no better than the
    median on the other half. What was tried is kept: a sweep that was interrupted goes on, an edited rule
    is tried anew. Each trial is recorded in the evidence ledger too, and counts whenever evidence is filed
    on its book.

    trading sweep 2011..2012 --book us_five --grid momentum.lookback=63,126
    trading sweep 2011..2012 --book us_five --against momentum --against momentum+mean_reversion
    trading sweep 2012 --book us_five --grid momentum.lookback=63,126 --name quicker
    Exit codes: 0 done, 1 the run in the graph failed, 2 the range, grid, a strategy or a parameter is wrong,
    4 the data is not what was pinned, 130 interrupted.
    """
    desk = open_desk()
    outline = desk.one(book)
    first, last = range_of(sessions, outline)
    from trading.sweeping import AskedSweep, require_sweep_name

    asked = AskedSweep(
        first_session=first, last_session=last, grids=tuple(grid or ()), against=tuple(against or ()), by=by
    )
    if name:
        require_sweep_name(name)
        found = _in_graph(desk, outline.name, name, asked, workers=workers or 0)
    else:
        found = _here(desk, outline.name, asked, workers=workers or 0)
    show(found, _text, as_json=as_json)


def _here(desk: Desk, book: str, asked: AskedSweep, *, workers: int) -> Mapping[str, Any]:
    from resources.profiles import Profiled
    from resources.sweeping import BookSweeper
    from trading.sweeping import run_sweep

    profiled = Profiled(desk.settings)
    swept = run_sweep(
        asked,
        profiled.books[book],
        name="",
        calendar=profiled.calendars[book],
        sweeper=BookSweeper(profiled, book),
        workers=workers,
        tell=tell,
    )
    return swept.payload()


def _in_graph(desk: Desk, book: str, name: str, asked: AskedSweep, *, workers: int) -> Mapping[str, Any]:
    from console.launcher import open_launcher
    from console.sweeps import sweep_of

    run = open_launcher().sweep(book, name, asked, workers=workers)
    if not run.success:
        tell(f"{book} sweep {name} FAILED: {run.message}")
        raise typer.Exit(exit_code_named(run.refused_by) or ExitCode.FAILED)
    found = sweep_of(desk, book, name)
    return {**found.whole, "name": name, "page": found.page, "run_id": run.run_id}


COLUMNS = ("cagr", "volatility", "sharpe", "max_drawdown", "turnover", "fills")


def _text(view: Mapping[str, Any]) -> str:
    by, variants, whole = view["by"], view["variants"], view["together"]
    columns = COLUMNS if by in COLUMNS else (by, *COLUMNS)
    rows = [
        [one["label"], *(measure_text(name, one["measures"].get(name)) for name in columns)]
        for one in variants[:SHOWN]
    ]
    more = len(variants) - SHOWN
    lines = [table(["variant", *(name.replace("_", " ") for name in columns)], rows)]
    if more > 0:
        lines.append(f"and {counted(more, 'other')}: --json has all")
    page = {"page": view["page"]} if "page" in view else {}
    lines += _warnings(variants)
    return "\n".join([*lines, "", pairs({**_honest(whole), **page}), "", _verdict(whole)])


def _warnings(variants: list[Mapping[str, Any]]) -> list[str]:
    """Return what has to be known of variants before they are compared, once each, behind an empty line."""
    of: dict[str, list[str]] = {}
    for one in variants:
        for warning in one["warnings"]:
            of.setdefault(warning, []).append(one["label"])
    told = [
        f"! {labels[0] if len(labels) == 1 else f'{len(labels):,} of {len(variants):,} variants'}: {warning}"
        for warning, labels in of.items()
    ]
    more = [f"and {counted(len(told) - SHOWN, 'other warning')}: --json has all"] if len(told) > SHOWN else []
    return ["", *told[:SHOWN], *more] if told else []


def _honest(whole: Mapping[str, Any]) -> dict[str, str]:
    honesty, overfitting = whole["honesty"], whole["overfitting"]
    told = {
        "best by sharpe": whole["best"]["label"],
        "its sharpe": measure_text("sharpe", whole["best"]["measures"].get("sharpe")),
        "luck gives the best": measure_text("luck_sharpe", honesty["luck_sharpe"]),
        "deflated sharpe": (
            f"{_share(honesty['deflated_sharpe'])}, of the {counted(whole['variants'], 'variant')} of this "
            "sweep; `trading evidence file` counts every trial of the book"
        ),
        "sessions to be sure": _whole(honesty["track_record_sessions_min"]),
    }
    if overfitting is None:
        return {**told, "overfitting": "no data: too few sessions, or variants that differ and have data"}
    chosen, after = overfitting["sharpe_chosen"], overfitting["sharpe_after"]
    return {
        **told,
        "overfitting": f"{overfitting['pbo']:.0%} of {overfitting['splits']:,} splits",
        "sharpe of a choice": f"{chosen:.2f} where it was made, {after:.2f} elsewhere",
    }


def _verdict(whole: Mapping[str, Any]) -> str:
    overfitting, deflated = whole["overfitting"], whole["honesty"]["deflated_sharpe"]
    if overfitting is None or deflated is None:
        return "no verdict: too little data to tell choice from luck"
    if overfitting["pbo"] >= ENOUGH_PBO:
        return "the choice is no better than luck: the best of one half is not above the median of the other"
    return (
        f"{deflated:.0%} sure that the best is above what luck gives the best of {whole['variants']:,};"
        f" the choice failed in {overfitting['pbo']:.0%} of splits"
    )


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{math.ceil(value):,}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
