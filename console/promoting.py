"""Filing a replay as evidence, and promoting a strategy on what is filed: what the verbs do.

The judgement is trading/promotion.py, what a replay is evidence of trading/replay_evidence.py. It opens the
real stores, as whatever changes something does; looking at what is filed is filed_evidence.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from time import perf_counter
from typing import Any

from console.desk import Desk
from console.exit_codes import ExitCode
from console.render import counted
from console.replays import replay_of, replays_of
from console.signals import why_held
from resources.craft import craft_sha
from resources.evidence_ledger import EvidenceLedger, read_ledger
from resources.profiles import Profiled
from resources.replay_files import ReplayFiles
from resources.reviewed_config import read_promotion
from resources.sweeping import SweptBook, VariantFiles, sweeps_folder, tried_anew
from trading.books import BookConfig
from trading.clock import Phase
from trading.errors import BadInput, BadSetting, Refused
from trading.evidence_ledger import Bound, LedgerRow, Subject, draft_of_promotion, drafts_of_run
from trading.promotion import (
    ASKS,
    OTHER_TRIALS,
    TRIALS,
    Outcome,
    PromotionDecision,
    Standing,
    Thresholds,
    promotion_of,
)
from trading.replay import ReplayRequest, config_of, texts_of
from trading.replay_evidence import (
    as_configured,
    replayed_whole,
    run_of_replay,
    same_tables,
    subject_of,
    variants_again,
)
from trading.replaying import rules_sha, run_replay
from trading.simulation import FillModel
from trading.stress import usual_scenarios
from trading.sweeps import RUINED, Variant, axis_of, variants_of
from trading.sweeps import Outcome as VariantOutcome
from trading.trials import Tried, identity_of, replays_recorded, trials_of

CODES = {
    Outcome.PROMOTED: ExitCode.DONE,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.NO_DATA: ExitCode.ATTENTION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """Hold one gate for people: what it asks, what was observed and what is needed."""

    gate: str
    standing: str
    asks: str
    observed: str
    needed: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionView:
    """Hold a judgement: `is_filed` says whether it was filed, or only shown."""

    strategy: str
    strategy_version: str
    book: str
    outcome: str
    exit_code: ExitCode
    run: str
    evidence: str
    gates: tuple[GateView, ...]
    is_filed: bool
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledView:
    """Hold what was filed of a replay: how many rows were new, with how many trials, folds and stresses.

    `counted` are all trials that luck is told of, the replay itself among them; `others` of them are of other
    strategies on its book or data. `not_again` are counted without being made again: they were of other rules
    or another deposit, or of a strategy whose file was edited or is gone.
    """

    run: str
    strategy: str
    book: str
    rows: int
    trials: int
    counted: int
    others: int
    not_again: int
    folds: int
    stresses: int


def file_replay(
    desk: Desk, name: str, *, book: str | None, grids: Sequence[str], actor: str, tell: Callable[[str], None]
) -> FiledView:
    """File a kept replay with its folds, its stresses and what was tried beside it.

    Its tables are read back, held to their hashes and checks, and to the same replay made once more: what was
    kept is not believed. Each stress, each variant of `grids` and each trial that was ever recorded on its
    book is replayed as well, so that nobody's choice of a grid makes luck look smaller. Raises
    `BadInput` for a light replay, one in which nobody approved, and where the rules, data or code have
    changed since it was made; `Refused` where a check does not hold or the tables are not what it replays to.
    """
    profiled = Profiled(desk.settings)
    view = replay_of(desk, name, book=book)
    if not view.is_whole or view.request["light"]:
        raise BadInput(f"replay {name}: is light or unfinished; evidence needs all of its tables")
    if not view.request["approve"]:
        raise BadInput(f"replay {name}: nobody approved in it; evidence is of what would have been traded")
    config, calendar = profiled.books[view.book], profiled.calendars[view.book]
    request = _request(name, view.request)
    own = config_of(request, config)
    code_sha = craft_sha()
    variants = (
        variants_of(
            request,
            axes=[axis_of(grid) for grid in grids],
            councils=(),
            configured=[strategy.name for strategy in config.rules.strategies],
        )
        if grids
        else ()
    )
    asked = [config_of(variant.request, config) for variant in variants]
    data = profiled.data_sets[view.book].data_set(request.first_session, request.last_session)
    replay_sha = request.replay_sha(data_sha=data.sha, rules_sha=rules_sha(own.rules), code_sha=code_sha)
    if replay_sha != view.replay_sha:
        raise BadInput(
            f"replay {name}: rules, data or code have changed since it was made; run it again, then file it"
        )
    finished = run_replay(
        config,
        request,
        data_sets=profiled.data_sets[view.book],
        calendar=calendar,
        store=profiled.replay_stores[view.book],
        trials=None,
        tell=tell,
        clock=perf_counter,
    )
    if failed := [check.name for check in finished.checks if not check.passed]:
        raise Refused(f"replay {name}: {', '.join(failed)}; nothing was filed")
    tell(f"{view.book} replay {name}: once more, to hold what was kept to it")
    if not same_tables(finished.replayed, replayed_whole(request, config, data=data, calendar=calendar)):
        raise Refused(f"replay {name}: its kept tables are not what it replays to; nothing was filed")
    subject = subject_of(own, data_set_sha=profiled.evidence_data[view.book], code_sha=code_sha)
    rows = read_ledger(desk.journal).rows
    recorded = (
        *trials_of(subject, rows),
        *_kept(desk, subject, rows, config=config, store=profiled.replay_stores[view.book]),
    )
    recorded = (*recorded, *_kept_of_sweeps(profiled, view.book, recorded))
    of = {"data_set_sha": subject.data_set_sha, "code_sha": code_sha}
    new = {identity_of(subject), *(identity_of(subject_of(one, **of)) for one in asked)}
    again = variants_again([one for one in recorded if one.identity not in new], request, config)
    tell(
        f"{counted(len(recorded), 'trial')} recorded, {len(again):,} of them made again;"
        f" {len(variants):,} in the grid"
    )
    lost: set[int] = set()

    def ended(variant: Variant, error: BadSetting) -> None:
        if variant.number > len(again):
            raise error  # of the grid that was named just now: who names it corrects it
        lost.add(variant.number)
        tell(f"trial {variant.label}: counted, and cannot be made again: {error}")

    def tried(done: int, one: VariantOutcome) -> None:
        why = "" if one.has_returns else f": {RUINED}"
        tell(f"trial {done} of {len(again) + len(variants)}: {one.variant.label}{why}")

    trials = tried_anew(
        [*again, *variants],
        SweptBook(config=config, calendar=calendar, data=data),
        tell=tried,
        ended=ended,
    )
    again = [one for number, one in enumerate(again, start=1) if number not in lost]
    tell(f"stresses: {len(usual_scenarios())} worse worlds")
    now = _now(desk, view.book)
    run = run_of_replay(
        finished.replayed,
        request=request,
        config=config,
        data=data,
        calendar=calendar,
        bound=Bound(subject=subject, replay_sha=replay_sha, made_at=now),
        trials=trials,
        recorded=recorded,
        scenarios=usual_scenarios(),
    )
    filed = EvidenceLedger(profiled.journal).file(drafts_of_run(run), actor=actor, now=now)
    chosen = run.candidates[0]
    made = new | {identity_of(subject_of(config_of(one.request, config), **of)) for one in again}
    return FiledView(
        run=run.name,
        strategy=subject.strategy,
        book=subject.book,
        rows=filed,
        trials=len(run.candidates) - 1,
        counted=int(chosen.metrics[TRIALS] or 0),
        others=int(chosen.metrics[OTHER_TRIALS] or 0),
        not_again=len({one.identity for one in recorded} - made),
        folds=len(chosen.folds),
        stresses=len(chosen.stresses),
    )


def judge_strategy(desk: Desk, strategy: str, *, book: str) -> PromotionDecision:
    """Return the judgement on a strategy as it is configured now; `council` are all of a book's together.

    Raises `BadInput` for a strategy that is not configured, and where its data is not what its manifest says.
    """
    profiled = Profiled(desk.settings)
    config = as_configured(profiled.books[book], strategy)
    subject = subject_of(config, data_set_sha=profiled.evidence_data[book], code_sha=craft_sha())
    return promotion_of(
        subject,
        read_ledger(desk.journal),
        _thresholds(desk, book),
        as_of=_now(desk, book),
        last_session=_last_session(desk, book),
    )


def file_decision(desk: Desk, decision: PromotionDecision, *, actor: str, reason: str) -> None:
    """File a decision by somebody's name, whatever it is; the same one again changes nothing.

    Raises `Refused` for a promotion while the book's signals are held: quotes stopped, nobody moves up.
    """
    held = why_held(desk, decision.subject.book) if decision.outcome is Outcome.PROMOTED else ""
    if held:
        raise Refused(
            f"{decision.subject.book}: signals are held ({held}): nothing is promoted meanwhile, nothing was "
            "filed; it clears after two good windows, see `trading signals`"
        )
    now = _now(desk, decision.subject.book)
    promotion = decision.signed(actor=actor, reason=reason, decided_at=now)
    profiled = Profiled(desk.settings)
    EvidenceLedger(profiled.journal).file([draft_of_promotion(promotion)], actor=actor, now=now)


def view_of(
    decision: PromotionDecision, *, is_filed: bool = False, actor: str = "", reason: str = ""
) -> PromotionView:
    """Return a judgement as it is shown."""
    return PromotionView(
        strategy=decision.subject.strategy,
        strategy_version=decision.subject.strategy_version,
        book=decision.subject.book,
        outcome=decision.outcome.value,
        exit_code=CODES[decision.outcome],
        run=decision.run,
        evidence=decision.evidence,
        gates=tuple(
            GateView(
                gate=one.gate.value,
                standing=one.standing.value,
                asks=ASKS[one.gate],
                observed=one.observed,
                needed=one.needed,
                detail=one.detail,
            )
            for one in (*decision.reasons, *(g for g in decision.gates if g.standing is Standing.PASSED))
        ),
        is_filed=is_filed,
        actor=actor,
        reason=reason,
    )


def _kept(
    desk: Desk,
    subject: Subject,
    rows: Iterable[LedgerRow],
    *,
    config: BookConfig,
    store: ReplayFiles,
) -> Iterator[Tried]:
    """Yield what kept replays of a subject's book tried, and no row tells: whoever looked could choose.

    Such a one was made before replays were recorded, or its process was killed. One of which no year is kept
    showed nothing: it may be of a parameter that its rule cannot take, and would stand in the way of every
    filing.
    """
    recorded = replays_recorded(rows)
    for view in replays_of(desk, desk.books[subject.book]):
        if view.replay_sha in recorded or not store.keeps_a_year_of(view.request, name=view.name):
            continue
        try:
            own = config_of(_request(view.name, view.request), config)
        except (BadInput, BadSetting):
            continue
        found = subject_of(own, data_set_sha=subject.data_set_sha, code_sha=subject.code_sha)
        yield Tried(identity_of(found), view.name, texts_of(own.rules.strategies))


def _kept_of_sweeps(profiled: Profiled, book: str, recorded: Iterable[Tried]) -> Iterator[Tried]:
    """Yield what sweeps of a book tried and kept, and no row tells: each is shown as it comes.

    Such a sweep is running, or its process was killed or its terminal closed before it recorded anything.
    """
    known = {one.identity for one in recorded}
    for tried in VariantFiles(sweeps_folder(profiled)).tried_on(book):
        if tried.identity not in known:
            known.add(tried.identity)
            yield tried


def _request(name: str, told: Mapping[str, Any]) -> ReplayRequest:
    """Return the request that a name was given to, from the plain JSON values that it is kept as."""
    return ReplayRequest(
        name=name,
        book=told["book"],
        first_session=date.fromisoformat(told["first_session"]),
        last_session=date.fromisoformat(told["last_session"]),
        deposit_micros=told["deposit_micros"],
        costs=FillModel(**told["costs"]),
        strategies=tuple(told["strategies"]),
        approve=told["approve"],
        light=told["light"],
    )


def _thresholds(desk: Desk, book: str) -> Thresholds:
    return read_promotion(book, desk.settings.config_dir / "promotion.toml", books=desk.books).thresholds


def _last_session(desk: Desk, book: str) -> date:
    return desk.today(desk.books[book])


def _now(desk: Desk, book: str) -> datetime:
    """Return when evidence is made and judged: now, or when simulated after the data's last session."""
    outline = desk.books[book]
    return desk.clock(outline).now(desk.today(outline), Phase.SETTLE)
