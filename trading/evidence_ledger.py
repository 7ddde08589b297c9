"""The evidence ledger: what is filed of replays and promotions, how it is chained, and what is missing of it.

A run has candidates, a candidate has folds and stresses; a promotion names the candidate that it was decided
on. Each record says what it was made of, each names the records that belong to it, and the rows form a chain,
so that whatever is taken out is named. Pure: what is evidence enough is promotion.py, where the rows are kept
resources/evidence_ledger.py. It has nothing to do with the evidence of an invariant (invariants.py).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from trading.audit import GENESIS, instant_from_text, instant_text
from trading.values import canonical_json, digest, digest_of_text

Metrics = Mapping[str, float | None]
"""Ratios and statistics by name; `None` is no data, which is never zero."""

EVIDENCE_FILED = "evidence_filed"
"""The kind of the journal's event that tells which rows were filed."""

ROWS_MAX = 5_000
"""The most rows that one event tells of, being one line of the audit log: a filing of more has several."""

STRATEGY_SHA = "strategy_sha"
"""The only part of a subject that a row may lack: earlier ones were filed without."""

NAME_CHARACTERS = 12
"""How much of a digest is shown to people."""


class Kind(StrEnum):
    """Say what a row is of."""

    RUN = "run"
    CANDIDATE = "candidate"
    FOLD = "fold"
    STRESS = "stress"
    PROMOTION = "promotion"


class RunStatus(StrEnum):
    """Say how a run ended; a window without anything to replay is `skipped`, and recorded all the same."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"


class Role(StrEnum):
    """Say what a candidate is: `chosen` needs folds and stresses, a `trial` of a sweep is only counted."""

    CHOSEN = "chosen"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Hold what evidence is about: it counts for exactly this.

    `strategy_version` is that of the strategy's file (or of all of a council's); `rules_sha` covers every
    rule and parameter, `code_sha` the sources that decide. `strategy_sha` is the digest of the strategy's
    file (of each of a council's, joined as their names are), empty where it was recorded without any.
    """

    strategy: str
    strategy_version: str
    book: str
    data_set_sha: str
    costs_sha: str
    rules_sha: str
    code_sha: str
    strategy_sha: str = ""

    def __post_init__(self) -> None:
        """Refuse evidence that does not say what it is about."""
        for one in fields(self):
            if not getattr(self, one.name) and one.name != STRATEGY_SHA:
                raise ValueError(f"evidence of {self.strategy or 'no strategy'}: {one.name} is missing")

    def payload(self) -> dict[str, Any]:
        """Return the subject by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Hold what a record was made of and when.

    `replay_sha` is the digest of all that the replay comes from (`ReplayRequest.replay_sha`), so that no two
    subjects share one; empty where nothing was replayed.
    """

    subject: Subject
    replay_sha: str
    made_at: datetime

    def payload(self) -> dict[str, Any]:
        """Return it as canonical JSON takes it."""
        return {
            **self.subject.payload(),
            "replay_sha": self.replay_sha,
            "made_at": instant_text(self.made_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Hold the out-of-sample metrics of one fold of a walk-forward; the dates are sessions, both included."""

    number: int
    train_first: date
    train_last: date
    test_first: date
    test_last: date
    bound: Bound
    metrics: Metrics

    def __post_init__(self) -> None:
        """Refuse a fold that tests what it was trained on, and a metric that is no number."""
        if not self.train_first <= self.train_last < self.test_first <= self.test_last:
            raise ValueError(
                f"fold {self.number}: trains {self.train_first} to {self.train_last} and tests"
                f" {self.test_first} to {self.test_last}: a test comes after all of the training"
            )
        _check_metrics(f"fold {self.number}", self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """Hold the metrics of one scenario, with its own replay: `name` is that of the scenario."""

    name: str
    bound: Bound
    metrics: Metrics

    def __post_init__(self) -> None:
        """Refuse a metric that is no number."""
        _check_metrics(f"stress {self.name}", self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Hold one set of parameters with the metrics of its replay.

    `equity_levels` counts the different equities at the closes: 1 is a curve that never moved.
    """

    name: str
    parameters: Mapping[str, str | int | bool]
    bound: Bound
    sessions: int
    fills: int
    equity_levels: int
    metrics: Metrics
    role: Role = Role.CHOSEN
    folds: tuple[Fold, ...] = ()
    stresses: tuple[Stress, ...] = ()

    def __post_init__(self) -> None:
        """Refuse counts below zero and a metric that is no number."""
        if min(self.sessions, self.fills, self.equity_levels) < 0:
            raise ValueError(f"candidate {self.name}: counts nothing below 0")
        _check_metrics(f"candidate {self.name}", self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Hold one run over a window of sessions (both ends included) with all of its candidates.

    A run that is not completed has a reason and no candidates. One that is completed without a replay of its
    own records what was tried, by a sweep or by one replay: its candidates are trials, which are counted, and
    nothing is promoted by it.
    """

    name: str
    bound: Bound
    first: date
    last: date
    status: RunStatus
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a run that contradicts itself."""
        if not self.name or self.first > self.last:
            raise ValueError(f"run {self.name!r} of {self.first} to {self.last}: needs a name and a window")
        if (self.status is RunStatus.COMPLETED) == bool(self.reason):
            raise ValueError(f"run {self.name}: {self.status} with reason {self.reason!r}")
        if self.status is not RunStatus.COMPLETED and self.candidates:
            raise ValueError(f"run {self.name}: {self.status}, and yet it has candidates")
        subjects = {candidate.bound.subject for candidate in self.candidates}
        if len(subjects) < len(self.candidates):
            raise ValueError(f"run {self.name}: two candidates are of one subject; which one counts?")
        if self.is_sweep and any(one.role is not Role.TRIAL for one in self.candidates):
            raise ValueError(f"run {self.name}: a sweep chooses nothing; file the replay that was chosen")

    @property
    def is_sweep(self) -> bool:
        """Say whether nothing but trials is told of."""
        return _is_sweep(self.status, self.bound.replay_sha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Hold what was decided of a strategy, by whom, why, and on which evidence.

    `gates` are code, standing, observed and needed of each, as promotion.py told them; `evidence` is the
    digest of the candidate's row, empty where there was none.
    """

    subject: Subject
    outcome: str
    gates: tuple[tuple[str, str, str, str], ...]
    evidence: str
    thresholds_sha: str
    actor: str
    reason: str
    decided_at: datetime

    def __post_init__(self) -> None:
        """Refuse a decision that nobody stands for."""
        if not self.actor.strip() or not self.reason.strip():
            raise ValueError(f"promotion of {self.subject.strategy}: needs an actor and a reason")


class Draft(NamedTuple):
    """Hold a row before it has a place in the chain: `content` is canonical JSON."""

    kind: str
    digest: str
    run_id: str
    candidate_id: str
    strategy: str
    book: str
    content: str


class LedgerRow(NamedTuple):
    """Hold one row of the ledger, as it is stored."""

    seq: int
    kind: str
    digest: str
    run_id: str
    candidate_id: str
    strategy: str
    book: str
    content: str
    actor: str
    filed_at: str
    prev_hash: str
    hash: str


class Filing(NamedTuple):
    """Hold what the journal's events say of one row, in their own chain."""

    seq: int
    kind: str
    digest: str
    strategy: str
    book: str
    hash: str


class Window(NamedTuple):
    """Hold a window of sessions of a book that needs a record, both ends included."""

    book: str
    first: date
    last: date


class Ledger(NamedTuple):
    """Hold all of a ledger as of one moment: its rows by `seq`, and what the journal's events say of them."""

    rows: tuple[LedgerRow, ...]
    filings: tuple[Filing, ...]


class Recording(NamedTuple):
    """Hold which windows need a record: so many, of so many sessions each, up to the last settled one."""

    window_sessions: int
    windows: int


class EvidenceStore(Protocol):
    """Keep the ledger."""

    def read(self) -> Ledger:
        """Return all that is filed; raises `JournalUnavailable` where it cannot be read."""
        ...


class Missing(NamedTuple):
    """Name what is not there, or not as it was filed: a stable code, what it is about, and how it shows."""

    code: str
    about: str
    detail: str


# -------------------------------------------------------------------------------- records as rows


def drafts_of_run(run: Run) -> tuple[Draft, ...]:
    """Return the rows of a run, the run first, then each candidate with its folds and stresses.

    Each names the rows that belong to it by digest, so that one that is taken out later is missed. Raises
    `ValueError` for two candidates, folds or stresses of one name.
    """
    # Of all that it says: filed again with other trials it is another run, and beside the first.
    run_id = digest(["run", run.name, run.bound.payload(), [_said(one) for one in run.candidates]])[:16]
    candidates: list[Draft] = []
    parts: list[Draft] = []
    for candidate in run.candidates:
        candidate_id = digest([run_id, candidate.name, candidate.bound.payload()])[:16]
        made = [
            *(_fold_draft(fold, run_id, candidate_id) for fold in candidate.folds),
            *(_stress_draft(stress, run_id, candidate_id) for stress in candidate.stresses),
        ]
        holds = [draft.digest for draft in made]
        candidates.append(_candidate_draft(candidate, run_id, candidate_id, holds))
        parts += made
    names = [
        *(one.name for one in run.candidates),
        *((one.name, fold.number) for one in run.candidates for fold in one.folds),
        *((one.name, stress.name) for one in run.candidates for stress in one.stresses),
    ]
    if len(set(names)) < len(names):
        raise ValueError(f"run {run.name}: two candidates, folds or stresses have one name")
    return (_run_draft(run, run_id, [draft.digest for draft in candidates]), *candidates, *parts)


def _said(candidate: Candidate) -> list[Any]:
    """Return all that a candidate says, as canonical JSON takes it."""
    return [
        candidate.name,
        candidate.role.value,
        dict(candidate.parameters),
        [candidate.sessions, candidate.fills, candidate.equity_levels],
        candidate.bound.payload(),
        _texts(candidate.metrics),
        [
            [fold.number, *(getattr(fold, name).isoformat() for name in _FOLD_DATES), _texts(fold.metrics)]
            for fold in candidate.folds
        ],
        [[stress.name, stress.bound.payload(), _texts(stress.metrics)] for stress in candidate.stresses],
    ]


def draft_of_promotion(promotion: Promotion) -> Draft:
    """Return the row of a promotion."""
    content = {
        **promotion.subject.payload(),
        "outcome": promotion.outcome,
        "gates": [list(gate) for gate in promotion.gates],
        "evidence": promotion.evidence,
        "thresholds_sha": promotion.thresholds_sha,
        "actor": promotion.actor,
        "reason": promotion.reason,
        "decided_at": instant_text(promotion.decided_at),
    }
    return _draft(Kind.PROMOTION, promotion.subject, "", "", content)


def placed(
    drafts: Iterable[Draft], *, after: tuple[int, str] | None, actor: str, at: str
) -> Iterator[LedgerRow]:
    """Yield rows with their place in the chain: behind a row's number and hash, `None` at its beginning."""
    seq, prev_hash = (0, GENESIS) if after is None else after
    told = ((number, *draft) for number, draft in enumerate(drafts, start=seq + 1))
    yield from rows_of_filing(told, prev_hash=prev_hash, actor=actor, at=at)


def hash_of(row: LedgerRow) -> str:
    """Return the hash of a row: it covers everything of the row and the hash of the one before."""
    return digest(list(row[:-1]))


def digest_of(kind: str, content: str) -> str:
    """Return the digest of a record: the same evidence has the same one, whenever it is filed."""
    return digest_of_text(f"{kind}\n{content}")


def rows_of_filing(
    told: Iterable[Sequence[Any]], *, prev_hash: str, actor: str, at: str
) -> Iterator[LedgerRow]:
    """Yield the rows that an event of the journal tells of (number, then draft, of each), made again."""
    for seq, *draft in told:
        row = LedgerRow(seq, *Draft(*draft), actor, at, prev_hash, "")
        prev_hash = hash_of(row)
        yield row._replace(hash=prev_hash)


# -------------------------------------------------------------------------------- rows as records


def runs_of(rows: Iterable[LedgerRow]) -> list[Run]:
    """Return the runs that rows tell of, in the order filed, each with what is there of it.

    A row that cannot be read is left out, as one that is not there, and so is a run that contradicts itself:
    `broken_evidence` names both.
    """
    return [run for _, run in runs_with_rows(rows)]


def runs_with_rows(rows: Iterable[LedgerRow]) -> list[tuple[LedgerRow, Run]]:
    """Return each run of `runs_of` with the row that it begins with."""
    return [(row, run) for row, run in _told_runs(rows) if isinstance(run, Run)]


def _told_runs(rows: Iterable[LedgerRow]) -> Iterator[tuple[LedgerRow, Run | ValueError]]:
    """Give each run's row with the run, or with why what is filed of it can be none."""
    candidates: dict[str, list[tuple[LedgerRow, dict[str, Any]]]] = defaultdict(list)
    parts: dict[str, list[tuple[LedgerRow, dict[str, Any]]]] = defaultdict(list)
    runs = []
    for row in rows:
        content = content_of(row)
        if content is None:
            continue
        if row.kind == Kind.RUN:
            runs.append((row, content))
        elif row.kind == Kind.CANDIDATE:
            candidates[row.run_id].append((row, content))
        elif row.kind in {Kind.FOLD, Kind.STRESS}:
            parts[row.candidate_id].append((row, content))
    for row, content in runs:
        own = candidates[row.run_id]
        try:
            held = tuple(_candidate(told, parts[candidate.candidate_id]) for candidate, told in own)
            yield row, _run(content, held)
        except ValueError as error:
            yield row, error


def promotions_of(rows: Iterable[LedgerRow]) -> list[Promotion]:
    """Return the promotions that rows tell of, in the order filed."""
    told = (content_of(row) for row in rows if row.kind == Kind.PROMOTION)
    return [_promotion(content) for content in told if content is not None]


def content_of(row: LedgerRow) -> dict[str, Any] | None:
    """Return what a row says, `None` where it is not what it was filed as, or says nothing of its kind."""
    if digest_of(row.kind, row.content) != row.digest or _what_is_wrong(row.kind, row.content):
        return None
    content: dict[str, Any] = json.loads(row.content)
    return content


@lru_cache(maxsize=4 * ROWS_MAX)
def _what_is_wrong(kind: str, written: str) -> str:
    """Return why a content is none of its kind, by the first thing that it lacks; empty where it is one."""
    try:
        content = json.loads(written)
        match Kind(kind):
            case Kind.RUN:
                _run(content, ())
                _parts_of(content, "holds")
            case Kind.CANDIDATE:
                _candidate(content, ())
                _parts_of(content, "holds", "fold_count", "stress_count")
            case Kind.FOLD:
                _fold(content)
            case Kind.STRESS:
                _stress(content)
            case Kind.PROMOTION:
                _promotion(content)
    except KeyError as error:
        return f"has no {error.args[0]}"
    except (ValueError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _parts_of(content: Mapping[str, Any], holds: str, *counts: str) -> None:
    """Refuse a content that does not say which rows belong to it, and how many of a kind."""
    if not all(isinstance(part, str) for part in content[holds]):
        raise TypeError(f"{holds} is {content[holds]!r}: names each part by its digest")
    for name in counts:
        if not isinstance(content[name], int):
            raise TypeError(f"{name} is {content[name]!r}: a count")


# -------------------------------------------------------------------------------- what is missing


def windows_of(book: str, sessions: Sequence[date], recording: Recording) -> tuple[Window, ...]:
    """Return the windows of a book that need a record, the earliest first; whole ones only.

    `sessions` are the settled ones, ascending.
    """
    size = recording.window_sessions
    ends = range(len(sessions), size - 1, -size)[: recording.windows]
    return tuple(Window(book, sessions[end - size], sessions[end - 1]) for end in reversed(ends))


def books_filed(rows: Iterable[LedgerRow]) -> frozenset[str]:
    """Return the books of which evidence was filed: to record what was tried files none."""
    told = ((row.book, content_of(row)) for row in rows if row.kind == Kind.RUN)
    return frozenset(book for book, content in told if content is not None and not is_of_sweep(content))


def missing_evidence(ledger: Ledger, *, windows: Sequence[Window] = ()) -> tuple[Missing, ...]:
    """Return everything that is missing of a ledger, or is not as it was filed; nothing where it is whole.

    The events have a chain and a signed log of their own, so that the last row is missed as well. `windows`
    are those that need a run, be it a skipped one.
    """
    return (*broken_evidence(ledger), *_without_parts(ledger.rows), *_unrecorded(ledger.rows, windows))


def broken_evidence(ledger: Ledger) -> tuple[Missing, ...]:
    """Return each row that was filed and is gone or changed, each put in, and each reference to nothing."""
    rows, filings = ledger
    return (
        *_broken(rows),
        *_taken_out(rows, filings),
        *_unreadable(rows),
        *_unresolved(rows),
        *_contradicting(rows),
    )


def _contradicting(rows: Sequence[LedgerRow]) -> Iterator[Missing]:
    """Name each run whose rows together can be none, so that nothing is judged by it."""
    for row, found in _told_runs(rows):
        if isinstance(found, ValueError):
            yield Missing("run_contradicts_itself", f"row {row.seq} ({named(row)})", str(found))


def _unreadable(rows: Sequence[LedgerRow]) -> Iterator[Missing]:
    """Name each row that is as it was filed, and says nothing of its kind."""
    for row in rows:
        wrong = _what_is_wrong(row.kind, row.content)
        if wrong and digest_of(row.kind, row.content) == row.digest:
            yield Missing("row_unreadable", named(row), wrong)


def _broken(rows: Sequence[LedgerRow]) -> Iterator[Missing]:
    """Name each row that does not follow the one before, or whose content is not what its digest says."""
    seq, prev_hash = 0, GENESIS
    for row in rows:
        if (row.seq, row.prev_hash) != (seq + 1, prev_hash):
            yield Missing("broken_link", named(row), f"does not follow row {seq}")
        if digest_of(row.kind, row.content) != row.digest or hash_of(row) != row.hash:
            yield Missing("row_changed", named(row), "is not what its digest and hash were taken over")
        seq, prev_hash = row.seq, row.hash


def _taken_out(rows: Sequence[LedgerRow], filings: Sequence[Filing]) -> Iterator[Missing]:
    """Name each row that the journal's events tell of and that is gone, and each that they do not know."""
    told = {filing.seq: filing for filing in filings}
    there = {row.seq: row for row in rows}
    for seq, filing in told.items():
        if seq not in there:
            about = f"row {seq} ({filing.kind} {filing.digest[:NAME_CHARACTERS]})"
            yield Missing("row_removed", about, f"of {filing.strategy} in {filing.book}: filed, and gone")
        elif there[seq].hash != filing.hash:
            yield Missing("row_changed", named(there[seq]), "is not the one that was filed under its number")
    for seq in sorted(set(there) - set(told)):
        yield Missing("row_unfiled", named(there[seq]), "no event of the journal tells that it was filed")


def _unresolved(rows: Sequence[LedgerRow]) -> Iterator[Missing]:
    """Name each row that refers to one that is not there: its parts, what it is a part of, its evidence."""
    there = {row.digest for row in rows}
    runs = {row.run_id for row in rows if row.kind == Kind.RUN}
    candidates = {row.candidate_id for row in rows if row.kind == Kind.CANDIDATE}
    for row in rows:
        content = content_of(row)
        if content is None:
            continue
        for part in content.get("holds", ()):
            if part not in there:
                detail = f"its part {part[:NAME_CHARACTERS]} is not there"
                yield Missing(f"{row.kind}_incomplete", named(row), detail)
        if row.kind == Kind.CANDIDATE and row.run_id not in runs:
            yield Missing("candidate_without_run", named(row), f"run {row.run_id}")
        if row.kind in {Kind.FOLD, Kind.STRESS} and row.candidate_id not in candidates:
            detail = f"candidate {row.candidate_id}"
            yield Missing(f"{row.kind}_without_candidate", named(row), detail)
        if row.kind == Kind.PROMOTION and content["evidence"] and content["evidence"] not in there:
            detail = f"candidate {content['evidence'][:NAME_CHARACTERS]} is not there"
            yield Missing("promotion_without_evidence", named(row), detail)


def _without_parts(rows: Sequence[LedgerRow]) -> Iterator[Missing]:
    """Name each completed run that was filed without candidates, and each chosen one without its parts.

    A candidate that traded nothing has none: there was nothing to fold or to stress.
    """
    for row in rows:
        content = content_of(row)
        if content is None:
            continue
        if row.kind == Kind.RUN and content["status"] == RunStatus.COMPLETED and not content["holds"]:
            yield Missing("run_without_candidates", named(row), content["name"])
        if row.kind == Kind.CANDIDATE and content["role"] == Role.CHOSEN and content["fills"]:
            for kind in (Kind.FOLD, Kind.STRESS):
                if not content[f"{kind}_count"]:
                    yield Missing(f"candidate_without_{kind}", named(row), content["name"])


def _unrecorded(rows: Sequence[LedgerRow], windows: Sequence[Window]) -> Iterator[Missing]:
    """Name each window that no run of its book reaches into; a sweep is no record of one."""
    spans = defaultdict(list)
    for row in rows:
        content = content_of(row)
        if row.kind == Kind.RUN and content is not None and not is_of_sweep(content):
            spans[row.book].append((content["first"], content["last"]))
    for window in windows:
        first, last = window.first.isoformat(), window.last.isoformat()
        if not any(begins <= last and first <= ends for begins, ends in spans[window.book]):
            yield Missing(
                "window_without_record", f"{window.book} {first} to {last}", "no run, not even a skipped one"
            )


def is_of_sweep(content: Mapping[str, Any]) -> bool:
    """Say whether what the row of a run says is that of a sweep."""
    return _is_sweep(content["status"], content["replay_sha"])


def _is_sweep(status: str, replay_sha: str) -> bool:
    return status == RunStatus.COMPLETED and not replay_sha


def named(row: LedgerRow) -> str:
    """Return how messages call a row."""
    return f"row {row.seq} ({row.kind} {row.digest[:NAME_CHARACTERS]})"


# -------------------------------------------------------------------------------- content, there and back


def _run_draft(run: Run, run_id: str, holds: list[str]) -> Draft:
    content = {
        **run.bound.payload(),
        "name": run.name,
        "first": run.first.isoformat(),
        "last": run.last.isoformat(),
        "status": run.status.value,
        "reason": run.reason,
        "holds": holds,
    }
    return _draft(Kind.RUN, run.bound.subject, run_id, "", content)


def _candidate_draft(candidate: Candidate, run_id: str, candidate_id: str, holds: list[str]) -> Draft:
    content = {
        **candidate.bound.payload(),
        "run_id": run_id,
        "name": candidate.name,
        "parameters": dict(candidate.parameters),
        "sessions": candidate.sessions,
        "fills": candidate.fills,
        "equity_levels": candidate.equity_levels,
        "metrics": _texts(candidate.metrics),
        "role": candidate.role.value,
        "fold_count": len(candidate.folds),
        "stress_count": len(candidate.stresses),
        "holds": holds,
    }
    return _draft(Kind.CANDIDATE, candidate.bound.subject, run_id, candidate_id, content)


def _fold_draft(fold: Fold, run_id: str, candidate_id: str) -> Draft:
    content = {
        **fold.bound.payload(),
        "candidate_id": candidate_id,
        "number": fold.number,
        **{name: getattr(fold, name).isoformat() for name in _FOLD_DATES},
        "metrics": _texts(fold.metrics),
    }
    return _draft(Kind.FOLD, fold.bound.subject, run_id, candidate_id, content)


def _stress_draft(stress: Stress, run_id: str, candidate_id: str) -> Draft:
    content = {
        **stress.bound.payload(),
        "candidate_id": candidate_id,
        "name": stress.name,
        "metrics": _texts(stress.metrics),
    }
    return _draft(Kind.STRESS, stress.bound.subject, run_id, candidate_id, content)


_FOLD_DATES = ("train_first", "train_last", "test_first", "test_last")


def _draft(kind: Kind, subject: Subject, run_id: str, candidate_id: str, content: dict[str, Any]) -> Draft:
    written = canonical_json(content)
    return Draft(
        kind.value,
        digest_of(kind, written),
        run_id,
        candidate_id,
        subject.strategy,
        subject.book,
        written,
    )


def _candidate(content: dict[str, Any], parts: Sequence[tuple[LedgerRow, dict[str, Any]]]) -> Candidate:
    parameters = content["parameters"]
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters is {parameters!r}: values by name")
    return Candidate(
        name=content["name"],
        parameters=parameters,
        bound=_bound(content),
        sessions=content["sessions"],
        fills=content["fills"],
        equity_levels=content["equity_levels"],
        metrics=_numbers(content["metrics"]),
        role=Role(content["role"]),
        folds=tuple(_fold(told) for row, told in parts if row.kind == Kind.FOLD),
        stresses=tuple(_stress(told) for row, told in parts if row.kind == Kind.STRESS),
    )


def _run(content: Mapping[str, Any], candidates: tuple[Candidate, ...]) -> Run:
    return Run(
        name=content["name"],
        bound=_bound(content),
        first=date.fromisoformat(content["first"]),
        last=date.fromisoformat(content["last"]),
        status=RunStatus(content["status"]),
        reason=content["reason"],
        candidates=candidates,
    )


def _fold(content: Mapping[str, Any]) -> Fold:
    return Fold(
        number=content["number"],
        train_first=date.fromisoformat(content["train_first"]),
        train_last=date.fromisoformat(content["train_last"]),
        test_first=date.fromisoformat(content["test_first"]),
        test_last=date.fromisoformat(content["test_last"]),
        bound=_bound(content),
        metrics=_numbers(content["metrics"]),
    )


def _stress(content: Mapping[str, Any]) -> Stress:
    return Stress(name=content["name"], bound=_bound(content), metrics=_numbers(content["metrics"]))


def _promotion(content: Mapping[str, Any]) -> Promotion:
    return Promotion(
        subject=_subject(content),
        outcome=content["outcome"],
        gates=tuple((code, standing, seen, needed) for code, standing, seen, needed in content["gates"]),
        evidence=content["evidence"],
        thresholds_sha=content["thresholds_sha"],
        actor=content["actor"],
        reason=content["reason"],
        decided_at=instant_from_text(content["decided_at"]),
    )


def _subject(content: Mapping[str, Any]) -> Subject:
    told = {one.name: content[one.name] for one in fields(Subject) if one.name != STRATEGY_SHA}
    told[STRATEGY_SHA] = content.get(STRATEGY_SHA, "")
    if wrong := sorted(name for name, value in told.items() if not isinstance(value, str)):
        raise TypeError(f"{wrong[0]} is {told[wrong[0]]!r}: a text")
    return Subject(**told)


def _bound(content: Mapping[str, Any]) -> Bound:
    return Bound(
        subject=_subject(content),
        replay_sha=content["replay_sha"],
        made_at=instant_from_text(content["made_at"]),
    )


def _texts(metrics: Metrics) -> dict[str, str | None]:
    """Return metrics as canonical JSON takes them: the shortest text that is read back as the same float."""
    return {name: None if value is None else repr(float(value)) for name, value in metrics.items()}


def _numbers(texts: Mapping[str, str | None]) -> dict[str, float | None]:
    return {name: None if text is None else float(text) for name, text in texts.items()}


def _check_metrics(who: str, metrics: Metrics) -> None:
    for name, value in metrics.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{who}: {name} is {value}; what cannot be told is None")
