"""The verb that tries many variants of one replay. What they say together is trading/sweeps.py."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.desk import open_desk
from console.render import counted, pairs, table
from console.verbs.deciding import actor_of
from console.verbs.options import RUNNING, JsonOption, OneBookOption, show, tell
from console.verbs.replaying import range_of
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from trading.sweeps import Outcome, Together

SHOWN = 20
"""Variants that a person reads; --json has all of them."""

SEED = 20130228
"""What intervals are drawn from: the same sweep tells the same."""

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
        str, typer.Option("--by", metavar="MEASURE", help="The measure that ranks them.")
    ] = "sharpe",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=WORKERS_MAX, help="Processes; all cores when left out."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Try many variants of one replay by the live rules, rank them, and say how much of the best is luck.

    The best of many looks better than it is. So the whole sweep is judged together: what Sharpe ratio luck
    alone gives the best of so many, and how often the best on half of the sessions was no better than the
    median on the other half. What was tried is kept: a sweep that was interrupted goes on, an edited rule
    is tried anew. Each trial is recorded in the evidence ledger too, and counts whenever evidence of one of
    its strategies is filed.

    trading sweep 2011..2012 --book us_five --grid momentum.lookback=63,126
    trading sweep 2011..2012 --book us_five --against momentum --against momentum+mean_reversion
    Exit codes: 0 done, 2 the range, the grid or a strategy is wrong, 130 interrupted.
    """
    desk = open_desk()
    outline = desk.one(book)
    first, last = range_of(sessions, outline)
    from resources.profiles import Profiled
    from resources.sweeping import VariantFiles, recording, run_variants, swept_book
    from trading.replay import Asked, request_of
    from trading.sweeps import axis_of, ranked, require_measure, together, variants_of

    require_measure(by)
    profiled = Profiled(desk.settings)
    config = profiled.books[outline.name]
    variants = variants_of(
        request_of(Asked(first_session=first, last_session=last, light=True), config, name="sweep"),
        axes=[axis_of(text) for text in grid or ()],
        councils=against or (),
        configured=[strategy.name for strategy in config.rules.strategies],
    )
    tell(f"{outline.name}: {counted(len(variants), 'variant')} of {sessions or 'all sessions'}")

    def heard(done: int, outcome: Outcome) -> None:
        came_to = _number(outcome.measures.get(by))
        tell(f"{done:,} of {len(variants):,}: {outcome.variant.label}: {by} {came_to}")

    swept = swept_book(profiled, variants)
    outcomes = run_variants(
        variants,
        swept,
        files=VariantFiles(desk.settings.profile_dir / "sweeps"),
        workers=workers or os.cpu_count() or 1,
        tell=heard,
        record=recording(profiled, swept, actor=actor_of(desk, None)),
    )
    best_first, whole = ranked(outcomes, by=by), together(outcomes, seed=SEED)
    view = {
        "book": outline.name,
        "sessions": int(outcomes[0].returns.size),
        "by": by,
        "variants": [outcome.payload() for outcome in best_first],
        "together": _payload(whole),
    }
    show(view, lambda _: _text(best_first, whole, by=by), as_json=as_json)


COLUMNS = ("cagr", "volatility", "sharpe", "max_drawdown", "turnover", "fills")


def _text(outcomes: tuple[Outcome, ...], whole: Together, *, by: str) -> str:
    columns = COLUMNS if by in COLUMNS else (by, *COLUMNS)
    rows = [
        [outcome.variant.label, *(_number(outcome.measures.get(name)) for name in columns)]
        for outcome in outcomes[:SHOWN]
    ]
    more = len(outcomes) - SHOWN
    lines = [table(["variant", *(name.replace("_", " ") for name in columns)], rows)]
    if more > 0:
        lines.append(f"and {counted(more, 'other')}: --json has all")
    return "\n".join([*lines, "", pairs(_honest(whole)), "", _verdict(whole)])


def _honest(whole: Together) -> dict[str, str]:
    honesty, overfitting = whole.honesty, whole.overfitting
    told = {
        "best by sharpe": whole.best.variant.label,
        "its sharpe": _number(whole.best.measures.get("sharpe")),
        "luck gives the best": _number(honesty.luck_sharpe),
        "deflated sharpe": _share(honesty.deflated_sharpe),
        "sessions to be sure": _number(honesty.track_record_sessions_min),
    }
    if overfitting is None:
        return {**told, "overfitting": "no data: too few sessions"}
    chosen, after = overfitting.sharpe_chosen, overfitting.sharpe_after
    return {
        **told,
        "overfitting": f"{overfitting.pbo:.0%} of {overfitting.splits:,} splits",
        "sharpe of a choice": f"{chosen:.2f} where it was made, {after:.2f} elsewhere",
    }


def _verdict(whole: Together) -> str:
    overfitting, deflated = whole.overfitting, whole.honesty.deflated_sharpe
    if overfitting is None or deflated is None:
        return "no verdict: too little data to tell choice from luck"
    if overfitting.pbo >= ENOUGH_PBO:
        return "the choice is no better than luck: the best of one half is not above the median of the other"
    return (
        f"{deflated:.0%} sure that the best is above what luck gives the best of {whole.variants:,};"
        f" the choice failed in {overfitting.pbo:.0%} of splits"
    )


def _payload(whole: Together) -> dict[str, Any]:
    return {
        "variants": whole.variants,
        "best": whole.best.payload(),
        "honesty": asdict(whole.honesty),
        "overfitting": None if whole.overfitting is None else asdict(whole.overfitting),
    }


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
