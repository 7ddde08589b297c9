"""The verbs `advisor calls`, `smoke` and `compare`: what models were asked, whether one answers, and how.

What they show is made in console/advisor_calls.py. How much advice may do is laddering.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.render import NONE, counted, table
from console.verbs.options import (
    DECIDING,
    BookOption,
    JsonOption,
    OneBookOption,
    SessionOption,
    day_or_none,
    show,
)
from console.verbs.teaching import help_of
from trading.advisor_calls import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from console.advisor_calls import AdvisorSmoke, CallsView, ComparedPrompts, SpentLine
    from trading.advisor_calls import BudgetFigures

ADVISOR = "advisor"
CALLS_MAX = 1_000_000
SESSIONS_MAX = 10_000
MICROS_PER_USD = 1_000_000

ADDRESS = "look at TRADING_ADVISOR_BASE_URL"
REMEDIES = {
    CallError.CONNECT: f"nobody was reached; is it up, and is the address right? {ADDRESS}",
    CallError.TIME_OUT: "too slow; [limits] timeout_s of config/advisor.toml is what an attempt may take",
    CallError.HTTP_UNAUTHORIZED: "the key is wrong or missing; set TRADING_ADVISOR_KEY",
    CallError.HTTP_UNPAID: "the account there has no credit left",
    CallError.HTTP_FORBIDDEN: "the key may not ask this model; look at TRADING_ADVISOR_KEY and [models]",
    CallError.HTTP_NOT_FOUND: f"no such address or model; {ADDRESS} (it ends as in /v1) and [models]",
    CallError.HTTP_REFUSED: "the request was refused; without JSON schemas there, strict_schema = false",
    CallError.HTTP_LIMITED: "asked too often for this key; wait, or ask the provider for a higher limit",
    CallError.HTTP_SERVER: "the server failed; wait, the next question tries again",
    CallError.NOT_JSON: f"what answered is no chat-completions endpoint; {ADDRESS}",
    CallError.NOT_A_COMPLETION: f"what answered is no chat-completions endpoint; {ADDRESS}",
    CallError.CUT_OFF: "the answer was cut; raise [limits] completion_tokens_max of config/advisor.toml",
    CallError.FILTERED: "the provider filtered the answer, or the model would not give one",
    CallError.TELLS_KEY: "the answer had the key in it; take a new key, and ask another server",
    CallError.CIRCUIT_OPEN: "the breaker is open after failed questions; `trading outbound` says until when",
    CallError.TOKENS_SPENT: "the session's tokens are spent; see [limits] session_tokens_max",
    CallError.COST_SPENT: "the day's money (UTC) is spent; see [limits] day_cost_usd_max",
    CallError.PROMPT_TOO_LONG: "one question is over [prompt] tokens_max of config/advisor.toml",
}
"""What a person does about a question that failed."""


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line, in the group of the advisor's."""
    group = next((one.typer_instance for one in app.registered_groups if one.name == ADVISOR), None)
    if group is None:
        group = typer.Typer(
            help="The advisor: a model that may make orders smaller, and nothing else.", no_args_is_help=True
        )
        app.add_typer(group, name=ADVISOR, rich_help_panel=DECIDING)
    group.command("calls", help=help_of(calls))(calls)
    group.command("smoke", help=help_of(smoke))(smoke)
    group.command("compare", help=help_of(compare))(compare)


def calls(
    *,
    book: BookOption = None,
    session: SessionOption = None,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=CALLS_MAX, help="Of how many questions.")
    ] = 10_000,
    as_json: JsonOption = False,
) -> None:
    """Show what models were asked: tokens and cost by session, week and model, and how questions ended.

    trading advisor calls
    trading advisor calls --session 2013-02-28 --json
    Exit codes: 0 done, also where nobody was asked, 2 no such book or session.
    """
    from console.advisor_calls import calls_of

    found = calls_of(open_desk(), book=book, session=day_or_none(session), last=last)
    show(found, _calls, as_json=as_json)


def smoke(
    *,
    require_call: Annotated[
        bool, typer.Option("--require-call", help="Fail unless a question went out and was answered.")
    ] = False,
    book: BookOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the model one question about an order that is made up. Nothing is decided or sent.

    The question is recorded, and counts in the budgets.

    trading advisor smoke
    trading advisor smoke --require-call --json
    Exit codes: 0 answered, or no model is configured; 3 it failed, or none was asked and one was required.
    """
    from console.advisor_calls import smoke_advisor

    found = smoke_advisor(open_desk(), book=book, is_required=require_call)
    show(found, _smoke, as_json=as_json, code=found.exit_code)


def compare(
    *,
    prompt: Annotated[
        list[str], typer.Option("--prompt", metavar="VERSION", help="A version of the prompt; give several.")
    ],
    book: OneBookOption = None,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=SESSIONS_MAX, help="Of how many sessions.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Ask with several versions of the prompt about the same recorded sessions, and compare what comes of it.

    Nothing is decided or stored as advice; each question is recorded, and counts in the budgets.

    trading advisor compare --book us_five --prompt 1 --prompt 2
    Exit codes: 0 compared, 2 no such version or no model is configured, 3 no session has intents.
    """
    from console.advisor_calls import compare_prompts

    found = compare_prompts(open_desk(), book=book, versions=prompt, last=last)
    show(found, _compared, as_json=as_json, code=found.exit_code)


def _compared(found: ComparedPrompts) -> str:
    rows = [
        (
            one.prompt,
            one.prompt_sha[:12],
            one.intents,
            one.spent.sent,
            one.spent.errors,
            one.spent.tokens,
            f"{one.spent.cost_micros / MICROS_PER_USD:.6f}",
            NONE if one.budget.latency_ms_p95 is None else f"{one.budget.latency_ms_p95} ms",
            _counts(one.verdicts),
            _counts(one.no_advice),
            NONE if one.agreeing is None else f"{one.agreeing:.1%}",
        )
        for one in found.prompts
    ]
    columns = (
        "prompt", "digest", "intents", "sent", "errors", "tokens", "USD", "p95", "said", "no advice",
        "as the first",
    )  # fmt: skip
    return table(columns, rows)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or NONE


def _calls(view: CallsView) -> str:
    """Return the sums as tables; says so where nobody was asked."""
    if not view.calls:
        return "no model was asked\nnext:\n  trading advisor smoke"
    parts = [
        _table(name, lines)
        for name, lines in (
            ("session", view.by_session),
            ("week", view.by_week),
            ("model", view.by_model),
            ("prompt and schema", view.by_prompt),
            ("ended", view.by_error),
        )
    ]
    return "\n\n".join([*parts, _budget(view.budget)])


def _table(name: str, lines: Sequence[SpentLine]) -> str:
    rows = [
        (
            line.of or "answered",
            line.spent.calls,
            line.spent.sent,
            line.spent.errors,
            line.spent.cached,
            line.spent.prompt_tokens,
            line.spent.completion_tokens,
            f"{line.spent.cost_micros / MICROS_PER_USD:.6f}",
        )
        for line in lines
    ]
    columns = (name, "questions", "sent", "errors", "cached", "tokens in", "tokens out", "USD")
    return table(columns, rows)


def _budget(figures: BudgetFigures) -> str:
    rate = NONE if figures.error_rate is None else f"{figures.error_rate:.1%}"
    p95 = NONE if figures.latency_ms_p95 is None else f"{figures.latency_ms_p95} ms"
    return f"error budget: {figures.state.value}; errors {rate}, p95 {p95}"


def remedy_of(error_type: str) -> str:
    """Return what a person does about a question that ended like this."""
    for error, remedy in REMEDIES.items():
        if error == error_type:
            return remedy
    if error_type.startswith("reply_"):
        return (
            "it answered in another form than the prompt asks for; a model that keeps to a schema is needed"
        )
    return "see docs/how-to/connect_a_model.md"


def _smoke(found: AdvisorSmoke) -> str:
    if not found.calls:
        return "no model is configured: TRADING_ADVISOR_BASE_URL says where one is, config/advisor.toml which"
    lines = [
        f"{call.tier} {call.model}: {call.error_type or 'answered'}, {counted(call.attempts, 'attempt')}, "
        f"{call.latency_ms} ms, {call.prompt_tokens + call.completion_tokens} tokens, "
        f"{call.cost_micros / MICROS_PER_USD:.6f} USD" + (", from what was kept" if call.was_cached else "")
        for call in found.calls
    ]
    failed = next((call for call in found.calls if not call.ok), None)
    if failed is not None:
        return "\n".join([*lines, f"no advice: {remedy_of(failed.error_type)}"])
    return "\n".join([*lines, f"it says: {found.verdict}; nothing follows from it"])
