"""What questions to the advisor's model came to, and one question without any effect.

What a record means is trading/advisor_calls.py; how much advice may do console/advisor_ladder.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from console.desk import Desk
from console.exit_codes import ExitCode
from trading.advisor_calls import (
    AdvisorCall,
    BudgetFigures,
    ErrorBudget,
    Spent,
    budget_figures,
    spent,
    spent_by,
    week_of,
    went_out,
)
from trading.errors import BadInput

if TYPE_CHECKING:
    from resources.advisors.comparing import Compared

_VERSION = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentLine:
    """Hold what the questions of one session, week, run, model or way of ending came to."""

    of: str
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsView:
    """Hold questions in sum, and by session, week, model, prompt and how they ended, empty where well.

    `budget` are the figures of the reviewed error budget, by its defaults where no advisor is configured.
    """

    calls: tuple[AdvisorCall, ...]
    total: Spent
    by_session: tuple[SpentLine, ...]
    by_week: tuple[SpentLine, ...]
    by_run: tuple[SpentLine, ...]
    by_model: tuple[SpentLine, ...]
    by_prompt: tuple[SpentLine, ...]
    by_error: tuple[SpentLine, ...]
    budget: BudgetFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorSmoke:
    """Hold one question that nothing follows from: whether it went out, and how it ended.

    `calls` is empty where no model is configured. `verdict` is what the model said of the order that was made
    up for it.
    """

    calls: tuple[AdvisorCall, ...]
    verdict: str
    is_required: bool

    @property
    def exit_code(self) -> ExitCode:
        """Return 3 where a question failed, or where one was required and none was answered."""
        is_answered = bool(self.calls) and all(call.ok for call in self.calls)
        is_live = any(went_out(call) for call in self.calls)
        if self.calls and not is_answered:
            return ExitCode.ATTENTION
        return ExitCode.ATTENTION if self.is_required and not (is_answered and is_live) else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPrompts:
    """Hold what each version of the prompt came to, in the order asked for."""

    prompts: tuple[Compared, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Return 3 where there was nothing to compare on."""
        return ExitCode.DONE if any(one.intents for one in self.prompts) else ExitCode.ATTENTION


def calls_of(desk: Desk, *, book: str | None, session: date | None, last: int) -> CallsView:
    """Return the last questions, of a book and a session where they are named."""
    if book is not None:
        desk.chosen(book)
    found = desk.journal.advisor_calls(last=last)
    return calls_view(
        (
            call
            for call in found
            if (book is None or call.book == book) and (session is None or call.session == session)
        ),
        budget=error_budget(desk),
    )


def error_budget(desk: Desk) -> ErrorBudget:
    """Return the reviewed error budget, the default without an advisor's file; raises `BadSetting`."""
    from resources.advisor_file import read_advisor

    config = read_advisor(desk.settings.config_dir)
    return ErrorBudget() if config is None else config.budget


def calls_view(calls: Iterable[AdvisorCall], *, budget: ErrorBudget) -> CallsView:
    """Return the view of calls, judged by an error budget."""
    listed = tuple(calls)
    return CallsView(
        calls=listed,
        total=spent(listed),
        by_session=_lines(listed, lambda call: f"{call.book} {call.session}"),
        by_week=_lines(listed, week_of),
        by_run=_lines(listed, lambda call: call.run_id),
        by_model=_lines(listed, lambda call: call.model),
        by_prompt=_lines(
            listed, lambda call: f"{call.prompt_name} {call.prompt_version} {call.schema_version}"
        ),
        by_error=_lines(listed, lambda call: call.error_type),
        budget=budget_figures(listed, budget=budget),
    )


def smoke_advisor(desk: Desk, *, book: str | None, is_required: bool) -> AdvisorSmoke:
    """Put one question about an order that is made up; nothing is decided, stored as advice or sent."""
    outline = desk.chosen(book)[0]
    from console.launcher import open_launcher

    given = open_launcher().ask_advisor(outline.name)
    return AdvisorSmoke(
        calls=given.calls,
        verdict=given.advice[0].verdict.value if given.calls else "",
        is_required=is_required,
    )


def compare_prompts(desk: Desk, *, book: str | None, versions: Sequence[str], last: int) -> ComparedPrompts:
    """Return what versions of the prompt come to on a book's last recorded sessions.

    Raises `BadInput` for a version that has no file.
    """
    outline = desk.one(book)
    folder = desk.settings.config_dir / "prompts"
    for version in versions:
        if not _VERSION.fullmatch(version) or not list(folder.glob(f"*/{version}.txt")):
            raise BadInput(f"prompt {version[:40]!a}: no file {folder}/<name>/<version>.txt has this version")
    from console.launcher import open_launcher

    return ComparedPrompts(prompts=open_launcher().compare_prompts(outline.name, versions, last=last))


def _lines(calls: Sequence[AdvisorCall], key: Callable[[AdvisorCall], str]) -> tuple[SpentLine, ...]:
    return tuple(SpentLine(of=of, spent=what) for of, what in spent_by(calls, key).items())
