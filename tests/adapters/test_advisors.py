"""Who asks a model: over real HTTP, within budgets, the small model first, each question recorded once."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from resources.advisor_file import read_advisor
from resources.advisors.asking import ModelAdvisor
from resources.advisors.call_log import JournalCallLog
from resources.advisors.chat_completions import ChatCompletions
from resources.advisors.comparing import Asked, compare
from resources.advisors.kept_replies import KeptReplies
from resources.advisors.scripted import ScriptedCompletions
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.outbound.kept import JournalBreakers
from tests.adapters.misbehaving import RESET, http, misbehaving
from trading.advice import AdviceContext, AdviceVerdict, Ladder
from trading.advice_context import ContextItem
from trading.advisor_calls import CallError, Purpose, Tier
from trading.breakers import BreakerReason, BreakerState
from trading.errors import JournalUnavailable
from trading.testing import example_call, example_intent
from trading.values import Side, Slot, Symbol

SHIPPED = read_advisor(Path(__file__).resolve().parents[2] / "config")
SESSION = date(2013, 2, 28)
CUT_OFF = datetime(2013, 2, 28, 13, 45, tzinfo=UTC)
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
INTENTS = [example_intent(name) for name in ("AAPL", "MSFT", "KO")]
STOP = example_intent("AAPL", slot=Slot.STOP, side=Side.SELL)
CANARY = "canary-0815-key"


def context(ladder=Ladder.VETO_AND_SHRINK, items=()):
    return AdviceContext(
        book="us_five",
        lane="simulated",
        session=SESSION,
        cut_off=CUT_OFF,
        ladder=ladder,
        items=items,
        run_id="r1",
    )


def item(symbol="AAPL", as_of=CUT_OFF - timedelta(hours=1), text="rises"):
    return ContextItem(kind="news", symbol=Symbol(symbol), as_of=as_of, text=text, source="wire")


def opinion(symbol, verdict="keep", factor=1, confidence=0.9):
    return {
        "symbol": symbol, "verdict": verdict, "factor": factor, "confidence": confidence,
        "rationale": "as told", "evidence": [],
    }  # fmt: skip


def reply(*opinions):
    return json.dumps({"schema_version": "advice.v1", "advice": list(opinions)})


def keeping(prompt, model):
    return reply(*map(opinion, prompt.asked))


def completion(text, **told):
    body = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 700, "completion_tokens": 80},
    }
    return json.dumps({**body, **told}).encode()


class Log:
    """Remember calls, as a journal would."""

    def __init__(self, calls=()):
        self.calls = list(calls)

    def record(self, call):
        self.calls.append(call)

    def calls_of(self, *, book="", session=None, since=None):
        return [
            call
            for call in self.calls
            if (not book or call.book == book)
            and (session is None or call.session == session)
            and (since is None or call.at >= since)
        ]


def advisor_of(script=keeping, *, log=None, config=SHIPPED, **options):
    completions = ScriptedCompletions(script) if callable(script) else script
    return ModelAdvisor(config, completions, log=log or Log(), clock=lambda: NOW, **options)


@contextmanager
def asking(answer, *, key=CANARY, config=SHIPPED, **options):
    """Give an advisor that asks a server on this machine, and what the server hears."""
    slept = []
    with misbehaving(answer) as (url, heard):
        completions = ChatCompletions(config, url, key=key, sleep=slept.append, **options)
        with completions:
            log = Log()
            yield ModelAdvisor(config, completions, log=log, clock=lambda: NOW), heard, log, slept


# -------------------------------------------------------------------------------- over HTTP


@pytest.mark.parametrize("spelt", [CANARY, "".join(f"\\u{ord(sign):04x}" for sign in CANARY)])
def test_a_server_that_repeats_the_key_has_given_no_advice_and_nothing_of_it_is_kept(tmp_path, spelt):
    whole = reply(opinion("AAPL", verdict="veto", factor=0)).replace("as told", f"got Bearer {spelt}")
    log = Log()
    with (
        misbehaving(lambda _: http("200 OK", completion(whole))) as (url, _),
        ChatCompletions(SHIPPED, url, key=CANARY) as completions,
    ):
        advisor = advisor_of(completions, log=log, replies=KeptReplies(tmp_path))
        (said,) = advisor.advise(INTENTS[:1], context=context()).advice

    assert (said.verdict, said.error_type, said.rationale) == (
        AdviceVerdict.ABSTAIN, CallError.TELLS_KEY, ""
    )  # fmt: skip
    assert [call.error_type for call in log.calls] == [CallError.TELLS_KEY]
    assert list(tmp_path.iterdir()) == []


def test_a_question_over_http_is_answered_recorded_and_priced():
    with asking(lambda _: http("200 OK", completion(keeping_text(INTENTS)))) as (advisor, heard, log, _):
        given = advisor.advise(INTENTS, context=context(items=(item(),)))

    (call,) = log.calls
    head, _, body = heard[0].partition(b"\r\n\r\n")
    sent = json.loads(body)

    assert [row.verdict for row in given.advice] == [AdviceVerdict.KEEP] * 3
    assert given.calls == (call,)
    assert head.startswith(b"POST /chat/completions")
    assert f"authorization: Bearer {CANARY}".lower().encode() in head.lower()
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("openai/gpt-4o-mini", 256, 0)
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert (call.prompt_tokens, call.completion_tokens, call.is_counted) == (700, 80, True)
    assert call.cost_micros == 153  # 700 × 0.15 + 80 × 0.60
    assert (call.attempts, call.ok, call.error_type, call.run_id) == (1, True, "", "r1")
    assert call.intents.split() == [intent.intent_key for intent in INTENTS]
    assert len(call.prompt_sha) == 64


def keeping_text(intents):
    return reply(*(opinion(intent.symbol) for intent in intents))


def test_a_failed_attempt_is_made_again_once_after_half_a_second():
    answers = {1: http("503 Busy"), 2: http("200 OK", completion(keeping_text(INTENTS)))}
    with asking(answers.get) as (advisor, heard, log, slept):
        given = advisor.advise(INTENTS, context=context())

    assert (len(heard), log.calls[0].attempts, log.calls[0].ok) == (2, 2, True)
    assert 0.5 <= slept[0] <= 0.53
    assert not any(row.error_type for row in given.advice)
    # The attempt that failed may be charged for: it is estimated, and the whole is no count any more.
    assert log.calls[0].prompt_tokens > 700
    assert not log.calls[0].is_counted


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RESET, None),
        (http("503 Busy"), "http_5xx"),
        (http("429 Slow"), "http_429"),
        (http("400 What"), "http_4xx"),
        (http("401 Who"), "http_401"),
        (http("402 Pay"), "http_402"),
        (http("403 No"), "http_403"),
        (http("404 Where"), "http_404"),
        (http("302 Go", headers="Location: http://127.0.0.1:9/\r\n"), "http_other"),
        (http("200 OK", b"<html>"), "envelope_not_json"),
        (http("200 OK", b"[" * 200_000), "envelope_not_json"),
        (http("200 OK", b"9" * 6000), "envelope_not_json"),
        (http("200 OK", b"[]"), "envelope_not_a_completion"),
        (http("200 OK", b'{"choices": []}'), "envelope_not_a_completion"),
        (http("200 OK", completion(None)), "envelope_not_a_completion"),
        (http("200 OK", completion(["a"])), "envelope_not_a_completion"),
        (
            http("200 OK", completion("", choices=[{"message": {"content": "x", "tool_calls": [1]}}])),
            "envelope_not_a_completion",
        ),
        (
            http("200 OK", completion("", choices=[{"message": {}, "finish_reason": "length"}])),
            "reply_cut_off",
        ),
        (
            http("200 OK", completion("", choices=[{"message": {"content": None, "refusal": "no"}}])),
            "reply_filtered",
        ),
        (http("200 OK", completion("I would buy more of everything!")), "reply_no_object"),
        (http("200 OK", b"x" * 600_000), "too_long_reply"),
        (http("200 OK", b"half", length=99), "half_reply"),
    ],
)  # fmt: skip
def test_whatever_comes_back_is_no_advice_under_a_type_and_one_record(answer, error):
    with asking(lambda _: answer) as (advisor, heard, log, _):
        given = advisor.advise([*INTENTS, STOP], context=context())

    assert len(log.calls) == 1
    assert not log.calls[0].ok
    assert log.calls[0].error_type in ({error} if error else {"reset", "half_reply"})
    assert {row.error_type for row in given.advice[:3]} == {log.calls[0].error_type}
    assert {row.verdict for row in given.advice} == {AdviceVerdict.ABSTAIN}
    assert (given.advice[3].source, given.advice[3].error_type) == ("rules", "")
    assert len(heard) <= 2


@pytest.mark.parametrize("count", [0, -1, True, 10**30, "many", None, 1.5])
def test_a_count_of_tokens_that_cannot_be_one_is_estimated_instead(count):
    told = {"prompt_tokens": count, "completion_tokens": count}
    with asking(lambda _: http("200 OK", completion(keeping_text(INTENTS), usage=told))) as (
        advisor,
        _,
        log,
        _,
    ):
        advisor.advise(INTENTS, context=context())

    (call,) = log.calls
    assert not call.is_counted
    assert 200 < call.prompt_tokens < 3_000
    assert call.completion_tokens > 0


@pytest.mark.parametrize(
    ("purpose", "error"), [(Purpose.COMPARE, ""), (Purpose.ADVICE, "token_budget_spent")]
)
def test_comparisons_leave_a_session_its_own_tokens(purpose, error):
    log = Log([example_call(session=SESSION, purpose=purpose, prompt_tokens=40_000)])

    given = advisor_of(log=log).advise(INTENTS, context=context())

    assert {row.error_type for row in given.advice} == {error}


def test_the_key_stands_in_no_record_log_prompt_or_error(caplog, logged):
    caplog.set_level(logging.DEBUG)
    with asking(lambda _: http("500 Oh")) as (advisor, heard, log, _):
        advisor.advise(INTENTS, context=context())
        told = repr((advisor, log.calls, logged, vars(advisor._completions), caplog.text))

    assert CANARY.encode() in heard[0]
    assert CANARY not in told
    assert CANARY.encode() not in heard[0].partition(b"\r\n\r\n")[2]


def test_a_server_without_schemas_is_asked_without_one():
    config = replace(SHIPPED, is_held_to_schema=False)
    text = "Sure! Here it is:\n```json\n" + keeping_text(INTENTS) + "\n```\nGood luck."
    with asking(lambda _: http("200 OK", completion(text)), config=config) as (advisor, heard, log, _):
        advisor.advise(INTENTS, context=context())

    assert log.calls[0].ok
    assert b"response_format" not in heard[0]


# -------------------------------------------------------------------------------- whom is asked, and when


def test_at_step_0_nobody_is_asked():
    completions = ScriptedCompletions(keeping)
    given = advisor_of(completions).advise(INTENTS, context=context(Ladder.OFF))

    assert completions.heard == []
    assert (given.calls, {row.source for row in given.advice}) == ((), {"off"})


def test_nobody_is_asked_about_what_lowers_risk():
    completions = ScriptedCompletions(keeping)
    given = advisor_of(completions).advise([STOP], context=context())

    assert completions.heard == []
    assert given.calls == ()
    assert given.advice[0].source == "rules"


def test_the_large_model_is_asked_where_the_small_one_would_change_something_or_doubts_itself():
    small = {"AAPL": ("keep", 0.9), "MSFT": ("veto", 0.9), "KO": ("keep", 0.3), "GE": ("abstain", 0.9)}

    def script(prompt, model):
        if model is SHIPPED.large:
            return reply(*(opinion(name, "keep", 1, 0.8) for name in prompt.asked))
        return reply(*(opinion(name, small[name][0], 1, small[name][1]) for name in prompt.asked))

    log, intents = Log(), [*INTENTS, example_intent("GE")]
    completions = ScriptedCompletions(script)
    given = advisor_of(completions, log=log).advise(intents, context=context())

    assert [(model.name, tuple(prompt.asked)) for model, prompt in completions.heard] == [
        (SHIPPED.small.name, ("AAPL", "MSFT", "KO", "GE")),
        (SHIPPED.large.name, ("MSFT", "KO")),
    ]
    assert [(row.verdict.value, row.source) for row in given.advice] == [
        ("keep", SHIPPED.small.name), ("keep", SHIPPED.large.name), ("keep", SHIPPED.large.name),
        ("abstain", SHIPPED.small.name),
    ]  # fmt: skip
    assert [call.tier for call in log.calls] == [Tier.SMALL, Tier.LARGE]


def test_a_large_model_that_fails_leaves_no_advice():
    def script(prompt, model):
        return "no" if model is SHIPPED.large else reply(*(opinion(name, "veto", 0) for name in prompt.asked))

    given = advisor_of(script).advise(INTENTS, context=context())

    assert {(row.verdict, row.error_type) for row in given.advice} == {
        (AdviceVerdict.ABSTAIN, "reply_no_object")
    }


def test_many_intents_are_asked_about_in_batches():
    log, many = Log(), [example_intent(f"S{number}") for number in range(10)]
    given = advisor_of(log=log).advise(many, context=context())

    assert [len(call.intents.split()) for call in log.calls] == [4, 4, 2]
    assert [row.symbol for row in given.advice] == [intent.symbol for intent in many]


def test_an_item_known_too_late_is_told_to_nobody():
    completions, log = ScriptedCompletions(keeping), Log()
    given = advisor_of(completions, log=log).advise(INTENTS, context=context(items=(item(as_of=CUT_OFF),)))

    assert completions.heard == []
    assert {row.error_type for row in given.advice} == {CallError.LOOK_AHEAD.value}
    assert [(call.error_type, call.attempts) for call in log.calls] == [("look_ahead", 0)]


def test_an_error_of_our_own_is_no_advice_and_is_recorded():
    def script(prompt, model):
        raise ZeroDivisionError

    log = Log()
    given = advisor_of(script, log=log).advise(INTENTS, context=context())

    assert {row.error_type for row in given.advice} == {"defect"}
    assert [call.error_type for call in log.calls] == ["defect"]


# -------------------------------------------------------------------------------- the cache


def test_the_same_question_is_put_once(tmp_path):
    completions, log, replies = ScriptedCompletions(keeping), Log(), KeptReplies(tmp_path / "replies")
    first = advisor_of(completions, log=log, replies=replies).advise(INTENTS, context=context())
    again = advisor_of(completions, log=log, replies=replies).advise(INTENTS, context=context())

    assert len(completions.heard) == 1
    assert again.advice == first.advice
    assert [(call.was_cached, call.attempts, call.cost_micros > 0) for call in log.calls] == [
        (False, 1, True), (True, 0, False),
    ]  # fmt: skip


def test_another_prompt_is_another_question(tmp_path):
    completions, replies = ScriptedCompletions(keeping), KeptReplies(tmp_path)
    for items in ((), (item(),), (item(text="falls"),)):
        advisor_of(completions, replies=replies).advise(INTENTS, context=context(items=items))

    assert len(completions.heard) == 3


@pytest.mark.parametrize("spoilt", [b"", b"\xff", b"{}", b"x" * 300_000])
def test_a_kept_reply_that_somebody_spoilt_is_asked_anew(tmp_path, spoilt):
    completions, replies = ScriptedCompletions(keeping), KeptReplies(tmp_path)
    advisor_of(completions, replies=replies).advise(INTENTS, context=context())
    for path in tmp_path.glob("*.txt"):
        path.write_bytes(spoilt)
    given = advisor_of(completions, replies=replies).advise(INTENTS, context=context())

    assert len(completions.heard) == 2
    assert not any(row.error_type for row in given.advice)


def test_a_reply_that_could_not_be_read_is_not_kept(tmp_path):
    advisor_of(lambda *_: "no", replies=KeptReplies(tmp_path)).advise(INTENTS, context=context())

    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    ("spent", "error"),
    [
        (example_call(at=NOW, prompt_tokens=39_000, cost_micros=0), "token_budget_spent"),
        (example_call(at=NOW, book="other", cost_micros=999_900), "cost_budget_spent"),
    ],
)  # fmt: skip
def test_a_spent_budget_asks_nobody(spent, error):
    completions, log = ScriptedCompletions(keeping), Log([spent])
    given = advisor_of(completions, log=log).advise(INTENTS, context=context())

    assert completions.heard == []
    assert {row.error_type for row in given.advice} == {error}
    assert log.calls[-1].attempts == 0


@pytest.mark.parametrize(
    "elsewhere",
    [
        example_call(at=NOW, session=date(2013, 2, 27), prompt_tokens=39_000, cost_micros=0),
        example_call(at=NOW, book="other", prompt_tokens=39_000, cost_micros=0),
        example_call(at=NOW - timedelta(days=1), session=date(2013, 2, 27), cost_micros=999_999),
    ],
)
def test_a_budget_is_of_its_session_and_of_its_day(elsewhere):
    log = Log([elsewhere])
    advisor_of(log=log).advise(INTENTS, context=context())

    assert log.calls[-1].ok


def test_a_session_never_takes_more_tokens_than_its_budget():
    config = replace(SHIPPED, limits=replace(SHIPPED.limits, session_tokens_max=4_000))
    log, many = Log(), [example_intent(f"S{number}") for number in range(40)]
    advisor_of(log=log, config=config).advise(many, context=context())

    assert 0 < sum(call.prompt_tokens + call.completion_tokens for call in log.calls) <= 4_000
    assert log.calls[-1].error_type == "token_budget_spent"


def test_where_calls_cannot_be_counted_none_is_made():
    class Broken(Log):
        def calls_of(self, **_):
            raise JournalUnavailable("locked")

        def record(self, call):
            raise JournalUnavailable("locked")

    completions = ScriptedCompletions(keeping)
    given = advisor_of(completions, log=Broken()).advise(INTENTS, context=context())

    assert completions.heard == []
    assert {row.error_type for row in given.advice} == {"call_log_unreadable"}


# -------------------------------------------------------------------------------- the journal


def test_calls_are_kept_in_the_journal_as_they_were(database):
    calls = [
        example_call(),
        example_call(call_id="call-2", book="other", purpose=Purpose.SMOKE),
        example_call(
            call_id="call-3", session=date(2013, 3, 1), at=NOW, ok=False, error_type="circuit_open",
            attempts=0, prompt_tokens=0, completion_tokens=0, breaker=BreakerReason.CIRCUIT_OPEN,
            tier=Tier.LARGE,
        ),
    ]  # fmt: skip
    with SqlJournal(database.url) as journal:
        log = JournalCallLog(journal)
        for call in calls:
            log.record(call)

        assert log.calls_of() == calls
        assert log.calls_of(book="us_five") == [calls[0], calls[2]]
        assert log.calls_of(session=SESSION) == calls[:2]
        assert log.calls_of(since=NOW) == [calls[2]]
    assert JournalReader(database.url).advisor_calls(last=2) == calls[1:]


# -------------------------------------------------------------------------------- side by side


def test_two_prompts_are_compared_on_the_same_sessions_with_the_same_figures():
    second = replace(
        SHIPPED, template=replace(SHIPPED.template, version="2", text=SHIPPED.template.text + "Be careful.\n")
    )

    def script(prompt, model):
        verdict = "veto" if "Be careful." in prompt.user else "keep"
        if "KO" in prompt.asked and verdict == "veto":
            return "no"
        return reply(*(opinion(name, verdict) for name in prompt.asked))

    days = [date(2013, 2, 27), date(2013, 2, 28)]
    sessions = [
        Asked(
            intents=[example_intent(symbol, session=day) for symbol in ("AAPL", "KO")[: 1 + number]],
            context=replace(context(Ladder.SHADOW), session=day),
        )
        for number, day in enumerate(days)
    ]
    log, completions = Log(), ScriptedCompletions(script)
    first, other = compare([SHIPPED, second], sessions, completions, log=log, clock=lambda: NOW)

    assert (first.prompt, first.sessions, first.intents) == ("advice 1", 2, 3)
    assert (first.verdicts, first.no_advice, first.agreeing) == ({"keep": 3}, {}, 1.0)
    # The small model would veto AAPL, so the large one is asked too; on the other session it says nothing.
    assert (other.verdicts, other.no_advice, other.agreeing) == ({"veto": 1}, {"reply_no_object": 2}, 0.0)
    assert (first.spent.sent, first.spent.errors) == (2, 0)
    assert (other.spent.sent, other.spent.errors) == (3, 1)
    assert first.prompt_sha != other.prompt_sha
    assert {call.purpose for call in log.calls} == {Purpose.COMPARE}


def test_without_sessions_there_is_nothing_to_agree_on():
    (found,) = compare([SHIPPED], [], ScriptedCompletions(keeping), log=Log(), clock=lambda: NOW)

    assert (found.intents, found.agreeing, found.budget.error_rate) == (0, None, None)


def test_a_breaker_opens_over_http_and_the_next_question_stays_here(tmp_path):
    with (
        SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal,
        asking(lambda _: RESET, breakers=JournalBreakers(journal)) as (advisor, heard, log, _),
    ):
        for _ in range(3):
            advisor.advise(INTENTS, context=context())
        state = JournalBreakers(journal).breaker("advisor.openrouter").state

    assert state is BreakerState.OPEN
    assert len(heard) == 4
    assert [call.error_type for call in log.calls][2] == "circuit_open"
    assert [(call.attempts, call.breaker) for call in log.calls][1:] == [
        (2, BreakerReason.ALLOWED), (0, BreakerReason.CIRCUIT_OPEN),
    ]  # fmt: skip
