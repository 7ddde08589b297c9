"""What a session's advice takes in tokens: a question an intent, then batched, trimmed, tiered and kept.

The data set is recorded: the buys of `us_five`'s sessions as the rules sized them on real bars, what the
scanner measured of each, and texts of news drawn from a seed, of which a few tell of a halt. The model is a
script that vetoes what a halt is told of, so that its advice is known; both sizes follow it, and the small
one doubts itself where it would veto. Each step has to give the same advice on every intent, or no figure is
told. Every session is asked twice, as a retried run does. Tokens are estimated, prices the reviewed file's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from measuring import PROJECT, Figure, Table
from session_step import lived_sessions

from resources.advisor_file import AdvisorConfig, Model, read_advisor
from resources.advisors.asking import ModelAdvisor
from resources.advisors.kept_replies import KeptReplies
from resources.advisors.scripted import ScriptedCompletions
from trading.advice import AdviceContext, AdviceVerdict, Ladder, admitted
from trading.advice_context import ContextItem, Prompt
from trading.advisor_calls import AdvisorCall, Spent, spent
from trading.candidates import Candidate
from trading.intents import Intent
from trading.session import SessionResult
from trading.values import IntentKey, Side, Symbol

SESSIONS = 120
SEED = 20130228
NEWS = 12
"""Texts of each symbol and session; a wire has many, and most say nothing."""
NEWS_CHARACTERS = 1_500
HALT = "trading in it is halted"
ASKED_TIMES = 2


class Recorded(NamedTuple):
    """Hold one recorded session: what was sized, and what was known of it."""

    session: date
    intents: tuple[Intent, ...]
    items: tuple[ContextItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Hold one way of asking: `is_kept` keeps replies, and all else is the advisor's file."""

    name: str
    config: AdvisorConfig
    is_kept: bool = False


class Taken(NamedTuple):
    """Hold what one way took, and the advice it gave."""

    way: Way
    of: Spent
    advice: Mapping[IntentKey, AdviceVerdict]


def measure() -> Sequence[Figure | Table]:
    """Return the figures; raises `ValueError` where two ways gave other advice."""
    recorded = list(recorded_sessions())
    shipped = read_advisor(PROJECT / "config")
    if shipped is None or shipped.large is None:
        raise ValueError("the advisor's file with both its models is what is measured")
    taken = [_taken(way, recorded) for way in _ways(shipped, shipped.large)]
    first = taken[0]
    for other in taken[1:]:
        if other.advice != first.advice:
            raise ValueError(f"{other.way.name}: other advice than {first.way.name}")
    return [_table(taken, recorded), *_figures(taken, len(recorded))]


def recorded_sessions() -> list[Recorded]:
    """Return the last sessions of `us_five` in which something was bought, with what was known of each."""
    rng = Random(SEED)  # noqa: S311 - drawn from a seed, so that a figure can be found again
    found = [each for each in map(_recorded_of(rng), lived_sessions()) if each.intents]
    return found[-SESSIONS:]


def _recorded_of(rng: Random) -> Callable[[SessionResult], Recorded]:
    def recorded(result: SessionResult) -> Recorded:
        intents = tuple(intent for intent in result.decided.proposed.intents if intent.side is Side.BUY)
        wished = {intent.symbol for intent in intents}
        eve = datetime(result.session.year, result.session.month, result.session.day, tzinfo=UTC)
        items = [_measured(row, eve) for row in result.decided.candidates if row.symbol in wished]
        for symbol in sorted(wished):
            items += _news(symbol, eve, rng)
        return Recorded(session=result.session, intents=intents, items=tuple(items))

    return recorded


def _measured(row: Candidate, eve: datetime) -> ContextItem:
    text = f"rank {row.rank}, score {row.score:.3f}, risk {row.risk_score:.3f}, rsi14 {row.rsi14:.1f}"
    return ContextItem("feature", row.symbol, eve - timedelta(hours=3), text, "scanner")


def _news(symbol: Symbol, eve: datetime, rng: Random) -> list[ContextItem]:
    """Draw a symbol's texts; where one tells of a halt it is the newest, and says so first."""
    words = (
        "volume",
        "quarter",
        "analyst",
        "margin",
        "outlook",
        "chip",
        "guidance",
        "index",
        "rates",
        "demand",
    )
    texts = [" ".join(rng.choices(words, k=NEWS_CHARACTERS // 7)) for _ in range(NEWS)]
    if rng.random() < 0.1:
        texts[0] = f"{symbol}: {HALT}. {texts[0]}"
    return [
        ContextItem("news", symbol, eve - timedelta(minutes=30 + 7 * age), text, "wire")
        for age, text in enumerate(texts)
    ]


# -------------------------------------------------------------------------------- ways of asking


def _ways(shipped: AdvisorConfig, large: Model) -> list[Way]:
    """Return the ways, each with one thing more than the one before."""
    unbounded = replace(
        shipped.limits, session_tokens_max=10**9, day_cost_micros_max=10**12, completion_tokens_max=10**4
    )
    plain = replace(
        shipped,
        small=large,
        large=None,
        limits=unbounded,
        prompt_limits=replace(
            shipped.prompt_limits, batch_max=1, prompt_tokens_max=10**6, item_characters_max=10**5
        ),
    )
    batched = replace(
        plain, prompt_limits=replace(plain.prompt_limits, batch_max=shipped.prompt_limits.batch_max)
    )
    trimmed = replace(batched, prompt_limits=shipped.prompt_limits)
    tiered = replace(trimmed, small=shipped.small, large=large)
    return [
        Way(name="one question an intent, all that is known, the large model", config=plain),
        Way(name="+ batching", config=batched),
        Way(name="+ trimming", config=trimmed),
        Way(name="+ tiering", config=tiered),
        Way(name="+ cache", config=tiered, is_kept=True),
    ]


def _taken(way: Way, recorded: Sequence[Recorded]) -> Taken:
    log = _Log()
    advice: dict[IntentKey, AdviceVerdict] = {}
    with TemporaryDirectory(prefix="advisor-bench-") as folder:
        advisor = ModelAdvisor(
            way.config,
            ScriptedCompletions(lambda prompt, model: _said(prompt, model, way.config)),
            log=log,
            replies=KeptReplies(Path(folder)) if way.is_kept else None,
        )
        for each in recorded:
            for _ in range(ASKED_TIMES):
                given = advisor.advise(each.intents, context=_context(each))
                rows = admitted(given.advice, each.intents, ladder=Ladder.VETO)
                if failed := [row.error_type for row in rows if row.error_type]:
                    raise ValueError(f"{way.name}: {each.session}: {failed[0]}")
                advice.update({row.intent_key: row.verdict for row in rows})
    return Taken(way, spent(log.calls), advice)


def _context(each: Recorded) -> AdviceContext:
    cut_off = datetime(each.session.year, each.session.month, each.session.day, 13, 45, tzinfo=UTC)
    return AdviceContext(
        book="us_five",
        lane="simulated",
        session=each.session,
        cut_off=cut_off,
        ladder=Ladder.VETO,
        items=each.items,
    )


def _said(prompt: Prompt, model: Model, config: AdvisorConfig) -> str:
    """Answer as the model that is measured: a veto where a halt is told of, else keep."""
    halted = {symbol for symbol in prompt.asked if f"{symbol}: {HALT}" in prompt.user}
    is_first = config.large is not None and model == config.small
    opinions = [
        {
            "symbol": symbol,
            "verdict": "veto" if symbol in halted else "keep",
            "factor": 0 if symbol in halted else 1,
            "confidence": 0.6 if symbol in halted and is_first else 0.9,
            "rationale": "a halt is told of" if symbol in halted else "nothing speaks against it",
            "evidence": [],
        }
        for symbol in prompt.asked
    ]
    return json.dumps({"schema_version": "advice.v1", "advice": opinions})


class _Log:
    """Remember calls; budgets are not what is measured."""

    def __init__(self) -> None:
        self.calls: list[AdvisorCall] = []

    def record(self, call: AdvisorCall) -> None:
        self.calls.append(call)

    def calls_of(self, **_: object) -> Sequence[AdvisorCall]:
        return ()


# -------------------------------------------------------------------------------- figures


def _table(taken: Sequence[Taken], recorded: Sequence[Recorded]) -> Table:
    first = taken[0].of
    rows = tuple(
        (
            each.way.name,
            f"{each.of.sent / len(recorded):.2f}",
            f"{each.of.tokens / len(recorded):,.0f}",
            f"{first.tokens / each.of.tokens:.1f}",
            f"{each.of.cost_micros / len(recorded) / 1e6:.5f}",
            f"{first.cost_micros / each.of.cost_micros:.1f}",
        )
        for each in taken
    )
    intents = sum(len(each.intents) for each in recorded)
    vetoes = sum(verdict is AdviceVerdict.VETO for verdict in taken[0].advice.values())
    return Table(
        title="Advice on a session",
        headers=("asked", "questions", "tokens", "tokens saved ×", "USD", "USD saved ×"),
        rows=rows,
        note=(
            f"{len(recorded)} sessions with {intents} buys, each asked twice; the same advice on each intent "
            f"in every row, {vetoes} of them vetoes. Tokens are estimated, the model is a script."
        ),
    )


def _figures(taken: Sequence[Taken], sessions: int) -> list[Figure]:
    return [
        Figure(
            what=f"tokens of a session: {after.way.name}",
            value=after.of.tokens / sessions,
            unit="tokens",
            baseline=before.way.name,
            ratio=after.of.tokens / before.of.tokens,
            note=f"{after.of.cost_micros / before.of.cost_micros:.3f} of its cost",
        )
        for before, after in pairwise(taken)
    ]
