"""Run a sweep: its variants, what all of them say together, and what is kept of it under its name.

The ports that it needs stand here; resources/sweeping.py has them. The same function runs a sweep from the
command line and in the graph, so that both find the same to the bit. What a variant is, is sweeps.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol

from trading.books import BookConfig
from trading.errors import BadInput
from trading.measure_words import measure_text
from trading.replay import NAME, NAME_RULE, Asked, config_of, request_of, sessions_of
from trading.sessions import Calendar
from trading.sweeps import (
    Outcome,
    Together,
    Variant,
    axis_of,
    ranked,
    require_measure,
    together,
    variants_of,
)
from trading.trials import AND
from trading.values import digest

SEED = 20130228
"""What intervals are drawn from: the same sweep tells the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSweep:
    """Hold what is asked of a sweep: a range (`None`: all data), grids and councils as texts, the measure."""

    first_session: date | None = None
    last_session: date | None = None
    grids: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    by: str = "sharpe"

    def payload(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "first_session": str(self.first_session or ""),
            "last_session": str(self.last_session or ""),
            "grids": list(self.grids),
            "against": list(self.against),
            "by": self.by,
        }


class SweepRow(NamedTuple):
    """Hold how one variant came out, the best first; a measure that is `None` is no data, never zero.

    `warnings` say which strategy had too little history to speak, and since when; empty where none.
    """

    place: int
    variant: str
    strategies: str
    replay_sha: str
    total_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    turnover: float | None
    fills: int
    warnings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """Hold a whole sweep: what was asked, its sessions, its outcomes best first, and what they say together.

    `name` is empty where it is kept under none.
    """

    name: str
    book: str
    asked: AskedSweep
    sessions: tuple[date, ...]
    outcomes: tuple[Outcome, ...]
    together: Together

    def payload(self) -> dict[str, Any]:
        """Return the sweep as plain JSON values, without returns."""
        return {
            "book": self.book,
            "sessions": len(self.sessions),
            "by": self.asked.by,
            "variants": [outcome.payload() for outcome in self.outcomes],
            "together": self.together.payload(),
        }

    def sha(self) -> str:
        """Return the digest of the replays of all variants."""
        return digest(sorted(outcome.replay_sha for outcome in self.outcomes))


class Sweeper(Protocol):
    """Run variants of one book, and keep what came of a sweep."""

    def outcomes(
        self, variants: Sequence[Variant], *, workers: int, tell: Callable[[int, Outcome], None]
    ) -> tuple[Outcome, ...]:
        """Return how variants came out, in their order; each is recorded as a trial, whatever came of it.

        `workers` 0 means all cores.
        """
        ...

    def begin(self, name: str, asked: AskedSweep, *, done: int, of: int) -> None:
        """Keep how far a named sweep is; raises `BadInput` where its name is another sweep's."""
        ...

    def keep(self, swept: Swept) -> str:
        """Keep a whole sweep under its name, with its page, and return where the page lies."""
        ...


def variants_asked(asked: AskedSweep, config: BookConfig) -> tuple[Variant, ...]:
    """Return the variants of a sweep, each of which can be tried.

    Raises `BadInput` for a grid, a council or a measure that is none, `BadSetting` for a strategy that is not
    there or does not take its parameters: what cannot be tried is found before anything is.
    """
    require_measure(asked.by)
    of_range = Asked(first_session=asked.first_session, last_session=asked.last_session, light=True)
    variants = variants_of(
        request_of(of_range, config, name="sweep"),
        axes=[axis_of(text) for text in asked.grids],
        councils=asked.against,
        configured=[strategy.name for strategy in config.rules.strategies],
    )
    for variant in variants:
        config_of(variant.request, config)
    return variants


def require_sweep_name(name: str) -> None:
    """Raise `BadInput` where a sweep cannot be kept under a name."""
    if not NAME.fullmatch(name):
        raise BadInput(f"sweep name {name!r}: must be {NAME_RULE}")


def run_sweep(
    asked: AskedSweep,
    config: BookConfig,
    *,
    name: str,
    calendar: Calendar,
    sweeper: Sweeper,
    workers: int,
    tell: Callable[[str], None],
) -> Swept:
    """Return a sweep of a book, the best first by the measure asked; kept where it has a name."""
    variants = variants_asked(asked, config)
    tell(f"{config.name}: {len(variants):,} variants of {_range(asked)}")
    if name:
        require_sweep_name(name)
        sweeper.begin(name, asked, done=0, of=len(variants))

    def heard(done: int, outcome: Outcome) -> None:
        told = measure_text(asked.by, outcome.measures.get(asked.by))
        tell(f"{done:,} of {len(variants):,}: {outcome.variant.label}: {asked.by} {told}")
        if name:
            sweeper.begin(name, asked, done=done, of=len(variants))

    outcomes = sweeper.outcomes(variants, workers=workers, tell=heard)
    swept = Swept(
        name=name,
        book=config.name,
        asked=asked,
        sessions=sessions_of(variants[0].request, config, calendar),
        outcomes=ranked(outcomes, by=asked.by),
        together=together(outcomes, seed=SEED),
    )
    if name:
        sweeper.keep(swept)
    return swept


def rows_of_sweep(swept: Swept) -> tuple[SweepRow, ...]:
    """Return a sweep as rows, the best first."""
    return tuple(
        SweepRow(
            place=place,
            variant=outcome.variant.label,
            strategies=AND.join(outcome.variant.request.strategies),
            replay_sha=outcome.replay_sha,
            fills=int(outcome.measures.get("fills") or 0),
            warnings="; ".join(outcome.warnings),
            **{name: _float(outcome.measures, name) for name in MEASURED},
        )
        for place, outcome in enumerate(swept.outcomes, start=1)
    )


MEASURED = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "turnover",
)
"""The measures that a row of a sweep tells."""


def _float(measures: Mapping[str, float | None], name: str) -> float | None:
    value = measures[name]
    return None if value is None else float(value)


def _range(asked: AskedSweep) -> str:
    if asked.first_session is None and asked.last_session is None:
        return "all sessions"
    return f"{asked.first_session or ''}..{asked.last_session or ''}"
