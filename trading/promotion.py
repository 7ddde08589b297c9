"""The promotion gate: whether what was filed of a strategy is evidence enough, gate by gate.

Evidence counts for exactly one subject (strategy version, data set, costs, rules, code). What is missing,
copied, constant or stale is refused; *no data* is an outcome of its own and never a pass. The thresholds
come from `config/promotion.toml`. How evidence is filed and what is missing of it is evidence_ledger.py; the
metrics are those of scorecard.py and honest.py, here by name alone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from trading.audit import instant_text
from trading.evidence_ledger import (
    NAME_CHARACTERS,
    Candidate,
    Fold,
    Kind,
    Ledger,
    LedgerRow,
    Missing,
    Promotion,
    Recording,
    Role,
    Run,
    RunStatus,
    Stress,
    Subject,
    broken_evidence,
    content_of,
    promotions_of,
    runs_of,
)
from trading.trials import AND, trials_known_to
from trading.values import digest

NET_RETURN = "total_return"
"""The metric: gain over the window after all costs, as a ratio of the equity before it (performance.py)."""

DEFLATED_SHARPE = "deflated_sharpe"
"""The metric: probability that the Sharpe ratio is above what the best of all trials shows by luck."""

OVERFITTING = "pbo"
"""The metric: probability of backtest overfitting, by combinatorially symmetric cross-validation."""

TRIALS = "trials"
"""The metric: how many trials luck was told of, this one among them: all that is recorded (trials.py)."""

OTHER_TRIALS = "other_trials"
"""The metric: how many of those are of other strategies, tried on the same book or its data."""

OVERFITTING_TRIALS = "overfitting_trials"
"""The metric: how many trials the probability of overfitting compares, this one among them."""

DRAWDOWN = "max_drawdown"
"""The metric: deepest fall of the equity from an earlier peak as a ratio of it; its sign says nothing."""

NOT_TOLD = "–"
"""What stands where nothing was observed."""


class Outcome(StrEnum):
    """Say what became of a request."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    NO_DATA = "no_data"


class Standing(StrEnum):
    """Say how one gate stands."""

    PASSED = "passed"
    REFUSED = "refused"
    NO_DATA = "no_data"


class Token(StrEnum):
    """Say how a promotion stands that live execution asks for."""

    VALID = "valid"
    MISSING = "missing"
    STALE = "stale"


class Gate(StrEnum):
    """Name a gate: these codes stay."""

    LEDGER_WHOLE = "ledger_whole"
    RUN_FILED = "run_filed"
    SAME_STRATEGY_VERSION = "same_strategy_version"
    SAME_STRATEGY_FILE = "same_strategy_file"
    SAME_DATA_SET = "same_data_set"
    SAME_COSTS = "same_costs"
    RULES_UNCHANGED = "rules_unchanged"
    CODE_UNCHANGED = "code_unchanged"
    RUN_COMPLETED = "run_completed"
    WINDOW_NOT_EMPTY = "window_not_empty"
    REPLAY_OF_ITS_OWN = "replay_of_its_own"
    PARTS_OF_ITS_OWN = "parts_of_its_own"
    EQUITY_MOVES = "equity_moves"
    FOLDS_DIFFER = "folds_differ"
    STRESSES_DIFFER = "stresses_differ"
    MADE_LATELY = "made_lately"
    WINDOW_REACHES_NOW = "window_reaches_now"
    SESSIONS = "sessions"
    FILLS = "fills"
    FOLDS = "folds"
    STRESSES_FILED = "stresses_filed"
    TRIALS = "trials"
    TRIALS_COUNTED = "trials_counted"
    NET_RETURN = "net_return"
    DEFLATED_SHARPE = "deflated_sharpe"
    OVERFITTING = "overfitting"
    DRAWDOWN = "drawdown"
    FOLD_WINS = "fold_wins"
    STRESS_SURVIVORS = "stress_survivors"


ASKS: dict[Gate, str] = {
    Gate.LEDGER_WHOLE: "no row of the ledger is missing or changed",
    Gate.RUN_FILED: "a run of this strategy on this book is filed",
    Gate.SAME_STRATEGY_VERSION: "it is of the version that is configured now",
    Gate.SAME_STRATEGY_FILE: "its file is the one that stands now, not one edited under the same version",
    Gate.SAME_DATA_SET: "it was made from the data set that is configured now",
    Gate.SAME_COSTS: "it was made with the costs that are configured now",
    Gate.RULES_UNCHANGED: "no rule or parameter was changed since",
    Gate.CODE_UNCHANGED: "no source that decides was changed since",
    Gate.RUN_COMPLETED: "the run was completed, and chose a candidate of exactly this subject",
    Gate.WINDOW_NOT_EMPTY: "its window has sessions in which something was traded",
    Gate.REPLAY_OF_ITS_OWN: "its replay is filed for no other strategy, version, data set or costs",
    Gate.PARTS_OF_ITS_OWN: "its folds and stresses are of this very subject",
    Gate.EQUITY_MOVES: "its equity is not the same at every close",
    Gate.FOLDS_DIFFER: "its folds do not all have the same metrics",
    Gate.STRESSES_DIFFER: "no scenario has the metrics of the replay itself",
    Gate.MADE_LATELY: "it was made within so many days",
    Gate.WINDOW_REACHES_NOW: "its window ends within so many days of the last session",
    Gate.SESSIONS: "so many sessions at least",
    Gate.FILLS: "so many fills at least",
    Gate.FOLDS: "so many walk-forward folds at least",
    Gate.STRESSES_FILED: "every scenario asked for is filed",
    Gate.TRIALS: "so many trials of its own strategies compared at least, this one among them",
    Gate.TRIALS_COUNTED: "every trial that was recorded before it on its book is counted in it",
    Gate.NET_RETURN: "net return after costs above this ratio",
    Gate.DEFLATED_SHARPE: "deflated Sharpe of this probability at least",
    Gate.OVERFITTING: "probability of backtest overfitting of this at most",
    Gate.DRAWDOWN: "largest drawdown of this ratio at most",
    Gate.FOLD_WINS: "this ratio of the folds gained at least",
    Gate.STRESS_SURVIVORS: "so many of the scenarios asked for gained at least",
}
"""What each gate asks, in one line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Hold what evidence has to reach; `config/promotion.toml` says of each why.

    `net_return_min` has to be exceeded, the others reached. `stresses` are the scenarios that have to be
    there; `stress_survivors_min` of them have to gain. Raises `ValueError` where they contradict each other.
    """

    sessions_min: int
    fills_min: int
    folds_min: int
    trials_min: int
    age_days_max: int
    lag_days_max: int
    net_return_min: float
    deflated_sharpe_min: float
    overfitting_max: float
    drawdown_max: float
    fold_wins_min: float
    stresses: tuple[str, ...]
    stress_survivors_min: int

    def __post_init__(self) -> None:
        """Refuse what could never be reached, or could be without evidence."""
        if self.folds_min < 2:  # noqa: PLR2004 - one fold cannot differ from another
            raise ValueError(f"folds_min = {self.folds_min}: one fold shows nothing that the whole does not")
        if self.trials_min < 2:  # noqa: PLR2004 - of one there is no choice to fail
            raise ValueError(
                f"trials_min = {self.trials_min}: of one trial there is no choice that could fail"
            )
        if self.sessions_min < self.folds_min:
            raise ValueError(
                f"sessions_min = {self.sessions_min}: under folds_min = {self.folds_min};"
                " each fold tests a session at least"
            )
        if not self.stresses or len(set(self.stresses)) < len(self.stresses):
            raise ValueError(f"stresses = {list(self.stresses)}: name each scenario once, and one at least")
        if not 1 <= self.stress_survivors_min <= len(self.stresses):
            raise ValueError(
                f"stress_survivors_min = {self.stress_survivors_min}: of {len(self.stresses)} scenarios,"
                " one at least and no more than there are"
            )

    def sha(self) -> str:
        """Return the digest of all thresholds: a decision names what it was decided by."""
        return digest(repr(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Hold what a gate found: `observed` and `needed` as text, `detail` what else a person would ask."""

    gate: Gate
    standing: Standing
    observed: str
    needed: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionDecision:
    """Hold what was decided: all gates in order, and the digest of the candidate's row they judged."""

    subject: Subject
    outcome: Outcome
    gates: tuple[Judged, ...]
    run: str
    evidence: str
    thresholds_sha: str

    @property
    def reasons(self) -> tuple[Judged, ...]:
        """Return the gates that did not pass, what was refused before what has no data."""
        return tuple(
            gate
            for standing in (Standing.REFUSED, Standing.NO_DATA)
            for gate in self.gates
            if gate.standing is standing
        )

    def signed(self, *, actor: str, reason: str, decided_at: datetime) -> Promotion:
        """Return the record of the decision by the name of whoever files it."""
        return Promotion(
            subject=self.subject,
            outcome=self.outcome.value,
            gates=tuple(
                (gate.gate.value, gate.standing.value, gate.observed, gate.needed) for gate in self.gates
            ),
            evidence=self.evidence,
            thresholds_sha=self.thresholds_sha,
            actor=actor,
            reason=reason,
            decided_at=decided_at,
        )


class PromotionRules(NamedTuple):
    """Hold what `config/promotion.toml` says of a book: what evidence has to reach, what windows need it."""

    thresholds: Thresholds
    recording: Recording


class PromotionRow(NamedTuple):
    """Hold how one strategy stands on a day.

    `promoted_by` is who promoted exactly it, empty where nobody did; `reasons` are the gates that it does not
    pass, `run` the one that was judged.
    """

    strategy: str
    strategy_version: str
    outcome: Outcome
    reasons: str
    promoted_by: str
    run: str
    evidence_sha: str
    thresholds_sha: str


def row_of(decision: PromotionDecision, ledger: Ledger) -> PromotionRow:
    """Return a decision as a row, with who has promoted exactly its subject."""
    in_force = promotion_in_force(decision.subject, ledger)
    return PromotionRow(
        strategy=decision.subject.strategy,
        strategy_version=decision.subject.strategy_version,
        outcome=decision.outcome,
        reasons=", ".join(reason.gate.value for reason in decision.reasons),
        promoted_by="" if in_force is None else in_force.actor,
        run=decision.run,
        evidence_sha=decision.evidence,
        thresholds_sha=decision.thresholds_sha,
    )


def fallen(rows: Iterable[PromotionRow]) -> tuple[Missing, ...]:
    """Return the strategies that are promoted and would not be any more."""
    return tuple(
        Missing("promotion_fallen", row.strategy, f"promoted by {row.promoted_by}; now {row.reasons}")
        for row in rows
        if row.promoted_by and row.outcome is not Outcome.PROMOTED
    )


def promotion_of(
    subject: Subject, ledger: Ledger, thresholds: Thresholds, *, as_of: datetime, last_session: date
) -> PromotionDecision:
    """Return whether a strategy as it is configured now may be promoted, judged on one run of exactly it.

    That is the one with the most sessions, of several the last made and filed, whatever came of it; without
    any, the last run of its name on its book is judged, and what differs refuses. `as_of` is the instant that
    evidence ages to, `last_session` the book's last one. A ledger that is not whole refuses whatever it says,
    so that nobody gains by taking a row out.
    """
    runs = [
        run
        for run in runs_of(ledger.rows)
        if (run.bound.subject.strategy, run.bound.subject.book) == (subject.strategy, subject.book)
        and not run.is_sweep
    ]
    exact = [run for run in runs if subject in _subjects(run)]
    # Backwards, so that of two made at one instant, as simulated ones are, the last filed is judged.
    run = max(
        reversed(exact or runs), key=lambda one: (_sessions(one, subject), one.bound.made_at), default=None
    )
    candidate = None if run is None else _candidate_of(run, subject)
    gates = [_whole(ledger), _filed(run)]
    if run is not None:
        gates += _same(subject, run)
        gates += _ended(run, candidate)
        gates += _recent(run, thresholds, as_of=as_of, last_session=last_session)
    if candidate is not None and candidate.sessions and candidate.fills:
        gates += _of_its_own(candidate, ledger.rows)
        gates += _enough(candidate, thresholds)
        gates += _trials(candidate, ledger.rows, least=thresholds.trials_min)
    standings = {gate.standing for gate in gates}
    outcome = Outcome.PROMOTED
    if Standing.REFUSED in standings:
        outcome = Outcome.REFUSED
    elif candidate is None or Standing.NO_DATA in standings:
        outcome = Outcome.NO_DATA
    return PromotionDecision(
        subject=subject,
        outcome=outcome,
        gates=tuple(gates),
        run="" if run is None else run.name,
        evidence="" if candidate is None else _digest_of(candidate, ledger.rows),
        thresholds_sha=thresholds.sha(),
    )


def promotion_in_force(subject: Subject, ledger: Ledger) -> Promotion | None:
    """Return the last decision of exactly a subject where it promoted it, `None` where it did not."""
    decided = [one for one in promotions_of(ledger.rows) if one.subject == subject]
    return decided[-1] if decided and decided[-1].outcome == Outcome.PROMOTED else None


def token_of(
    subject: Subject, ledger: Ledger, thresholds: Thresholds, *, as_of: datetime, last_session: date
) -> Token:
    """Return whether exactly a subject is promoted, and would still be on what is filed of it.

    A promotion of another version, of other data, costs, rules or code is none of it.
    """
    if promotion_in_force(subject, ledger) is None:
        return Token.MISSING
    decision = promotion_of(subject, ledger, thresholds, as_of=as_of, last_session=last_session)
    return Token.VALID if decision.outcome is Outcome.PROMOTED else Token.STALE


# -------------------------------------------------------------------------------- what was filed at all


def _whole(ledger: Ledger) -> Judged:
    missing = broken_evidence(ledger)
    shown = f"{len(missing)} missing" if missing else "whole"
    detail = "" if not missing else f"{missing[0].code}: {missing[0].about}, {missing[0].detail}"
    return _judged(Gate.LEDGER_WHOLE, shown, "whole", passed=not missing, detail=detail)


def _filed(run: Run | None) -> Judged:
    shown = NOT_TOLD if run is None else run.name
    return _judged(Gate.RUN_FILED, shown, "a run", passed=run is not None)


def _same(subject: Subject, run: Run) -> Iterator[Judged]:
    """Judge what the evidence is of: the candidate of exactly the subject, else the run."""
    found = subject if subject in _subjects(run) else run.bound.subject
    for gate, name in (
        (Gate.SAME_STRATEGY_VERSION, "strategy_version"),
        (Gate.SAME_STRATEGY_FILE, "strategy_sha"),
        (Gate.SAME_DATA_SET, "data_set_sha"),
        (Gate.SAME_COSTS, "costs_sha"),
        (Gate.RULES_UNCHANGED, "rules_sha"),
        (Gate.CODE_UNCHANGED, "code_sha"),
    ):
        observed, needed = str(getattr(found, name)), str(getattr(subject, name))
        if gate is not Gate.SAME_STRATEGY_VERSION:
            observed, needed = _shortened(observed), _shortened(needed)
        yield _judged(gate, observed, needed, passed=getattr(found, name) == getattr(subject, name))


def _shortened(digests: str) -> str:
    """Return digests as people see them, each of a council's files by its beginning."""
    return AND.join(one[:NAME_CHARACTERS] for one in digests.split(AND)) or NOT_TOLD


def _ended(run: Run, candidate: Candidate | None) -> Iterator[Judged]:
    """Judge whether the run has what it is judged by: a window in which nothing was traded is no data."""
    span = f"{run.first} to {run.last}"
    if run.status is RunStatus.SKIPPED:
        yield Judged(
            gate=Gate.WINDOW_NOT_EMPTY,
            standing=Standing.NO_DATA,
            observed=run.status.value,
            needed="sessions and fills",
            detail=f"{span}: {run.reason}",
        )
        return
    is_there = run.status is RunStatus.COMPLETED and candidate is not None
    shown = (
        run.status.value if candidate is not None or run.status is RunStatus.FAILED else "no candidate of it"
    )
    yield _judged(Gate.RUN_COMPLETED, shown, RunStatus.COMPLETED.value, passed=is_there, detail=run.reason)
    if candidate is not None:
        is_empty = not (candidate.sessions and candidate.fills)
        yield Judged(
            gate=Gate.WINDOW_NOT_EMPTY,
            standing=Standing.NO_DATA if is_empty else Standing.PASSED,
            observed=f"{candidate.sessions} sessions, {candidate.fills} fills",
            needed="sessions and fills",
            detail=span,
        )


def _recent(run: Run, thresholds: Thresholds, *, as_of: datetime, last_session: date) -> Iterator[Judged]:
    age = as_of - run.bound.made_at
    yield _judged(
        Gate.MADE_LATELY,
        f"{age.total_seconds() / 86_400:.1f} days",
        f"{thresholds.age_days_max} days",
        passed=0 <= age.total_seconds() <= thresholds.age_days_max * 86_400,
        detail=f"made at {instant_text(run.bound.made_at)}",
    )
    lag_days = (last_session - run.last).days
    yield _judged(
        Gate.WINDOW_REACHES_NOW,
        f"{lag_days} days",
        f"{thresholds.lag_days_max} days",
        passed=0 <= lag_days <= thresholds.lag_days_max,
        detail=f"window ends {run.last}, the book {last_session}",
    )


# -------------------------------------------------------------------------------- whether it is its own


def _of_its_own(candidate: Candidate, rows: Sequence[LedgerRow]) -> Iterator[Judged]:
    """Judge whether evidence was copied, or does not vary as anything that was measured does."""
    subject = candidate.bound.subject
    own = candidate.bound.replay_sha
    others = sorted(_subjects_of_replay(rows, own) - {_name(subject.payload())})
    blank = [own, *(stress.bound.replay_sha for stress in candidate.stresses)].count("")
    yield _judged(
        Gate.REPLAY_OF_ITS_OWN,
        f"{len(others)} others" if others or not blank else f"{blank} without replay",
        "0 others",
        passed=not others and not blank,
        detail=f"filed for {', '.join(others)} too" if others else "",
    )
    parts: tuple[Fold | Stress, ...] = (*candidate.folds, *candidate.stresses)
    foreign = sum(1 for part in parts if not _is_of(part, subject))
    copied = _copied(candidate)
    yield _judged(
        Gate.PARTS_OF_ITS_OWN,
        f"{foreign} foreign" if foreign or not copied else f"{copied} copied",
        "0 foreign",
        passed=not foreign and not copied,
        detail="a part is filed twice under two names" if copied else "",
    )
    yield _judged(
        Gate.EQUITY_MOVES,
        f"{candidate.equity_levels} levels",
        "2 levels",
        passed=candidate.equity_levels >= 2,  # noqa: PLR2004 - from two on a curve moves
    )
    if candidate.folds:
        # Without any, `folds` refuses and says why: nothing can be said of what is not there.
        yield _differing(candidate.folds)
    unmoved = [stress.name for stress in candidate.stresses if _repeats(stress, candidate)]
    yield _judged(
        Gate.STRESSES_DIFFER,
        f"{len(unmoved)} of {len(candidate.stresses)} unmoved",
        "none",
        passed=bool(candidate.stresses) and not unmoved,
        detail=f"changed nothing: {', '.join(unmoved)}" if unmoved else "",
    )


def _is_of(part: Fold | Stress, subject: Subject) -> bool:
    """Say whether a part is of a subject; a scenario has costs of its own, which it exists for."""
    found = part.bound.subject
    if isinstance(part, Stress):
        found = Subject(**{**found.payload(), "costs_sha": subject.costs_sha})
    return found == subject


def _copied(candidate: Candidate) -> int:
    """Return how many parts are there twice: folds of one test, scenarios of one replay or the plain one."""
    tests = {(fold.test_first, fold.test_last) for fold in candidate.folds}
    replays = {candidate.bound.replay_sha, *(stress.bound.replay_sha for stress in candidate.stresses)}
    return len(candidate.folds) - len(tests) + len(candidate.stresses) + 1 - len(replays)


def _subjects_of_replay(rows: Iterable[LedgerRow], replay_sha: str) -> set[str]:
    """Return the subjects, by name, for which a candidate with this replay is filed."""
    return {
        _name(content)
        for row in rows
        if row.kind == Kind.CANDIDATE
        and (content := content_of(row)) is not None
        and content["replay_sha"] == replay_sha
        # A trial is evidence of nothing; it tells the data as they were judged when it was tried.
        and content["role"] == Role.CHOSEN
    }


def _name(of: Mapping[str, str]) -> str:
    """Return how a subject is called where replays are compared; rules and sources may change nothing."""
    made_from = f"{of['data_set_sha'][:12]} with costs {of['costs_sha'][:12]}"
    return f"{of['strategy']} {of['strategy_version']} in {of['book']} on {made_from}"


def _differing(folds: Sequence[Fold]) -> Judged:
    """Judge whether the folds gained differently; folds that could not be told are no data."""
    told = [value for fold in folds if (value := fold.metrics.get(NET_RETURN)) is not None]
    if not told:
        return Judged(
            gate=Gate.FOLDS_DIFFER, standing=Standing.NO_DATA, observed="no data", needed="2 distinct"
        )
    distinct = len(set(told))
    observed = f"{distinct} of {len(folds)} distinct"
    passed = distinct >= 2  # noqa: PLR2004 - from two on they differ
    return _judged(Gate.FOLDS_DIFFER, observed, "2 distinct", passed=passed)


def _repeats(stress: Stress, candidate: Candidate) -> bool:
    """Say whether a scenario has nothing but the metrics of the replay without it."""
    return all(candidate.metrics.get(name, value) == value for name, value in stress.metrics.items())


# -------------------------------------------------------------------------------- whether it is enough


def _enough(candidate: Candidate, thresholds: Thresholds) -> Iterator[Judged]:
    """Judge the numbers; a metric that is not there is refused, one that could not be told is no data."""
    for gate, counted, least, detail in (
        (Gate.SESSIONS, candidate.sessions, thresholds.sessions_min, ""),
        (Gate.FILLS, candidate.fills, thresholds.fills_min, ""),
        (Gate.FOLDS, len(candidate.folds), thresholds.folds_min, _unfolded(candidate)),
    ):
        yield _judged(gate, str(counted), f"at least {least}", passed=counted >= least, detail=detail)
    there = {stress.name: stress for stress in candidate.stresses}
    absent = [name for name in thresholds.stresses if name not in there]
    yield _judged(
        Gate.STRESSES_FILED,
        f"{len(thresholds.stresses) - len(absent)} of {len(thresholds.stresses)}",
        f"all of {len(thresholds.stresses)}",
        passed=not absent,
        detail=f"missing: {', '.join(absent)}" if absent else "",
    )
    yield _measured(candidate, Gate.NET_RETURN, NET_RETURN, above=thresholds.net_return_min)
    yield _measured(candidate, Gate.DEFLATED_SHARPE, DEFLATED_SHARPE, least=thresholds.deflated_sharpe_min)
    yield _measured(candidate, Gate.OVERFITTING, OVERFITTING, most=thresholds.overfitting_max)
    yield _measured(candidate, Gate.DRAWDOWN, DRAWDOWN, most=thresholds.drawdown_max)
    if candidate.folds:
        yield _gains(
            Gate.FOLD_WINS,
            candidate.folds,
            least=thresholds.fold_wins_min * len(candidate.folds),
            needed=f"at least {thresholds.fold_wins_min:g} of them",
        )
    yield _gains(
        Gate.STRESS_SURVIVORS,
        [there[name] for name in thresholds.stresses if name in there],
        least=thresholds.stress_survivors_min,
        needed=f"at least {thresholds.stress_survivors_min}",
    )


def _unfolded(candidate: Candidate) -> str:
    """Return why a candidate has no folds, and what to do; empty where it has some."""
    if candidate.folds:
        return ""
    if candidate.metrics.get(NET_RETURN, 0.0) is None:
        return "no folds: its equity came to nothing before the last session, so that no return can be told"
    return (
        f"no folds: {candidate.sessions:,} sessions leave no room to train and then to test; "
        "file a replay of a longer range"
    )


def _trials(candidate: Candidate, rows: Sequence[LedgerRow], *, least: int) -> Iterator[Judged]:
    """Judge whether what was chosen was chosen from enough, and told of all of them.

    A filing that left out trials makes luck look smaller than it was, so that the ledger is asked for them.
    Enough are asked of its own strategies alone: those of others say nothing of how it was chosen.
    """
    yield _measured(candidate, Gate.TRIALS, OVERFITTING_TRIALS, least=least)
    counted = candidate.metrics.get(TRIALS)
    known = trials_known_to(candidate.bound.subject, _digest_of(candidate, rows), rows)
    yield _judged(
        Gate.TRIALS_COUNTED,
        "not filed" if counted is None else f"{counted:g} of {max(known, int(counted))}",
        f"all of {known}",
        passed=counted is not None and counted >= known,
    )


def _measured(
    candidate: Candidate,
    gate: Gate,
    metric: str,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> Judged:
    """Judge one metric by the one bound that is given."""
    if above is not None:
        needed = f"above {above:g}"
    elif least is not None:
        needed = f"at least {least:g}"
    else:
        needed = f"at most {most:g}"
    if metric not in candidate.metrics:
        return _judged(gate, "not filed", needed, passed=False, detail=f"{metric} is missing")
    value = candidate.metrics[metric]
    if metric == DRAWDOWN and value is not None:
        # A fall is told as 0 or negative (performance.py); whoever writes it without its sign means the same.
        value = abs(value)
    if value is None:
        return Judged(gate=gate, standing=Standing.NO_DATA, observed="no data", needed=needed, detail=metric)
    passed = (
        (above is None or value > above)
        and (least is None or value >= least)
        and (most is None or value <= most)
    )
    return _judged(gate, f"{value:.6g}", needed, passed=passed)


def _gains(gate: Gate, parts: Sequence[Fold | Stress], *, least: float, needed: str) -> Judged:
    """Judge how many parts gained after costs; a part that could not be told did not."""
    told = [part.metrics[NET_RETURN] for part in parts if NET_RETURN in part.metrics]
    gains = sum(1 for value in told if value is not None and value > 0)
    observed = f"{gains} of {len(parts)}"
    if len(told) < len(parts) or not parts:
        return _judged(gate, observed, needed, passed=False, detail=f"{NET_RETURN} is missing")
    if all(value is None for value in told):
        return Judged(gate=gate, standing=Standing.NO_DATA, observed="no data", needed=needed)
    return _judged(gate, observed, needed, passed=gains >= least)


def _judged(gate: Gate, observed: str, needed: str, *, passed: bool, detail: str = "") -> Judged:
    standing = Standing.PASSED if passed else Standing.REFUSED
    return Judged(gate=gate, standing=standing, observed=observed, needed=needed, detail=detail)


def _candidate_of(run: Run, subject: Subject) -> Candidate | None:
    """Return the chosen candidate of a run that is exactly the subject; a run has no two of one."""
    chosen = (one for one in run.candidates if one.role is Role.CHOSEN)
    return next((one for one in chosen if one.bound.subject == subject), None)


def _sessions(run: Run, subject: Subject) -> int:
    candidate = _candidate_of(run, subject)
    return 0 if candidate is None else candidate.sessions


def _subjects(run: Run) -> set[Subject]:
    """Return what a run is about: its own subject, and that of each candidate."""
    return {run.bound.subject, *(candidate.bound.subject for candidate in run.candidates)}


def _digest_of(candidate: Candidate, rows: Sequence[LedgerRow]) -> str:
    """Return the digest of a candidate's row."""
    for row in reversed(rows):
        if row.kind == Kind.CANDIDATE and (content := content_of(row)) is not None:
            is_it = (content["name"], content["replay_sha"]) == (candidate.name, candidate.bound.replay_sha)
            if is_it and content["made_at"] == instant_text(candidate.bound.made_at):
                return row.digest
    return ""
