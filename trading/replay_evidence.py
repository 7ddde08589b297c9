"""What a replay is evidence of: its subject, and the run to be filed with its trials, folds and stresses.

The replay itself is replay.py, its measures scorecard.py, what is luck in them honest.py, the worse worlds
stress.py; what becomes of it as rows is evidence_ledger.py, and whether it is enough promotion.py. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

import numpy as np

from trading.books import BookConfig
from trading.errors import BadInput, BadSetting
from trading.evidence_ledger import (
    Bound,
    Candidate,
    Fold,
    Ledger,
    Metrics,
    Role,
    Run,
    RunStatus,
    Stress,
    Subject,
)
from trading.honest import honesty_of, overfitting_of, sharpe_deviation, told_apart, walk_forward
from trading.performance import Floats, Performance, performance_of
from trading.promotion import (
    DEFLATED_SHARPE,
    OTHER_TRIALS,
    OVERFITTING,
    OVERFITTING_TRIALS,
    TRIALS,
    PromotionRow,
    Thresholds,
    promotion_of,
    row_of,
)
from trading.replay import (
    DataSet,
    ReplayRequest,
    chunks_of,
    config_of,
    joined,
    opening_state,
    replay_chunk,
    request_of_all,
    sessions_of,
    texts_of,
)
from trading.replayed import COLUMNS, Replayed
from trading.replaying import Seen, rules_sha
from trading.scorecard import returns_of, scorecard_of, trading_of
from trading.sessions import Calendar
from trading.stress import Scenario, World, participation_max, stressed
from trading.sweeps import Outcome, Variant, measures_of
from trading.trials import (
    AND,
    FAILED_CHECKS,
    IS_WHOLE,
    STRATEGIES,
    Tried,
    identity_of,
    own_trials,
)
from trading.values import digest

COUNCIL = "council"
"""Names all configured strategies together."""

TRAIN_SESSIONS, TEST_SESSIONS = 504, 252
"""A fold chooses on two years or all there are before it, and is tried on the year after."""

PURGE_SESSIONS = 5
"""Left out between both: what was bought in the last week of the training is still held in the test."""

INTERVALS_SEED = 0
"""Draws the same intervals each time; none of them is filed."""

TOLD_OF_PARTS = ("total_return", "sharpe", "max_drawdown")
"""The measures of a fold and of a stress; of the candidate all are filed."""

PARTICIPATION = "participation_max"
"""The metric of a candidate and of each stress: the largest share of a volume that a fill took (stress.py).

Without it a thin market changes nothing that is filed of a small book, and passes for one that was not run.
"""


def strategy_of(config: BookConfig) -> str:
    """Return how the strategies of a book are called together: `mean_reversion+momentum`."""
    return AND.join(strategy.name for strategy in config.rules.strategies)


def strategy_sha_of(config: BookConfig) -> str:
    """Return the digests of the files of a book's strategies, joined as their names are."""
    return AND.join(strategy.file_sha for strategy in config.rules.strategies)


def subject_of(config: BookConfig, *, data_set_sha: str, code_sha: str) -> Subject:
    """Return what evidence of a book as it is configured, or as a replay had it, is about."""
    return Subject(
        strategy=strategy_of(config),
        strategy_version=config.rules.strategy_version(),
        book=config.name,
        data_set_sha=data_set_sha,
        costs_sha=digest(config.costs._asdict()),
        # What a book opens with decides sizes as much as any rule.
        rules_sha=digest({"rules": rules_sha(config.rules), "deposit_micros": config.deposit_micros}),
        code_sha=code_sha,
        strategy_sha=strategy_sha_of(config),
    )


def as_configured(config: BookConfig, strategy: str) -> BookConfig:
    """Return a book as a replay of one configured strategy has it, or of all of them (`council`).

    Raises `BadInput` for a strategy that is not configured.
    """
    names = [one.name for one in config.rules.strategies]
    if strategy not in {COUNCIL, strategy_of(config), *names}:
        raise BadInput(f"strategy {strategy!r}: configured are {', '.join(names)}, and {COUNCIL} for all")
    request = request_of_all(config, config.first_session, config.last_session)
    return config_of(replace(request, strategies=(strategy,)) if strategy in names else request, config)


def promotion_rows(
    config: BookConfig,
    ledger: Ledger,
    thresholds: Thresholds,
    *,
    data_set_sha: str,
    code_sha: str,
    as_of: datetime,
    last_session: date,
) -> tuple[PromotionRow, ...]:
    """Return how each configured strategy stands alone, by name, and then all of them together."""
    subjects = [
        subject_of(as_configured(config, name), data_set_sha=data_set_sha, code_sha=code_sha)
        for name in (*(one.name for one in config.rules.strategies), COUNCIL)
    ]
    return tuple(
        row_of(promotion_of(subject, ledger, thresholds, as_of=as_of, last_session=last_session), ledger)
        for subject in dict.fromkeys(subjects)
    )


def replayed_whole(
    request: ReplayRequest, config: BookConfig, *, data: DataSet, calendar: Calendar
) -> Replayed:
    """Return the whole replay of a request, made now and kept nowhere; `config` is the book as it is."""
    own = config_of(request, config)
    sessions = sessions_of(request, own, calendar)
    parts, state = [], opening_state(own)
    for days in chunks_of(sessions).values():
        part, state = replay_chunk(
            own,
            data=data,
            calendar=calendar,
            sessions=days,
            state=state,
            approve=request.approve,
            light=request.light,
        )
        parts.append(part)
    return joined(parts)


def same_tables(first: Replayed, second: Replayed) -> bool:
    """Say whether two replays left the same behind, row by row and to the unit."""
    return all(
        np.array_equal(first[table][column], second[table][column])
        for table, columns in COLUMNS.items()
        for column in columns
    )


def run_of_replay(
    replayed: Replayed,
    *,
    request: ReplayRequest,
    config: BookConfig,
    data: DataSet,
    calendar: Calendar,
    bound: Bound,
    trials: Sequence[Outcome],
    recorded: Sequence[Tried],
    scenarios: Iterable[Scenario],
) -> Run:
    """Return the run of one replay, to be filed.

    `config` is the book as it is, `bound` of the replay itself. `recorded` are the trials that were ever
    recorded on its book, of whatever strategy: each counts, also one that cannot be tried again. `trials` are
    all variants that were tried beside it, and those of the recorded ones that were tried again, whatever
    came of them, over the same sessions: luck is measured by how they all differ. What choosing costs is
    told of those that are of its own strategies: bad ones of another would make a poor choice look good.
    Copies, and those that had no data, count and are compared with nothing. Without any other, and of a
    replay that intended nothing, there is no probability of overfitting. One whose equity came to nothing has
    no returns: what is measured of them is no data, and there are no folds. Each scenario is replayed anew.
    """
    own = config_of(request, config)
    sessions = sessions_of(request, own, calendar)
    others = _others(trials, config, bound)
    known = [*recorded, *(Tried(identity_of(subject), "", ()) for subject in others)]
    of_own = {identity_of(bound.subject), *(one.identity for one in own_trials(bound.subject, known))}
    own_others = {subject: one for subject, one in others.items() if identity_of(subject) in of_own}
    card = scorecard_of(replayed, actions=data.actions)
    returns = returns_of(replayed)
    compared = _compared(returns, own_others)
    # What stands in for another strategy's trial by the rules of now was looked at by nobody.
    counted = {*(one.identity for one in recorded), *map(identity_of, (bound.subject, *own_others))}
    measured = {
        **measures_of(card.performance, card.trading),
        DEFLATED_SHARPE: None,
        OVERFITTING: None,
        TRIALS: float(len(counted)),
        OTHER_TRIALS: float(len(counted - of_own)),
        OVERFITTING_TRIALS: float(compared.shape[1]),
        PARTICIPATION: participation_max(replayed, data.panel),
    }
    folds: tuple[Fold, ...] = ()
    if returns.size:
        # What intended nothing was chosen from nothing: what the others came to tells nothing of it.
        overfitting = overfitting_of(compared) if card.trading.intents else None
        honest = honesty_of(
            returns,
            trials=len(counted),
            deviation=sharpe_deviation(_compared(returns, others)),
            seed=INTERVALS_SEED,
        )
        measured |= {
            DEFLATED_SHARPE: honest.deflated_sharpe,
            OVERFITTING: None if overfitting is None else overfitting.pbo,
        }
        walked = walk_forward(
            returns.size, train=TRAIN_SESSIONS, test=TEST_SESSIONS, purge=PURGE_SESSIONS, is_anchored=True
        )
        folds = tuple(
            Fold(
                number=number,
                train_first=sessions[fold.train[0].start],
                train_last=sessions[fold.train[0].stop - 1],
                test_first=sessions[fold.test.start],
                test_last=sessions[fold.test.stop - 1],
                bound=bound,
                # The candidate's own, which is what is judged: not of what a fold would have chosen.
                metrics=_told(performance_of(returns[fold.test.start : fold.test.stop])),
            )
            for number, fold in enumerate(walked, start=1)
        )

    def again(world: World) -> Replayed:
        # The order of events within a session is the replay's own; a scenario keeps no tables beside it.
        changed = replace(data, panel=world.panel, actions=world.actions)
        found, _ = replay_chunk(
            world.config,
            data=changed,
            calendar=calendar,
            sessions=sessions,
            state=opening_state(world.config),
            approve=request.approve,
            light=True,
        )
        return found

    world = World(config=own, panel=data.panel, actions=data.actions)
    stresses = tuple(
        Stress(
            name=one.scenario.name,
            bound=replace(bound, replay_sha=_stressed_sha(bound.replay_sha, one.scenario)),
            metrics={**_told(one.scorecard.performance), PARTICIPATION: one.participation_max},
        )
        for one in stressed(world, scenarios, run=again)
    )
    candidate = Candidate(
        name=request.name,
        parameters=_parameters(own),
        bound=bound,
        sessions=len(sessions),
        fills=card.trading.fills,
        equity_levels=len(np.unique(replayed["sessions"]["equity_micros"])),
        metrics=measured,
        folds=folds,
        stresses=stresses,
    )
    return Run(
        name=request.name,
        bound=bound,
        first=request.first_session,
        last=request.last_session,
        status=RunStatus.COMPLETED,
        candidates=(
            candidate,
            *_tried(own_others, config, bound, sessions=len(sessions), taken=(request.name,)),
        ),
    )


def run_of_seen(seen: Seen, *, bound: Bound) -> Run:
    """Return the run that records a replay as a trial, to be filed: nothing in it is ever promoted.

    `bound` is of the replay. It counts however its checks came out, and also where nothing was traded; one
    that was stopped says so in its name, since its window is what was asked for.
    """
    replayed, request = seen.replayed, seen.request
    sessions = replayed["sessions"]
    trading = trading_of(sessions)
    told: dict[str, str | int | bool] = {**_parameters(seen.config), IS_WHOLE: seen.is_whole}
    if seen.failed:
        told[FAILED_CHECKS] = ", ".join(seen.failed)
    tried = Candidate(
        name=request.name,
        parameters=told,
        bound=bound,
        sessions=len(sessions["session"]),
        fills=trading.fills,
        equity_levels=len(np.unique(sessions["equity_micros"])),
        metrics=measures_of(performance_of(returns_of(replayed)), trading),
        role=Role.TRIAL,
    )
    return Run(
        name=f"replay {request.name}{'' if seen.is_whole else ' (stopped)'}",
        bound=replace(bound, replay_sha=""),
        first=request.first_session,
        last=request.last_session,
        status=RunStatus.COMPLETED,
        candidates=(tried,),
    )


def run_of_sweep(outcomes: Sequence[Outcome], *, config: BookConfig, bound: Bound) -> Run:
    """Return the run that records what a sweep tried, to be filed: nothing in it is ever promoted.

    `config` is the book as it is, `bound` of what was varied, without a replay of its own. All outcomes are
    of one range.
    """
    request = outcomes[0].variant.request
    of = {"data_set_sha": bound.subject.data_set_sha, "code_sha": bound.subject.code_sha}
    tried = {subject_of(config_of(one.variant.request, config), **of): one for one in outcomes}
    return Run(
        name=f"sweep {request.first_session} to {request.last_session}",
        bound=bound,
        first=request.first_session,
        last=request.last_session,
        status=RunStatus.COMPLETED,
        candidates=_tried(tried, config, bound, sessions=outcomes[0].returns.size),
    )


def variants_again(recorded: Iterable[Tried], request: ReplayRequest, config: BookConfig) -> list[Variant]:
    """Return recorded trials as light variants of a request, by the rules of now.

    One that cannot be tried any more, since its strategy or a parameter is gone or was not told, or since the
    strategy's file was edited, is left out; so is one that an earlier one is by now, as after an edit of the
    rules: each edit would double what a filing replays.
    """
    found: list[Variant] = []
    known: set[tuple[str, ...]] = set()
    for number, tried in enumerate(recorded, start=1):
        again = replace(request, name=f"again-{number:04}", strategies=tried.strategies, light=True)
        try:
            own = config_of(again, config)
        except (BadInput, BadSetting):
            continue
        in_full, files = texts_of(own.rules.strategies), strategy_sha_of(own)
        if tried.strategies and tried.identity.strategy_sha in {"", files} and in_full not in known:
            known.add(in_full)
            found.append(Variant(number=number, council=tried.name, settings={}, request=again))
    return found


def _compared(returns: Floats, others: Mapping[Subject, Outcome]) -> Floats:
    """Return a replay's returns and those of others to be compared with it, of shape (sessions, trials).

    It is alone, and without a session, where its returns cannot be told: then nothing is beside them.
    """
    beside = [one.returns for one in others.values() if one.has_data] if returns.size else []
    return told_apart(np.column_stack([returns, *beside]))


def _parameters(config: BookConfig) -> dict[str, str]:
    """Return what tells a candidate's strategies in full, so that the trial can be made again."""
    return {STRATEGIES: AND.join(texts_of(config.rules.strategies))}


def _others(trials: Iterable[Outcome], config: BookConfig, bound: Bound) -> dict[Subject, Outcome]:
    """Return what was tried by its subject: what is the replay itself, or another one again, is no trial."""
    of = {"data_set_sha": bound.subject.data_set_sha, "code_sha": bound.subject.code_sha}
    found = {subject_of(config_of(trial.variant.request, config), **of): trial for trial in trials}
    # In an order of their own, so that the same trials tell the same, whoever named which of them.
    return {
        subject: found[subject]
        for subject in sorted(found, key=lambda one: (one.strategy, one.rules_sha))
        if subject != bound.subject
    }


def _tried(
    others: Mapping[Subject, Outcome],
    config: BookConfig,
    bound: Bound,
    *,
    sessions: int,
    taken: Sequence[str] = (),
) -> tuple[Candidate, ...]:
    """Return what was tried as candidates by name, which are counted and never promoted.

    Two that are called the same, or by a name that is taken, are told apart by their strategies in full.
    """
    labels = Counter([*taken, *(trial.variant.label for trial in others.values())])
    made = []
    for subject, trial in others.items():
        parameters, label = _parameters(config_of(trial.variant.request, config)), trial.variant.label
        made.append(
            Candidate(
                name=label if labels[label] == 1 else parameters[STRATEGIES],
                parameters=parameters,
                bound=Bound(subject=subject, replay_sha=trial.replay_sha, made_at=bound.made_at),
                sessions=sessions,
                fills=int(trial.measures.get("fills") or 0),
                equity_levels=trial.equity_levels,
                metrics=trial.measures,
                role=Role.TRIAL,
            )
        )
    return tuple(sorted(made, key=lambda candidate: candidate.name))


def _told(performance: Performance) -> Metrics:
    return {name: getattr(performance, name) for name in TOLD_OF_PARTS}


def _stressed_sha(replay_sha: str, scenario: Scenario) -> str:
    """Return the digest of a replay in a worse world: of the replay and of how much worse it was."""
    return digest([replay_sha, scenario.name, [[name, repr(amount)] for name, amount in scenario.amounts]])
