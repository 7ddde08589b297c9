"""What the detectors find in a book's strategies, or in files of strategies, on the book's own bars.

How they detect is trading/lookahead.py. Reads the source of the bars, judged by the quality rules; neither
lake nor journal is looked at, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.desk import Desk
from console.render import counted
from resources.judged_bars import judged_bars
from resources.profiles import Profiled
from resources.strategy_files import suspect_in, suspect_of
from trading.errors import BadInput
from trading.lookahead import Detection, Suspect, Trial, detect, sampled
from trading.replay import chosen_strategy, parameters_told
from trading.strategies.plugin import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """Hold what was found in each book."""

    books: tuple[Detection, ...]

    @property
    def is_clean(self) -> bool:
        """Say whether in every book each strategy had an opinion, and nobody is accused."""
        return all(book.is_clean and not book.silent for book in self.books)


def detected(
    desk: Desk,
    *,
    book: str | None,
    strategies: Sequence[str],
    sessions: int,
    progress: Callable[[str], None],
) -> Detected:
    """Return what is found over some sessions of a book, or of all; `progress` is told line by line.

    `strategies` are names of configured ones, or files, each with parameters where they differ
    (`momentum:lookback=60`); those of the book when there are none.
    """
    if sessions < 1:
        raise BadInput(f"--sessions {sessions}: at least one has to be looked at")
    profiled = Profiled(desk.settings)
    found = []
    for outline in desk.chosen(book):
        config = profiled.books[outline.name]
        suspects = _suspects(strategies, config.rules.strategies)
        progress(
            f"{outline.name}: {', '.join(one.name for one in suspects)} over {counted(sessions, 'session')}"
        )
        known = judged_bars(profiled, outline.name)
        trial = Trial(config=config, known=known, suspects=suspects)
        found.append(detect(trial, sampled(known.panel, sessions)))
    return Detected(books=tuple(found))


def _suspects(asked: Sequence[str], configured: Sequence[Strategy]) -> tuple[Suspect, ...]:
    """Return what is under suspicion; raises `BadInput` for a name that is neither configured nor a file."""
    if not asked:
        return tuple(suspect_of(strategy) for strategy in configured)
    suspects: dict[str, Suspect] = {}
    for text in asked:
        suspect = _suspect(text, configured)
        if suspect.name in suspects:
            raise BadInput(f"strategy {text!r}: another one is called {suspect.name} too; rename its file")
        suspects[suspect.name] = suspect
    return tuple(suspects.values())


def _suspect(text: str, configured: Sequence[Strategy]) -> Suspect:
    names = [strategy.name for strategy in configured]
    # A file's name may have a colon in it, and a parameter's value a slash: what is a file, is meant as one.
    place, _, told = (text, "", "") if _is_file(text) else text.partition(":")
    if place in names:
        return suspect_of(chosen_strategy(text, configured))
    if not _is_file(place):
        raise BadInput(
            f"strategy {place!r}: neither configured ({', '.join(names)}) nor a file; "
            "name one of them, or the path of a file"
        )
    return suspect_in(Path(place), parameters=parameters_told(told, of=text), asked=text)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:
        # Too long for a path, say: whatever it is, no file.
        return False
