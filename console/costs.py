"""What questions to models cost: in all, by week, session and run, and for each intent they were asked about.

What a record means is trading/advisor_calls.py; how calls ended is advisor_calls.py beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from console.desk import Desk
from trading.advisor_calls import AdvisorCall, Purpose, intents_of, spent, week_of

CALLS_READ = 1_000
"""How many of the last questions are told in parts; all of them are in the sums."""

LINES_SHOWN = 20

CURRENCY = "USD"
"""What the prices of models are configured in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """Hold what the questions of one week, session, run or model came to, in millionths of a dollar.

    `intents` counts those that they were about, `per_intent_micros` is null where they were about none.
    """

    of: str
    calls: int
    tokens: int
    cost_micros: int
    intents: int
    per_intent_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCost:
    """Hold what one session's questions cost, in millionths of a dollar."""

    session: date
    cost_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Hold what models cost, in millionths of a dollar; null where there was nothing to divide by.

    The sums are of all questions, `per_run_micros` and `per_intent_micros` of those for advice; the lists are
    of the last questions, the latest first, `sessions` ascending. `is_cut` says that there were more.
    """

    currency: str
    calls: int
    tokens: int
    cost_micros: int
    per_run_micros: int | None
    per_intent_micros: int | None
    by_week: tuple[CostLine, ...]
    by_session: tuple[CostLine, ...]
    by_run: tuple[CostLine, ...]
    by_model: tuple[CostLine, ...]
    sessions: tuple[SessionCost, ...]
    is_cut: bool


def costs_of(desk: Desk, *, book: str | None = None) -> Costs:
    """Return what models cost, of the desk or one book of it; raises `BadInput` for an unknown book."""
    names = {outline.name for outline in desk.chosen(book)}
    counted = desk.advisor_totals.counted(desk.journal, lane=desk.lane)
    of_all = [total for of, total in counted.items() if of.book in names]
    of_advice = [
        total for of, total in counted.items() if of.book in names and of.purpose == Purpose.ADVICE.value
    ]
    read = desk.journal.advisor_calls(last=CALLS_READ)
    listed = [call for call in reversed(read) if call.book in names and call.lane == desk.lane]
    calls = _sum(of_all, "answered") + _sum(of_all, "failed") + _sum(of_all, "held_back")
    return Costs(
        currency=CURRENCY,
        calls=calls,
        tokens=_sum(of_all, "prompt_tokens") + _sum(of_all, "completion_tokens"),
        cost_micros=_sum(of_all, "cost_micros"),
        per_run_micros=_share(_sum(of_advice, "cost_micros"), _sum(of_advice, "runs")),
        per_intent_micros=_share(_sum(of_advice, "cost_micros"), _sum(of_advice, "intents")),
        by_week=_lines(listed, week_of),
        by_session=_lines(listed, lambda call: f"{call.book} {call.session}"),
        by_run=_lines(listed, lambda call: call.run_id),
        by_model=_lines(listed, lambda call: call.model),
        sessions=_by_session(listed),
        is_cut=calls > len(listed),
    )


def _sum(totals: Iterable[Mapping[str, int]], name: str) -> int:
    return sum(total[name] for total in totals)


def _share(cost_micros: int, count: int) -> int | None:
    """Return a cost for each of so many, rounded up as costs are, `None` where there is none."""
    return -(-cost_micros // count) if count else None


def _lines(calls: Sequence[AdvisorCall], key: Callable[[AdvisorCall], str]) -> tuple[CostLine, ...]:
    of: dict[str, list[AdvisorCall]] = {}
    for call in calls:
        of.setdefault(key(call), []).append(call)
    return tuple(_line(name, listed) for name, listed in list(of.items())[:LINES_SHOWN])


def _line(name: str, calls: Sequence[AdvisorCall]) -> CostLine:
    came_to = spent(calls)
    about = {(call.book, call.session, key) for call in calls for key in intents_of(call)}
    return CostLine(
        of=name,
        calls=came_to.calls,
        tokens=came_to.tokens,
        cost_micros=came_to.cost_micros,
        intents=len(about),
        per_intent_micros=_share(came_to.cost_micros, len(about)),
    )


def _by_session(calls: Iterable[AdvisorCall]) -> tuple[SessionCost, ...]:
    of: dict[date, int] = {}
    for call in calls:
        of[call.session] = of.get(call.session, 0) + call.cost_micros
    return tuple(SessionCost(session=session, cost_micros=of[session]) for session in sorted(of))
