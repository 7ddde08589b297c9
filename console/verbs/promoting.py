"""The verbs of evidence and promotion: what is filed of strategies, what is missing, and who promotes on it.

What they show is made in console/filed_evidence.py and console/promoting.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import counted, instant, pairs, table
from console.verbs.deciding import actor_of
from console.verbs.options import DECIDING, AsOption, BookOption, JsonOption, OneBookOption, show, tell
from console.verbs.teaching import help_of
from trading.errors import BadInput

if TYPE_CHECKING:
    from console.filed_evidence import Checked, Filed, RunInFull
    from console.promoting import FiledView, PromotionView
    from trading.evidence_ledger import Metrics

TOLD_OF_PARTS = ("total_return", "sharpe", "max_drawdown", "participation_max", "fills")
"""What is told of each part of a run, so that a line stays a line; `--json` has all of its metrics."""

StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy", metavar="NAME", help="One strategy, alone or in a council; all when left out."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    evidence = typer.Typer(
        help="What is filed of strategies: list, show, check, file. It is filed once and never changed.",
        no_args_is_help=True,
    )
    evidence.command("list", help=help_of(evidence_list))(evidence_list)
    evidence.command("show", help=help_of(evidence_show))(evidence_show)
    evidence.command("check", help=help_of(evidence_check))(evidence_check)
    evidence.command("file", help=help_of(evidence_file))(evidence_file)
    app.add_typer(evidence, name="evidence", rich_help_panel=DECIDING)
    app.command(help=help_of(promote), rich_help_panel=DECIDING)(promote)


def evidence_list(
    *, book: BookOption = None, strategy: StrategyOption = None, as_json: JsonOption = False
) -> None:
    """List the runs that are filed as evidence, and what was decided on them, in the order filed.

    trading evidence list
    trading evidence list --book us_five --strategy momentum
    Exit codes: 0 done, also where nothing is filed, 2 no such book, or nothing of the strategy.
    """
    from console.filed_evidence import filed_of

    found = filed_of(open_desk(), book=book, strategy=strategy)
    if strategy is not None and not (found.runs or found.promotions):
        raise BadInput(f"strategy {strategy!r}: nothing is filed of it; see `trading evidence list`")
    show(found, _filed, as_json=as_json)


def evidence_show(
    *,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The name of a run, its id, or its beginning.")],
    as_json: JsonOption = False,
) -> None:
    """Show one run in full: what it was made of, its candidates, folds and stresses with their metrics.

    trading evidence show RUN
    Exit codes: 0 done, 2 no such run, or several fit.
    """
    from console.filed_evidence import run_in_full

    show(run_in_full(open_desk(), run), _in_full, as_json=as_json)


def evidence_check(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Check that no evidence is missing: every link of the chain, every part, every promotion's evidence.

    It names each row that is gone or changed, and each window of sessions that nobody recorded. It changes
    nothing, and runs each night by itself.

    trading evidence check
    trading evidence check --book us_five --json
    Exit codes: 0 nothing is missing, 1 something is, 3 nothing was ever filed, 6 the journal cannot be read.
    """
    from console.filed_evidence import check_evidence

    found = check_evidence(open_desk(), book=book)
    show(found, _checked, as_json=as_json, code=found.exit_code)


def evidence_file(
    *,
    replay: Annotated[str, typer.Argument(metavar="NAME", help="A replay, as `trading replays` lists it.")],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="STRATEGY.PARAMETER=VALUE,…",
            help="What was tried beside it; every variant is replayed and filed. Again for more.",
        ),
    ] = None,
    book: BookOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """File a replay as evidence, with its walk-forward folds, its stresses and what was tried beside it.

    Each stress, each variant and each trial that was ever recorded on its book is replayed now, so that it
    takes as long as so many replays: a small grid hides no earlier sweep, a new name or a removed folder no
    trial. What came of it is filed whatever it is. Without anything tried of its strategies, the probability
    of overfitting is no data.

    trading evidence file NAME --book us_five --grid momentum.lookback=63,126,252
    Exit codes: 0 filed, 2 no such replay, or it is light, unfinished or of other rules, data or code,
    4 a check does not hold, or its tables are not what it replays to, 130 interrupted.
    """
    from console.promoting import file_replay

    desk = open_desk()
    view = file_replay(desk, replay, book=book, grids=grid or (), actor=actor_of(desk, as_name), tell=tell)
    show(view, _filed_replay, as_json=as_json)


def promote(
    *,
    strategy: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="A configured strategy, or `council` for all of them.")
    ],
    book: OneBookOption = None,
    confirmed: Annotated[
        bool, typer.Option("--confirm", help="File the decision; without it, it is only shown.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; needed to file, and kept with your name.")
    ] = "",
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a strategy, as it is configured now, on what is filed of it: each gate, observed and needed.

    It files nothing unless told to; with --confirm the decision is filed by your name, whatever it is. What
    is missing, copied, constant or stale is refused, and no data is never a pass.

    trading promote council --book us_five
    trading promote council --book us_five --confirm --reason "thirteen years, read the scorecard"
    Exit codes: 0 promoted, or it would be, 2 not configured, or no name or reason to file it, 3 no data,
    4 refused by a gate.
    """
    from console.actions import require_actor
    from console.promoting import file_decision, judge_strategy, view_of

    desk = open_desk()
    actor = actor_of(desk, as_name)
    if confirmed:
        require_actor(actor, reason)
    decision = judge_strategy(desk, strategy, book=desk.one(book).name)
    if confirmed:
        file_decision(desk, decision, actor=actor, reason=reason)
    view = view_of(decision, is_filed=confirmed, actor=actor if confirmed else "", reason=reason)
    show(view, _judged, as_json=as_json, code=view.exit_code)


def _filed_replay(view: FiledView) -> str:
    parts = ", ".join(
        counted(count, noun)
        for count, noun in ((view.trials, "trial"), (view.folds, "fold"), (view.stresses, "worse world"))
    )
    return (
        f"{view.run} of {view.strategy} in {view.book}: {counted(view.rows, 'row')} filed, {parts}"
        f"\nluck is told of {counted(view.counted, 'trial')} that {'was' if view.counted == 1 else 'were'}"
        f" ever recorded: {view.counted - view.others:,} of this strategy, {view.others:,} of others on"
        f" {view.book} or its data{_lost(view.not_again)}"
        f"\n\nnext:\n  trading promote {view.strategy} --book {view.book}"
    )


def _lost(not_again: int) -> str:
    if not not_again:
        return ""
    return (
        f"\n{not_again:,} of them count without being made again: of other rules or another deposit, or of a"
        " strategy whose file was edited or is gone"
    )


def _judged(view: PromotionView) -> str:
    filed = (
        f"filed by {view.actor} ({view.reason})" if view.is_filed else "nothing is filed; --confirm files it"
    )
    head = f"{view.strategy} {view.strategy_version} in {view.book}: {view.outcome.upper()}; {filed}"
    rows = [(one.standing, one.gate, one.observed, one.needed, one.detail or one.asks) for one in view.gates]
    return f"{head}\n\n{table(('', 'gate', 'observed', 'needed', 'what it asks'), rows)}"


def _filed(view: Filed) -> str:
    if not view.runs and not view.promotions:
        return "nothing is filed yet\n\nnext:\n  trading evidence check"
    runs = table(
        ("run", "name", "strategy", "version", "book", "window", "status", "candidates", "folds", "stresses"),
        [
            (
                one.run_id,
                one.name,
                one.strategy,
                one.strategy_version,
                one.book,
                f"{one.first} to {one.last}",
                one.status,
                one.candidates,
                one.folds,
                one.stresses,
            )
            for one in view.runs
        ],
    )
    decided = [
        f"{instant(one.decided_at)}  {one.strategy} {one.strategy_version} in {one.book}:"
        f" {one.outcome.upper()} by {one.actor} ({one.reason})"
        f"{'; ' + ', '.join(one.failed) if one.failed else ''}"
        for one in view.promotions
    ]
    return "\n".join([runs, *(["", "decided:", *decided] if decided else [])])


def _in_full(view: RunInFull) -> str:
    from trading.evidence_ledger import Role

    run = view.run
    head = pairs(
        {
            "run": f"{run.name} ({run.run_id})",
            "of": f"{run.strategy} {run.strategy_version} in {run.book}",
            "window": f"{run.first} to {run.last}",
            "status": f"{run.status} {run.reason}".rstrip(),
            "data set": view.data_set_sha,
            "costs": view.costs_sha,
            "rules": view.rules_sha,
            "code": view.code_sha,
            "replay": view.replay_sha,
            "made at": run.made_at,
            "filed by": view.filed_by,
        }
    )
    parts = table(
        ("kind", "name", *(name.replace("_", " ") for name in TOLD_OF_PARTS)),
        [
            (part.kind, part.name, *(_metric_text(part.metrics, name) for name in TOLD_OF_PARTS))
            for part in view.parts
        ],
    )
    # A run of a replay begins with the candidate it is of; whatever else it has is compared with that one.
    chosen = next((part for part in view.parts if part.name.endswith(f"({Role.CHOSEN})")), None)
    metrics = pairs({name: _metric_text(chosen.metrics, name) for name in chosen.metrics}) if chosen else ""
    return "\n\n".join(filter(None, [head, parts if view.parts else "", metrics]))


def _metric_text(metrics: Metrics, name: str) -> str:
    """Return a metric as people read it; a dash where a part never has it."""
    if name not in metrics:
        return "–"
    value = metrics[name]
    if value is None:
        return "no data"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _checked(view: Checked) -> str:
    looked = f"{counted(view.rows, 'row')} and {counted(view.windows, 'window')} looked at"
    lines = [f"{view.verdict}; {looked}"]
    lines += [f"  ! {one.code}: {one.about}: {one.detail}" for one in view.missing]
    if view.unfiled:
        lines.append(
            f"no run is filed as evidence of {', '.join(view.unfiled)}; a replay records that it was tried"
        )
    return "\n".join(lines)
