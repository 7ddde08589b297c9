"""What is filed of strategies, as people look at it: runs, one run in full, promotions, and what is missing.

The ledger is trading/evidence_ledger.py, read by resources/evidence_ledger.py. Whether it is enough for a
promotion is promoting.py.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, datetime

from console.book_outlines import BookOutline
from console.desk import Desk
from console.exit_codes import ExitCode
from console.replays import replays_of
from resources.evidence_ledger import read_ledger
from trading.errors import BadInput, BadSetting
from trading.evidence_ledger import (
    Kind,
    LedgerRow,
    Metrics,
    Missing,
    Recording,
    Run,
    Window,
    books_filed,
    content_of,
    missing_evidence,
    promotions_of,
    runs_with_rows,
    windows_of,
)
from trading.trials import AND, unrecorded

SEVERAL = ", "
"""Stands between the strategies of a sweep that tried several."""

SESSIONS_READ = 1_000
"""The most sessions of a book that are looked at for windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledRun:
    """Hold one run as a line: what it is of, its window, how it ended, and how much belongs to it.

    Of a sweep, which has no strategy of its own, `strategy` names each that was tried, `, ` between them;
    `strategies` has every name that the run is found by, a council's and those of its members.
    """

    run_id: str
    name: str
    strategy: str
    strategies: tuple[str, ...]
    strategy_version: str
    book: str
    first: date
    last: date
    status: str
    reason: str
    candidates: int
    folds: int
    stresses: int
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledPromotion:
    """Hold one decision as a line: of what, how it went, by whom and why."""

    strategy: str
    strategy_version: str
    book: str
    outcome: str
    failed: tuple[str, ...]
    actor: str
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """Hold what is filed of books, in the order filed."""

    runs: tuple[FiledRun, ...]
    promotions: tuple[FiledPromotion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledPart:
    """Hold one row that belongs to a run: a candidate, a fold or a stress."""

    kind: str
    name: str
    digest: str
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInFull:
    """Hold a run with what it was made of and everything that belongs to it."""

    run: FiledRun
    digest: str
    data_set_sha: str
    costs_sha: str
    rules_sha: str
    code_sha: str
    replay_sha: str
    filed_by: str
    parts: tuple[FiledPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Hold what the check of the ledger found; `unfiled` are the books without any run, judged by nothing."""

    verdict: str
    exit_code: ExitCode
    rows: int
    windows: int
    missing: tuple[Missing, ...]
    unfiled: tuple[str, ...]


def filed_of(desk: Desk, *, book: str | None = None, strategy: str | None = None) -> Filed:
    """Return what is filed of one book or all, and of one strategy, alone or in a council, or of all."""
    books = {outline.name for outline in desk.chosen(book)}
    rows = [row for row in read_ledger(desk.journal).rows if row.book in books]
    return Filed(
        runs=tuple(run for run in _runs(rows) if strategy is None or strategy in run.strategies),
        promotions=tuple(
            one for one in _promotions(rows) if strategy is None or strategy in _names_of([one.strategy])
        ),
    )


def run_in_full(desk: Desk, wanted: str) -> RunInFull:
    """Return the run whose id or name is this, or whose id begins so; of several of one name the last filed.

    Raises `BadInput` where there is none, or several ids begin so.
    """
    rows = read_ledger(desk.journal).rows
    runs = {row.run_id: run for row, run in runs_with_rows(rows)}
    fitting = [run_id for run_id, run in runs.items() if run.name == wanted][-1:]
    fitting = fitting or [run_id for run_id in runs if wanted and run_id.startswith(wanted)]
    if len(fitting) != 1:
        found = "several runs begin so" if fitting else "no such run"
        raise BadInput(f"evidence {wanted!r}: {found}; `trading evidence list` names them")
    run_id = fitting[0]
    of_run = [row for row in rows if row.run_id == run_id]
    bound, head = runs[run_id].bound, next(row for row in of_run if row.kind == Kind.RUN)
    return RunInFull(
        run=_runs(of_run)[0],
        digest=head.digest,
        data_set_sha=bound.subject.data_set_sha,
        costs_sha=bound.subject.costs_sha,
        rules_sha=bound.subject.rules_sha,
        code_sha=bound.subject.code_sha,
        replay_sha=bound.replay_sha,
        filed_by=head.actor,
        parts=_parts(of_run),
    )


def check_evidence(desk: Desk, *, book: str | None = None) -> Checked:
    """Return what is missing of the whole ledger, and the windows and replays that nothing records.

    Only a book of which anything was filed is asked for windows: the others are named, and judged by nobody.
    """
    ledger = read_ledger(desk.journal)
    chosen = desk.chosen(book)
    filed = books_filed(ledger.rows)
    windows = [window for outline in chosen if outline.name in filed for window in _windows(desk, outline)]
    unrecorded_replays = (
        one
        for outline in chosen
        for one in unrecorded(
            outline.name,
            {view.name: view.replay_sha for view in replays_of(desk, outline) if view.is_whole},
            ledger.rows,
        )
    )
    missing = (*missing_evidence(ledger, windows=windows), *unrecorded_replays)
    verdict, code = _verdict(missing, is_filed=bool(filed))
    return Checked(
        verdict=verdict,
        exit_code=code,
        rows=len(ledger.rows),
        windows=len(windows),
        missing=missing,
        unfiled=tuple(outline.name for outline in chosen if outline.name not in filed),
    )


def _verdict(missing: tuple[Missing, ...], *, is_filed: bool) -> tuple[str, ExitCode]:
    if missing:
        return f"INCOMPLETE: {len(missing)} missing or changed", ExitCode.FAILED
    if not is_filed:
        return "NO DATA: no evidence was ever filed", ExitCode.ATTENTION
    return "WHOLE: nothing is missing", ExitCode.DONE


def _windows(desk: Desk, outline: BookOutline) -> tuple[Window, ...]:
    """Return the windows of a book that need a run: of its settled sessions."""
    known = desk.journal.sessions(book=outline.name, lane=desk.lane, last=SESSIONS_READ)
    settled = [record.session for record in known if record.settled_at is not None]
    return windows_of(outline.name, settled, _recording(desk, outline.name))


def _recording(desk: Desk, book: str) -> Recording:
    """Return which windows need a record, read plainly as reading verbs do."""
    path = desk.settings.config_dir / "promotion.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        line = {**content["default"], **content.get(book, {})}
        return Recording(int(line["window_sessions"]), int(line["windows"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadSetting(f"{path}: {error!r}; correct it, or restore the file") from error


def _runs(rows: list[LedgerRow]) -> tuple[FiledRun, ...]:
    return tuple(_run(head, run) for head, run in runs_with_rows(rows))


def _run(head: LedgerRow, run: Run) -> FiledRun:
    # A sweep is bound to the book as it was configured, whatever was tried: only its candidates tell.
    of = [one.bound.subject for one in run.candidates] if run.is_sweep else [run.bound.subject]
    strategies = sorted({one.strategy for one in of})
    return FiledRun(
        run_id=head.run_id,
        name=run.name,
        strategy=SEVERAL.join(strategies),
        strategies=_names_of(strategies),
        strategy_version=SEVERAL.join(sorted({one.strategy_version for one in of})),
        book=run.bound.subject.book,
        first=run.first,
        last=run.last,
        status=run.status.value,
        reason=run.reason,
        candidates=len(run.candidates),
        folds=sum(len(candidate.folds) for candidate in run.candidates),
        stresses=sum(len(candidate.stresses) for candidate in run.candidates),
        made_at=run.bound.made_at,
    )


def _names_of(strategies: list[str]) -> tuple[str, ...]:
    """Return the names that strategies are asked for by: of a council its own and each member's."""
    return tuple(sorted({name for one in strategies for name in (one, *one.split(AND))}))


def _promotions(rows: list[LedgerRow]) -> tuple[FiledPromotion, ...]:
    return tuple(
        FiledPromotion(
            strategy=one.subject.strategy,
            strategy_version=one.subject.strategy_version,
            book=one.subject.book,
            outcome=one.outcome,
            failed=tuple(code for code, standing, _, _ in one.gates if standing != "passed"),
            actor=one.actor,
            reason=one.reason,
            decided_at=one.decided_at,
        )
        for one in promotions_of(rows)
    )


def _parts(rows: list[LedgerRow]) -> tuple[FiledPart, ...]:
    """Return what belongs to a run, each candidate before its folds and stresses."""
    found: list[FiledPart] = []
    digests = {
        kind: iter([row.digest for row in rows if row.kind == kind and content_of(row) is not None])
        for kind in (Kind.CANDIDATE, Kind.FOLD, Kind.STRESS)
    }
    ((_, run),) = runs_with_rows(rows)
    for candidate in run.candidates:
        parts = [(Kind.CANDIDATE, f"{candidate.name} ({candidate.role})", candidate.metrics)]
        parts += [
            (Kind.FOLD, f"{fold.test_first} to {fold.test_last}", fold.metrics) for fold in candidate.folds
        ]
        parts += [(Kind.STRESS, stress.name, stress.metrics) for stress in candidate.stresses]
        found += [
            FiledPart(kind=kind.value, name=name, digest=next(digests[kind]), metrics=metrics)
            for kind, name, metrics in parts
        ]
    return tuple(found)
