"""Run the variants of a sweep over processes, and keep what each came to.

    <folder>/<replay digest>.json     measures of one variant
    <folder>/<replay digest>.npy      its returns, float64, one a session

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resources.craft import craft_sha
from resources.profiles import Profiled
from resources.settings import load_settings
from trading.books import BookConfig
from trading.replay import DataSet, config_of, sessions_of
from trading.replaying import rules_sha
from trading.sessions import Calendar
from trading.sweeps import Outcome, Variant, try_variant


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
            measures = json.loads((self._folder / f"{replay_sha}.json").read_bytes())
            returns = np.load(self._folder / f"{replay_sha}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return Outcome(variant=variant, replay_sha=replay_sha, measures=measures, returns=returns)

    def keep(self, outcome: Outcome) -> None:
        """Keep an outcome, whole or not at all: the measures come last."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._folder / f"{outcome.replay_sha}.npy"
        making = place.with_suffix(f".{os.getpid()}")
        with making.open("wb") as file:
            np.save(file, outcome.returns)
        making.replace(place)
        making.write_text(json.dumps(dict(outcome.measures), sort_keys=True), encoding="utf-8")
        making.replace(place.with_suffix(".json"))


def run_variants(
    variants: Sequence[Variant],
    book: SweptBook,
    *,
    files: VariantFiles,
    workers: int,
    tell: Callable[[int, Outcome], None],
) -> tuple[Outcome, ...]:
    """Return how variants came out, in their order; what is kept already is not run again.

    `tell` hears of each as it is there, with how many are. With one worker everything runs in this process.
    An error of one variant ends the sweep; what was done by then is kept.
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
    for outcome in _tried(missing, book, shas, workers=min(workers, len(missing))):
        files.keep(outcome)
        found[outcome.variant.number] = outcome
        tell(len(found), outcome)
    return tuple(found[variant.number] for variant in variants)


def _replay_sha(variant: Variant, book: SweptBook) -> str:
    rules = config_of(variant.request, book.config).rules
    return variant.request.replay_sha(
        data_sha=book.data.sha, rules_sha=rules_sha(rules), code_sha=craft_sha()
    )


def _tried(
    variants: Sequence[Variant], book: SweptBook, shas: dict[int, str], *, workers: int
) -> Iterator[Outcome]:
    if workers <= 1:
        for variant in variants:
            yield _try(variant, book, shas[variant.number])
        return
    # Not forked: a process that has threads of Arrow or of a server cannot be.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(variants[0],)
    ) as pool:
        waiting = [pool.submit(_try_here, variant, shas[variant.number]) for variant in variants]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            for each in waiting:
                each.cancel()


def _try(variant: Variant, book: SweptBook, replay_sha: str) -> Outcome:
    return try_variant(variant, book.config, data=book.data, calendar=book.calendar, replay_sha=replay_sha)


_of_this_process: list[SweptBook] = []


def _begin(variant: Variant) -> None:
    """Read once in a process what each of its variants reads; the panel is mapped, so it is there once."""
    _of_this_process[:] = [swept_book(Profiled(load_settings()), [variant])]


def _try_here(variant: Variant, replay_sha: str) -> Outcome:
    (book,) = _of_this_process
    return _try(variant, book, replay_sha)
