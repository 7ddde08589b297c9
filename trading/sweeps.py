"""Sweeps: many variants of one replay, told apart by what was varied, and told honestly together.

A sweep is a grid of parameters, a list of councils to set against each other, or both. Each variant is a
replay of its own request; what it was worth is scorecard.py. The best of many looks better than it is: how
much of it is the choosing, and how often the choice would have failed, is honest.py's, on all variants.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from trading.books import BookConfig
from trading.errors import BadInput
from trading.honest import Honesty, Overfitting, honesty_of, overfitting_of, sharpe_deviation, told_apart
from trading.performance import Floats, Performance
from trading.replay import NAME, DataSet, ReplayRequest, config_of, opening_state, replay_chunk, sessions_of
from trading.scorecard import COUNTED, Trading, returns_of, scorecard_of
from trading.sessions import Calendar
from trading.silences import Listening, Silence
from trading.trials import AND
from trading.values import digest

VARIANTS_MAX = 1_000
"""More would not be looked at, and each more makes the best of them mean less."""

MEASURES = tuple(field.name for kind in (Performance, Trading) for field in fields(kind))
"""The measures that an outcome has, and may be ranked by."""


TOLD_OF_NOTHING = ("sessions", *COUNTED)
"""Counts and amounts, which are told of a variant that has no data too."""

RUINED = "no data: its equity came to nothing before the last session, so that its returns cannot be told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Hold what is varied: one parameter of one strategy, and the values that it takes, as texts."""

    strategy: str
    parameter: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return how the axis is called: `momentum.lookback`."""
        return f"{self.strategy}.{self.parameter}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Hold one replay of a sweep: its number from 1, its council, the value on each axis, and the request."""

    number: int
    council: str
    settings: Mapping[str, str]
    request: ReplayRequest

    @property
    def label(self) -> str:
        """Return what tells the variant from the others, in a few words."""
        told = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return " ".join(part for part in (self.council, told) if part) or "as configured"


def axis_of(text: str) -> Axis:
    """Return the axis that a text describes, `momentum.lookback=63,126`; raises `BadInput` for another."""
    name, equals, told = text.partition("=")
    strategy, dot, parameter = name.strip().partition(".")
    values = tuple(value.strip() for value in told.split(","))
    if not (equals and dot and strategy.isidentifier() and parameter.isidentifier() and all(values)):
        raise BadInput(f"grid {text!r}: write STRATEGY.PARAMETER=VALUE,VALUE")
    if len(set(values)) < len(values):
        raise BadInput(f"grid {text!r}: a value is named twice")
    return Axis(strategy=strategy, parameter=parameter, values=values)


def variants_of(
    base: ReplayRequest, *, axes: Sequence[Axis], councils: Sequence[str], configured: Sequence[str]
) -> tuple[Variant, ...]:
    """Return every combination of councils and values as a light replay of the base's range and costs.

    `councils` are texts as `momentum+mean_reversion:calm=1`; without one it is the base's, and where that
    names none the `configured` strategies. An axis whose strategy a council does not have leaves that
    council as it is. Raises `BadInput` where nothing is varied, an axis touches no council, or there are
    more than `VARIANTS_MAX`.
    """
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise BadInput(f"grid {', '.join(names)}: one axis is named twice")
    told = [_council(text) for text in councils] or [base.strategies or tuple(configured)]
    for axis in axes:
        if not any(axis.strategy in map(_name, council) for council in told):
            raise BadInput(f"grid {axis.name}: no council has a strategy {axis.strategy!r}")
    made: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
    for council in told:
        own = [axis for axis in axes if axis.strategy in map(_name, council)]
        for values in itertools.product(*(axis.values for axis in own)):
            settings = dict(zip((axis.name for axis in own), values, strict=True))
            shown = AND.join(council) if len(told) > 1 else ""
            made.append((shown, settings, tuple(_with(text, settings) for text in council)))
    if len(made) < 2:  # noqa: PLR2004 - one variant is no sweep
        raise BadInput("a sweep varies something: give --grid with two values, or --against twice")
    if len(made) > VARIANTS_MAX:
        raise BadInput(f"{len(made):,} variants: at most {VARIANTS_MAX:,}, name fewer values")
    return tuple(
        Variant(
            number=number,
            council=shown,
            settings=settings,
            request=replace(base, name=_named(base.name, number), strategies=texts, light=True),
        )
        for number, (shown, settings, texts) in enumerate(made, start=1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Hold how a variant came out: its replay's digest, measures by name (`None`: *no data*), and returns.

    `returns` has dtype float64 and shape (sessions,): simple returns of the book's equity, one a session;
    empty where they cannot be told.
    `equity_levels` counts the different equities at the closes. `silences` are of the strategies that had
    nothing to say for want of history, or never.
    """

    variant: Variant
    replay_sha: str
    measures: Mapping[str, float | None]
    returns: Floats
    equity_levels: int
    silences: tuple[Silence, ...] = ()

    @property
    def has_data(self) -> bool:
        """Say whether the variant can be compared: not where nothing was intended, and a strategy was mute.

        Such a variant lost nothing, and would be the best of all that did. Nor where it has no returns.
        """
        return self.has_returns and not self._is_mute

    @property
    def has_returns(self) -> bool:
        """Say whether its returns can be told: not where its equity came to nothing (scorecard.py)."""
        return self.returns.size > 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what has to be known before the measures are believed, as sentences."""
        told = (
            f"no data: {silence.told}" if silence.is_whole and self._is_mute else silence.told
            for silence in self.silences
        )
        return (*told, *(() if self.has_returns else (RUINED,)))

    @property
    def _is_mute(self) -> bool:
        return is_mute(self.silences, intents=self.measures.get("intents"))

    def payload(self) -> dict[str, Any]:
        """Return the outcome as plain JSON values, without its returns."""
        return {
            "number": self.variant.number,
            "label": self.variant.label,
            "settings": dict(self.variant.settings),
            "strategies": list(self.variant.request.strategies),
            "replay_sha": self.replay_sha,
            "measures": dict(self.measures),
            "warnings": list(self.warnings),
        }


def is_mute(silences: Iterable[Silence], *, intents: float | None) -> bool:
    """Say whether nothing was intended and a strategy never had an opinion: then nothing can be measured."""
    return not intents and any(silence.is_whole for silence in silences)


def ranked(outcomes: Sequence[Outcome], *, by: str) -> tuple[Outcome, ...]:
    """Return outcomes by a measure, the largest first, those without one last, ties in their order."""
    for outcome in outcomes:
        require_measure(by, among=outcome.measures)

    def key(outcome: Outcome) -> tuple[bool, float, int]:
        value = outcome.measures[by]
        return value is None, 0.0 if value is None else -value, outcome.variant.number

    return tuple(sorted(outcomes, key=key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Hold what a sweep says as a whole; `None` is *no data*.

    `honesty` is of the best variant by Sharpe ratio, as one chosen from all of them; `overfitting` is what
    becomes of such a choice on sessions that it was not made on, among the variants that have data. Copies
    are counted, and compared with nothing.
    """

    variants: int
    best: Outcome
    honesty: Honesty
    overfitting: Overfitting | None

    def payload(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "variants": self.variants,
            "best": self.best.payload(),
            "honesty": asdict(self.honesty),
            "overfitting": None if self.overfitting is None else asdict(self.overfitting),
        }


def require_measure(name: str, *, among: Collection[str] = MEASURES) -> None:
    """Raise `BadInput` where a measure is none of those that outcomes have."""
    if name not in among:
        raise BadInput(f"measure {name!r}: must be one of {', '.join(sorted(among))}")


def together(outcomes: Sequence[Outcome], *, seed: int) -> Together:
    """Return what all variants of a sweep say together; `seed` draws the intervals.

    One whose returns cannot be told counts, and is compared with nothing. Raises `BadInput` where variants
    have not the same sessions.
    """
    told = [outcome for outcome in outcomes if outcome.has_returns]
    lengths = sorted({outcome.returns.size for outcome in told})
    if len(lengths) > 1:
        raise BadInput(f"variants of {' and '.join(map(str, lengths))} sessions: they cannot be compared")
    trials = np.column_stack([outcome.returns for outcome in told]) if told else np.empty((0, 0))
    has_data = np.array([outcome.has_data for outcome in told], dtype=bool)
    best = ranked(outcomes, by="sharpe")[0]
    return Together(
        variants=len(outcomes),
        best=best,
        honesty=honesty_of(
            best.returns,
            trials=len(outcomes),
            deviation=sharpe_deviation(told_apart(trials)),
            seed=seed,
        ),
        overfitting=overfitting_of(told_apart(trials[:, has_data])),
    )


def try_variant(
    variant: Variant, config: BookConfig, *, data: DataSet, calendar: Calendar, replay_sha: str
) -> Outcome:
    """Return how a variant of a book comes out: its whole range replayed, light, and measured.

    Where nothing was intended since a strategy never had an opinion, every measure is no data; counts and
    amounts stay. Raises `BadInput` for a range that the book's data does not cover, `BadSetting` for a
    strategy that is not there or does not take its parameters.
    """
    own = config_of(variant.request, config)
    sessions, listening = sessions_of(variant.request, own, calendar), Listening(own)
    replayed, _ = replay_chunk(
        listening.config,
        data=data,
        calendar=calendar,
        sessions=sessions,
        state=opening_state(own),
        approve=variant.request.approve,
        light=True,
    )
    silences = listening.silences(sessions, panel=data.panel, actions=data.actions, calendar=calendar)
    card = scorecard_of(replayed, actions=data.actions)
    measures = measures_of(card.performance, card.trading)
    if is_mute(silences, intents=measures["intents"]):
        measures = {name: value if name in TOLD_OF_NOTHING else None for name, value in measures.items()}
    return Outcome(
        variant=variant,
        replay_sha=replay_sha,
        measures=measures,
        returns=returns_of(replayed),
        equity_levels=len(np.unique(replayed["sessions"]["equity_micros"])),
        silences=silences,
    )


def measures_of(performance: Performance, trading: Trading) -> dict[str, float | None]:
    """Return the measures of a replay by name, of performance and of trading."""
    told = {field.name: getattr(performance, field.name) for field in fields(performance)}
    told |= {field.name: getattr(trading, field.name) for field in fields(trading)}
    return {name: value for name, value in told.items() if value is None or isinstance(value, int | float)}


def _named(base: str, number: int) -> str:
    """Return a variant's name; a long one is cut where its digest tells it from others that begin so."""
    name = f"{base}-{number:04}"
    return name if NAME.fullmatch(name) else f"{base[:46]}-{digest(base)[:12]}-{number:04}"


def _council(text: str) -> tuple[str, ...]:
    strategies = tuple(part.strip() for part in text.split(AND))
    if not all(strategies):
        raise BadInput(f"council {text!r}: write STRATEGY{AND}STRATEGY, each as NAME or NAME:key=value")
    return strategies


def _name(text: str) -> str:
    return text.partition(":")[0]


def _with(text: str, settings: Mapping[str, str]) -> str:
    """Return a strategy's text with what the axes say of it; what they say comes last, and so holds."""
    name, _, told = text.partition(":")
    own = [f"{key.partition('.')[2]}={value}" for key, value in settings.items() if _name_of(key) == name]
    pairs = [pair for pair in (*filter(None, told.split(",")), *own) if pair]
    return f"{name}:{','.join(pairs)}" if pairs else name


def _name_of(axis: str) -> str:
    return axis.partition(".")[0]
