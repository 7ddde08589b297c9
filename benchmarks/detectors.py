"""Try the detectors on every example strategy and every session of both real books.

`make bench ARGS="detectors --every 1"`; without `--every` a sample of the sessions. Of each strategy it tells
what it is, how many opinions it had, what it is accused of and in how many sessions.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from measuring import Figure, Table

from resources.judged_bars import judged_bars
from resources.profiles import Profiled
from resources.settings import load_settings
from resources.strategy_files import suspect_in, suspect_of
from trading.lookahead import FEWEST_SESSIONS, SCANNER, Bias, Detection, Trial, detect

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "strategies"
AT_ONCE = 50
"""Sessions that are looked at together: what five hundred symbols say in more of them takes gigabytes."""

EVERY = 20
"""Of so many sessions one is looked at, unless told otherwise: all of them take half an hour."""

BIASED, CLEAN, OWN = "biased", "clean", "the book's own"


@dataclass(slots=True, kw_only=True)
class Looked:
    """Hold what was found in one book: sessions, rows compared, and by strategy and bias the sessions."""

    book: str
    suspects: dict[str, str]
    sessions: int = 0
    rows: int = 0
    cpu_s: float = 0.0
    opinions: Counter[str] = field(default_factory=Counter)
    accused_in: Counter[tuple[str, Bias]] = field(default_factory=Counter)
    needs: dict[str, int] = field(default_factory=dict)
    window_sessions: int = 0

    def add(self, found: Detection) -> None:
        """Count what was found in some more sessions."""
        self.sessions += len(found.sessions)
        self.rows += found.rows
        self.opinions.update(found.opinions)
        for row in found.accusations:
            self.accused_in[row.suspect, row.bias] += row.sessions
        for need in found.warm_ups:
            self.needs[need.suspect] = max(need.least_sessions, self.needs.get(need.suspect, 0))
            self.window_sessions = need.window_sessions

    @property
    def missed(self) -> list[str]:
        """Return the biased ones that nothing is said against."""
        accused = {suspect for suspect, _ in self.accused_in}
        return sorted(name for name, kind in self.suspects.items() if kind == BIASED and name not in accused)

    @property
    def wronged(self) -> list[str]:
        """Return who is accused and is none of the biased ones: the clean ones, and the book's own rules."""
        accused = {suspect for suspect, _ in self.accused_in}
        return sorted(name for name in accused if self.suspects.get(name) != BIASED)

    @property
    def silent(self) -> list[str]:
        """Return who never had an opinion, so that nothing was shown of it."""
        return sorted(name for name in self.suspects if not self.opinions[name])


def measure(every: int = EVERY) -> list[Figure | Table]:
    """Return the figures of both books, and a table of each book's strategies."""
    profiled = Profiled(load_settings())
    looked = [_looked_at(profiled, book, every) for book in profiled.lines]
    return [*(figure for one in looked for figure in _figures(one, every)), *map(_table, looked)]


def _looked_at(profiled: Profiled, book: str, every: int) -> Looked:
    config, known = profiled.books[book], judged_bars(profiled, book)
    examples = {path: suspect_in(path) for path in sorted(EXAMPLES.rglob("*.py"))}
    own = [suspect_of(strategy) for strategy in config.rules.strategies]
    kinds = {one.name: path.parent.name for path, one in examples.items()}
    looked = Looked(book=book, suspects={**kinds, **dict.fromkeys((one.name for one in own), OWN)})
    trial = Trial(config=config, known=known, suspects=(*examples.values(), *own))
    began = time.process_time()
    for sessions in _some_at_a_time(known.panel.sessions[FEWEST_SESSIONS:][::-every][::-1]):
        looked.add(detect(trial, sessions))
    looked.cpu_s = time.process_time() - began
    return looked


def _some_at_a_time(sessions: Sequence[date]) -> Iterator[Sequence[date]]:
    for first in range(0, len(sessions), AT_ONCE):
        yield sessions[first : first + AT_ONCE]


def _figures(looked: Looked, every: int) -> list[Figure]:
    kinds = Counter(looked.suspects.values())
    which = "all sessions" if every == 1 else f"each {every}th session"
    told = [
        (f"biased examples caught, of {kinds[BIASED]}", kinds[BIASED] - len(looked.missed), looked.missed),
        (
            f"others accused, of {kinds[CLEAN] + kinds[OWN]} and the rules",
            len(looked.wronged),
            looked.wronged,
        ),
        (f"strategies that never spoke, of {len(looked.suspects)}", len(looked.silent), looked.silent),
    ]
    return [
        *(
            Figure(what=f"{looked.book}: {what}", value=count, unit="", note=", ".join(names))
            for what, count, names in told
        ),
        Figure(
            what=f"{looked.book}: a session looked at, CPU",
            value=1_000 * looked.cpu_s / looked.sessions,
            unit="ms",
            note=f"{which}, {looked.sessions:,} of them, {looked.rows:,} rows compared",
        ),
    ]


def _table(looked: Looked) -> Table:
    scanner = looked.needs.get(SCANNER, 0)
    return Table(
        title=f"What is found in {looked.book}",
        headers=("strategy", "is", "opinions", "accused of, in sessions", "needs, sessions"),
        rows=tuple(
            (
                name,
                kind,
                f"{looked.opinions[name]:,}",
                _accusations(looked, name),
                str(looked.needs.get(name, "")),
            )
            for name, kind in sorted(looked.suspects.items(), key=lambda pair: (pair[1], pair[0]))
        ),
        note=f"A window has {looked.window_sessions} sessions; the scanner needs {scanner}.",
    )


def _accusations(looked: Looked, name: str) -> str:
    return ", ".join(
        f"{bias.value} {count:,}" for (one, bias), count in sorted(looked.accused_in.items()) if one == name
    )
