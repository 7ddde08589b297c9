"""Run the variants of a sweep over processes, and keep what each came to.

    <folder>/<replay digest>.json     measures of one variant, its count of equities, and its trial
    <folder>/<replay digest>.npy      its returns, float64, one a session

    <folder>/named/<book>/<name>/…    how far a named sweep is, what all of it says, and its page

The digest is of all that a replay comes from: what was asked, data, rules and code. So a sweep that was
stopped goes on where it was, two sweeps share what they have in common, and an edited rule is run anew.
What a variant is, and what many say together, is trading/sweeps.py.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resources.craft import craft_sha
from resources.garbage import look_for_garbage_seldom
from resources.keyboard import end_without_a_word, keyboard_held
from resources.per_book import PerBook
from resources.profiles import Profiled
from resources.replay_trials import data_set_sha_of
from resources.settings import load_settings
from resources.sweep_pages import sweep_page
from trading.books import BookConfig
from trading.clock import Phase
from trading.errors import BadInput, BadSetting
from trading.evidence_ledger import Bound
from trading.replay import DataSet, config_of, request_in_full, sessions_of, texts_of
from trading.replay_evidence import run_of_sweep, subject_of
from trading.replaying import rules_sha
from trading.sessions import Calendar
from trading.silences import Silence
from trading.sweeping import AskedSweep, Swept
from trading.sweeps import Outcome, Variant, try_variant
from trading.trials import Identity, Tried, identity_of

NAMED, PROGRESS, WHOLE, PAGE = "named", "progress.json", "sweep.json", "sweep.html"
"""The folder of sweeps that have a name, and the files of one: how far it is, what it says, and its page."""

TRIED = "tried"
"""What a kept outcome says of the trial that it is: its book, identity, name and strategies in full."""

Ended = Callable[[Variant, BadSetting], None]
"""Hears of a variant that its own rule ended, and why."""

FEW = 8
"""Variants that a process of their own is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptBook:
    """Hold what every variant of a sweep reads: the book, its calendar, and the data of the range."""

    config: BookConfig
    calendar: Calendar
    data: DataSet


def swept_book(profiled: Profiled, variants: Sequence[Variant]) -> SweptBook:
    """Return what variants of one range read; raises `BadInput` where the book's data does not cover it."""
    request = variants[0].request
    config, calendar = profiled.books[request.book], profiled.calendars[request.book]
    sessions = sessions_of(request, config, calendar)
    data = profiled.data_sets[request.book].data_set(sessions[0], sessions[-1])
    return SweptBook(config=config, calendar=calendar, data=data)


class VariantFiles:
    """Keep outcomes of variants in a folder; what cannot be read back is no outcome, and is run again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def outcome(self, variant: Variant, replay_sha: str) -> Outcome | None:
        """Return how a variant came out, `None` where that is not kept whole."""
        try:
            told = json.loads((self._folder / f"{replay_sha}.json").read_bytes())
            told["silences"] = tuple(Silence(*one) for one in told["silences"])
            del told[TRIED]
            returns = np.load(self._folder / f"{replay_sha}.npy", allow_pickle=False)
            return Outcome(variant=variant, replay_sha=replay_sha, returns=returns, **told)
        except (OSError, ValueError, TypeError, KeyError, EOFError):
            return None

    def tried_on(self, book: str) -> tuple[Tried, ...]:
        """Return the trials of a book that are kept here, whether or not anything records them.

        An outcome that does not tell its trial is none: `outcome` gives it to nobody either.
        """
        found = []
        for place in sorted(self._folder.glob("*.json")):
            try:
                told = json.loads(place.read_bytes())[TRIED]
                if told["book"] == book:
                    identity = Identity(*told["identity"])
                    found.append(Tried(identity, told["name"], tuple(told["strategies"])))
            except (OSError, ValueError, TypeError, KeyError):
                continue
        return tuple(found)

    def keep(self, outcome: Outcome, *, book: str, tried: Tried) -> None:
        """Keep an outcome, whole or not at all: the measures come last, with which trial of a book it is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._folder / f"{outcome.replay_sha}.npy"
        making = place.with_suffix(f".{os.getpid()}")
        with making.open("wb") as file:
            np.save(file, outcome.returns)
        making.replace(place)
        told = {
            "measures": dict(outcome.measures),
            "equity_levels": outcome.equity_levels,
            "silences": outcome.silences,
            TRIED: {
                "book": book,
                "identity": tried.identity,
                "name": tried.name,
                "strategies": tried.strategies,
            },
        }
        making.write_text(json.dumps(told, sort_keys=True), encoding="utf-8")
        making.replace(place.with_suffix(".json"))


def run_variants(
    variants: Sequence[Variant],
    book: SweptBook,
    *,
    files: VariantFiles,
    workers: int,
    tell: Callable[[int, Outcome], None],
    record: Callable[[Sequence[Outcome]], object],
) -> tuple[Outcome, ...]:
    """Return how variants came out, in their order; what is kept already is not run again.

    `tell` hears of each as it is there, with how many are. With one worker everything runs in this process.
    An error of one variant ends the sweep; what was done by then is kept, and given to `record` all the same:
    whoever has seen it can choose it.
    """
    shas = {variant.number: _replay_sha(variant, book) for variant in variants}
    found: dict[int, Outcome] = {}
    for variant in variants:
        kept = files.outcome(variant, shas[variant.number])
        if kept is not None:
            found[variant.number] = kept
    if found:
        tell(len(found), found[max(found)])
    missing = [variant for variant in variants if variant.number not in found]
    try:
        for outcome in _tried(missing, book, shas, workers=min(workers, len(missing)), ended=_raised):
            files.keep(outcome, book=book.config.name, tried=_trial_of(outcome.variant, book))
            found[outcome.variant.number] = outcome
            tell(len(found), outcome)
    finally:
        if found:
            record([found[number] for number in sorted(found)])
    return tuple(found[variant.number] for variant in variants)


def recording(profiled: Profiled, book: SweptBook, *, actor: str) -> Callable[[Sequence[Outcome]], int]:
    """Return what records trials in the evidence ledger by somebody's name, and says how many were new."""
    name = book.config.name
    data_sha = data_set_sha_of(profiled, name, book.data)
    now = profiled.clocks[name].now(book.config.last_session, Phase.SETTLE)
    subject = subject_of(book.config, data_set_sha=data_sha, code_sha=craft_sha())
    bound = Bound(subject=subject, replay_sha="", made_at=now)

    def record(outcomes: Sequence[Outcome]) -> int:
        run = run_of_sweep(outcomes, config=book.config, bound=bound)
        return profiled.evidence.record(run, actor=actor, now=now)

    return record


class BookSweeper:
    """Run and keep sweeps of one book; a `trading.sweeping.Sweeper`."""

    def __init__(self, profiled: Profiled, book: str) -> None:
        """Keep what is tried in the profile's folder, recorded by the name of its operator."""
        self._profiled = profiled
        self._folder = sweeps_folder(profiled)
        self._named = self._folder / NAMED / book

    def outcomes(
        self, variants: Sequence[Variant], *, workers: int, tell: Callable[[int, Outcome], None]
    ) -> tuple[Outcome, ...]:
        """Return how variants came out, each recorded as a trial; 0 workers mean all cores."""
        swept = swept_book(self._profiled, variants)
        return run_variants(
            variants,
            swept,
            files=VariantFiles(self._folder),
            workers=workers or os.cpu_count() or 1,
            tell=tell,
            record=recording(self._profiled, swept, actor=self._profiled.settings.operator),
        )

    def begin(self, name: str, asked: AskedSweep, *, done: int, of: int) -> None:
        """Keep how far a sweep is; what was whole under its name stays until it is whole again."""
        place = self._named / name
        place.mkdir(parents=True, exist_ok=True)
        known = place / PROGRESS
        told = {"asked": asked.payload(), "done": done, "of": of}
        if known.is_file() and (kept := json.loads(known.read_bytes())["asked"]) != told["asked"]:
            raise BadInput(f"sweep {name}: the name is that of another sweep, of {kept}; give another name")
        _write(known, json.dumps(told, sort_keys=True))

    def keep(self, swept: Swept) -> str:
        """Keep a whole sweep with its page."""
        place = self._named / swept.name
        _write(place / PAGE, sweep_page(swept))
        _write(place / WHOLE, json.dumps(swept.payload(), sort_keys=True))
        return str(place / PAGE)


def sweeps_folder(profiled: Profiled) -> Path:
    """Return where outcomes of the profile's variants are kept."""
    return profiled.settings.profile_dir / "sweeps"


def sweepers_of(profiled: Profiled) -> PerBook[BookSweeper]:
    """Return what runs the sweeps of each book."""
    return PerBook(profiled.lines, lambda book: BookSweeper(profiled, book))


def _write(place: Path, content: str) -> None:
    """Write a file whole or not at all."""
    making = place.with_name(f".{place.name}.{os.getpid()}")
    making.write_text(content, encoding="utf-8")
    making.replace(place)


def tried_anew(
    variants: Sequence[Variant],
    book: SweptBook,
    *,
    tell: Callable[[int, Outcome], None],
    ended: Ended,
) -> tuple[Outcome, ...]:
    """Return how variants come out now, in their order; nothing that is kept of them is believed.

    Each with its strategies in full, so that one variant has one digest, however it was asked for; numbered
    from 1 as they are given. One whose rule raises is left out, and `ended` hears of it, who may raise as
    well. Few run in this process: to begin another takes as long as some of them.
    """
    numbered = [
        replace(variant, number=number, request=request_in_full(variant.request, book.config))
        for number, variant in enumerate(variants, start=1)
    ]
    shas = {variant.number: _replay_sha(variant, book) for variant in numbered}
    workers = min(os.cpu_count() or 1, 1 + len(variants) // FEW)
    found: dict[int, Outcome] = {}
    for outcome in _tried(numbered, book, shas, workers=workers, ended=ended):
        found[outcome.variant.number] = outcome
        tell(len(found), outcome)
    return tuple(found[variant.number] for variant in numbered if variant.number in found)


def _replay_sha(variant: Variant, book: SweptBook) -> str:
    rules = config_of(variant.request, book.config).rules
    return variant.request.replay_sha(
        data_sha=book.data.sha, rules_sha=rules_sha(rules), code_sha=craft_sha()
    )


def _trial_of(variant: Variant, book: SweptBook) -> Tried:
    own = config_of(variant.request, book.config)
    subject = subject_of(own, data_set_sha=book.data.sha, code_sha=craft_sha())
    return Tried(identity_of(subject), variant.label, texts_of(own.rules.strategies))


def _raised(_: Variant, error: BadSetting) -> None:
    raise error


def _tried(
    variants: Sequence[Variant], book: SweptBook, shas: dict[int, str], *, workers: int, ended: Ended
) -> Iterator[Outcome]:
    if workers <= 1:
        for variant in variants:
            try:
                outcome = _try(variant, book, shas[variant.number])
            except BadSetting as error:
                ended(variant, error)
                continue
            yield outcome
        return
    # Not forked: a process that has threads of Arrow or of a server cannot be.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(variants[0],)
    ) as pool:
        with keyboard_held():
            waiting = {pool.submit(_try_here, variant, shas[variant.number]): variant for variant in variants}
        try:
            for done in as_completed(waiting):
                try:
                    outcome = done.result()
                except BadSetting as error:
                    ended(waiting[done], error)
                    continue
                yield outcome
        finally:
            # Not one by one: where a worker was ended, the pool's own thread fails on what is cancelled.
            pool.shutdown(cancel_futures=True)


def _try(variant: Variant, book: SweptBook, replay_sha: str) -> Outcome:
    return try_variant(variant, book.config, data=book.data, calendar=book.calendar, replay_sha=replay_sha)


_of_this_process: list[SweptBook] = []


def _begin(variant: Variant) -> None:
    """Read once in a process what each of its variants reads; the panel is mapped, so it is there once."""
    end_without_a_word()
    look_for_garbage_seldom()
    _of_this_process[:] = [swept_book(Profiled(load_settings()), [variant])]


def _try_here(variant: Variant, replay_sha: str) -> Outcome:
    (book,) = _of_this_process
    # This process read all anew: what was edited since the sweep began is no outcome of what it began with.
    if _replay_sha(variant, book) != replay_sha:
        raise BadInput("sweep: rules, data or code were changed while it ran; run it again")
    return _try(variant, book, replay_sha)
