"""The verbs of evidence and promotion: what is filed of strategies, what is missing, and who promotes on it.

What they show is made in console/filed_evidence.py and console/promoting.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import counted, instant, pairs, table
from console.verbs.options import DECIDING, BookOption, JsonOption, show
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.filed_evidence import Checked, Filed, RunInFull

StrategyOption = Annotated[
    str | None, typer.Option("--strategy", metavar="NAME", help="One strategy; all when left out.")
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    evidence = typer.Typer(
        help="What is filed of strategies: list, show, check. It is filed once and never changed.",
        no_args_is_help=True,
    )
    evidence.command("list", help=help_of(evidence_list))(evidence_list)
    evidence.command("show", help=help_of(evidence_show))(evidence_show)
    evidence.command("check", help=help_of(evidence_check))(evidence_check)
    app.add_typer(evidence, name="evidence", rich_help_panel=DECIDING)


def evidence_list(
    *, book: BookOption = None, strategy: StrategyOption = None, as_json: JsonOption = False
) -> None:
    """List the runs that are filed as evidence, and what was decided on them, in the order filed.

    trading evidence list
    trading evidence list --book us_five --strategy momentum
    Exit codes: 0 done, also where nothing is filed, 2 no such book.
    """
    from console.filed_evidence import filed_of

    show(filed_of(open_desk(), book=book, strategy=strategy), _filed, as_json=as_json)


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
        ("kind", "name", "metrics"),
        [
            (
                part.kind,
                part.name,
                ", ".join(
                    f"{name} {'no data' if value is None else f'{value:.4g}'}"
                    for name, value in part.metrics.items()
                ),
            )
            for part in view.parts
        ],
    )
    return f"{head}\n\n{parts}" if view.parts else head


def _checked(view: Checked) -> str:
    looked = f"{counted(view.rows, 'row')} and {counted(view.windows, 'window')} looked at"
    lines = [f"{view.verdict}; {looked}"]
    lines += [f"  ! {one.code}: {one.about}: {one.detail}" for one in view.missing]
    if view.unfiled:
        lines.append(f"no run is filed of {', '.join(view.unfiled)}")
    return "\n".join(lines)
