"""A model's text: read exactly as the schema has it or not at all, and never an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trading.advice import AdviceVerdict, Ladder, admitted, no_advice
from trading.advice_replies import (
    NESTING_MAX,
    REPLY_CHARACTERS_MAX,
    REPLY_SCHEMA,
    SCHEMA_VERSION,
    Opinion,
    ReplyError,
    advice_of,
    read_reply,
)
from trading.decisions import Outcome, decide
from trading.positions import Book, Position
from trading.testing import example_intent, example_limits, example_verdicts
from trading.values import IntentKey, Side, Symbol

ASKED = {"AAPL": IntentKey("key-a"), "IBM": IntentKey("key-i")}


def said(symbol="AAPL", **fields):
    return {
        "symbol": symbol,
        "verdict": "shrink",
        "factor": 0.5,
        "confidence": 0.8,
        "rationale": "earnings are near",
        "evidence": ["item-1"],
    } | fields


def reply(*opinions, **fields):
    return {"schema_version": SCHEMA_VERSION, "advice": list(opinions)} | fields


def read(value):
    return read_reply(value if isinstance(value, str) else json.dumps(value), asked=ASKED)


def test_a_reply_as_the_schema_has_it_is_read():
    found = read(reply(said(), said("IBM", verdict="keep", factor=1, confidence=1, evidence=[])))

    assert found.error_type == ""
    assert found.opinions == (
        Opinion(IntentKey("key-a"), AdviceVerdict.SHRINK, 5_000, 8_000, "earnings are near", ("item-1",)),
        Opinion(IntentKey("key-i"), AdviceVerdict.KEEP, 10_000, 10_000, "earnings are near", ()),
    )


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "```json\n{}\n```",
        'Here is my advice:\n\n```\n{}\n```\nIt\'s "final" [1].',
        "] } as asked: {} }}}} ]",
    ],
)
def test_the_object_is_found_in_prose_and_in_code_fences(wrapped):
    text = wrapped.replace("{}", json.dumps(reply(said(rationale='a "{" in \\ words'))), 1)

    assert [opinion.rationale for opinion in read(text).opinions] == ['a "{" in \\ words']


def test_ratios_are_rounded_down_and_read_exactly():
    assert read(reply(said(factor=0.99999, confidence=0.49999))).opinions[0][2:4] == (9_999, 4_999)
    assert read(json.dumps(reply(said())).replace("0.5", "1e-9")).opinions[0].factor_bps == 0


def deep(levels):
    return "{" + '"a":[' * levels + "]" * levels + "}"


WRONG = {
    "": ReplyError.NO_OBJECT,
    "I would buy all of it": ReplyError.NO_OBJECT,
    "[1, 2]": ReplyError.NO_OBJECT,
    '"text"': ReplyError.NO_OBJECT,
    '{"schema_version": "advice.v1", "advice": [': ReplyError.TRUNCATED,
    '{"a": "': ReplyError.TRUNCATED,
    "{} {}": ReplyError.SEVERAL_OBJECTS,
    json.dumps(reply(said())) * 2: ReplyError.SEVERAL_OBJECTS,
    "x" * (REPLY_CHARACTERS_MAX + 1): ReplyError.TOO_LONG,
    "{" * 60_000: ReplyError.TOO_DEEP,
    '{"a":' + "[" * 60_000: ReplyError.TOO_DEEP,
    deep(NESTING_MAX): ReplyError.TOO_DEEP,
    "{'a': 1}": ReplyError.NOT_JSON,
    '{"a" 1}': ReplyError.NOT_JSON,
    "{]": ReplyError.NOT_JSON,
    '{"a": 1, "a": 2}': ReplyError.DUPLICATE_KEY,
    '{"a": NaN}': ReplyError.NOT_FINITE,
    '{"a": -Infinity}': ReplyError.NOT_FINITE,
    '{"a": ' + "9" * 5_000 + "}": ReplyError.HUGE_NUMBER,
    '{"a": 1e9999999999999999999}': ReplyError.HUGE_NUMBER,
    "{}": ReplyError.MISSING_FIELD,
    json.dumps({"schema_version": SCHEMA_VERSION}): ReplyError.MISSING_FIELD,
    json.dumps(reply(schema_version="advice.v2")): ReplyError.SCHEMA_VERSION,
    json.dumps(reply(schema_version=None)): ReplyError.SCHEMA_VERSION,
    json.dumps(reply(order="BUY 100 AAPL")): ReplyError.UNKNOWN_FIELD,
    json.dumps(reply(said(quantity=10))): ReplyError.UNKNOWN_FIELD,
    json.dumps(reply({})): ReplyError.MISSING_FIELD,
    json.dumps(reply(7)): ReplyError.WRONG_TYPE,
    json.dumps(reply(advice={})): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(factor="1"))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(factor=True))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(confidence=None))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(verdict=["veto"]))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(symbol=1))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(evidence="item-1"))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(evidence=[1]))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(rationale=7))): ReplyError.WRONG_TYPE,
    json.dumps(reply(said(factor=1.0001))): ReplyError.OUT_OF_RANGE,
    json.dumps(reply(said(factor=-0.0001))): ReplyError.OUT_OF_RANGE,
    json.dumps(reply(said())).replace("0.5", "1e999999"): ReplyError.OUT_OF_RANGE,
    json.dumps(reply(said(evidence=["x"] * 9))): ReplyError.OUT_OF_RANGE,
    json.dumps(reply(*[said()] * 201)): ReplyError.OUT_OF_RANGE,
    json.dumps(reply(said(verdict="buy"))): ReplyError.UNKNOWN_VERDICT,
    json.dumps(reply(said(verdict="VETO"))): ReplyError.UNKNOWN_VERDICT,
    json.dumps(reply(said("TSLA"))): ReplyError.UNKNOWN_SYMBOL,
    json.dumps(reply(said(), said())): ReplyError.REPEATED_SYMBOL,
    json.dumps(reply(said(rationale="x" * 281))): ReplyError.TEXT_TOO_LONG,
    json.dumps(reply(said(evidence=["x" * 65]))): ReplyError.TEXT_TOO_LONG,
    json.dumps(reply(said(rationale="a\x1b[31mb"))): ReplyError.CONTROL_CHARACTER,
    json.dumps(reply(said(rationale="a\u202eb"))): ReplyError.CONTROL_CHARACTER,
    json.dumps(reply(said(rationale="\ud800"))): ReplyError.CONTROL_CHARACTER,
}


@pytest.mark.parametrize(("text", "error"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_not_just_as_the_schema_has_it_is_no_advice_and_says_why(text, error):
    found = read(text)

    assert (found.opinions, found.error_type) == ((), error)


def test_every_type_of_error_is_shown_here():
    assert set(WRONG.values()) == set(ReplyError)


def test_one_wrong_opinion_makes_the_whole_reply_none():
    assert read(reply(said(), said("IBM", factor=2))).opinions == ()


# ------------------------------------------------------------------- the schema that servers are given


def test_the_schema_that_servers_are_given_names_just_the_fields_that_are_read():
    opinion = REPLY_SCHEMA["properties"]["advice"]["items"]

    assert set(opinion["required"]) == set(opinion["properties"]) == set(said())
    assert opinion["additionalProperties"] is False
    assert set(opinion["properties"]["verdict"]["enum"]) == {verdict.value for verdict in AdviceVerdict}


# ------------------------------------------------------------------- whatever the text: INV17

NOON = datetime(2013, 2, 28, 17, tzinfo=UTC)
LIMITS = example_limits(
    order_notional_micros_max=100_000_000_000,
    symbol_weight_bps_max=10_000,
    auto_approve_notional_micros=5_000_000_000,
    cost_bps=20,
    quote_age_s_max=300,
    stale_ratio_bps_max=1_000,
    usual_order_notional_micros=100_000_000_000,
)
INTENTS = (
    example_intent("HELD", side=Side.SELL, quantity=30),
    example_intent("SMALL", quantity=7),
    example_intent("LARGE", quantity=90),
)
VERDICTS = example_verdicts(
    INTENTS,
    book=Book(
        currency="USD",
        cash_micros=10**11,
        deposits_micros=10**11,
        positions=(Position(Symbol("HELD"), 30, 0),),
    ),
    limits=LIMITS,
)
BY_SYMBOL = {intent.symbol: intent.intent_key for intent in INTENTS}


def decided(advice, ladder):
    return decide(
        INTENTS,
        VERDICTS,
        advice,
        account="SIM",
        lane="simulated",
        ladder=ladder,
        limits=LIMITS,
        not_after=NOON,
        inputs_sha="inputs",
    )


TWIN = decided((), Ladder.OFF)

NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, 1, 0.5, True, None, "1", Decimal("0.3")]).map(
        lambda value: float(value) if isinstance(value, Decimal) else value
    )
)
OPINIONS = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from([*BY_SYMBOL, "TSLA"]),
        "verdict": st.sampled_from([*AdviceVerdict, "buy"]),
        "factor": NUMBERS | st.floats(0, 1),
        "confidence": NUMBERS | st.floats(0, 1),
        "rationale": st.text(max_size=300),
        "evidence": st.lists(st.text(max_size=70), max_size=9) | st.text(max_size=3),
    },
    optional={"quantity": st.integers(), "side": st.just("BUY")},
)
SOUND = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(sorted(BY_SYMBOL)),
        "verdict": st.sampled_from(AdviceVerdict),
        "factor": st.floats(0, 1),
        "confidence": st.floats(0, 1),
        "rationale": st.just("hostile"),
        "evidence": st.just([]),
    }
)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet='{}[]",:\\ntrue0123456789eE.-'),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ).map(json.dumps),
    st.lists(OPINIONS, max_size=3).map(lambda opinions: json.dumps(reply(*opinions))),
    st.lists(SOUND, max_size=3, unique_by=lambda one: one["symbol"]).map(
        lambda opinions: f"Sure:\n```json\n{json.dumps(reply(*opinions))}\n```"
    ),
)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(Ladder))
@example(json.dumps(reply(said("HELD", verdict="veto", factor=0))), Ladder.VETO_AND_SHRINK)
@example(json.dumps(reply(said("SMALL", factor=0.5))), Ladder.VETO_AND_SHRINK)
def test_whatever_a_model_writes_the_orders_are_a_part_of_the_twins_and_sales_are_untouched(text, ladder):
    found = read_reply(text, asked=BY_SYMBOL)

    assert found.error_type in {"", *ReplyError}
    assert not (found.opinions and found.error_type)
    advice = advice_of(found, INTENTS, source="hostile")
    own = decided(admitted(advice, INTENTS, ladder=ladder), ladder)
    for twin, mine in zip(TWIN, own, strict=True):
        assert mine.verdicts_sha == twin.verdicts_sha
        assert mine.unadvised_quantity == twin.quantity
        assert 0 <= mine.quantity <= twin.quantity
        if mine.intent.side is Side.SELL:
            assert mine == twin
        elif mine.outcome is Outcome.APPROVED and mine.quantity == twin.quantity:
            assert twin.outcome is Outcome.APPROVED


def test_a_reply_becomes_one_advice_an_intent_and_what_it_leaves_out_is_not_answered():
    found = read_reply(json.dumps(reply(said("SMALL", verdict="veto", factor=0))), asked=BY_SYMBOL)

    held, small, large = advice_of(found, INTENTS, source="model-1")

    assert (small.verdict, small.factor_bps, small.confidence_bps) == (AdviceVerdict.VETO, 0, 8_000)
    assert (small.source, small.rationale, small.evidence) == ("model-1", "earnings are near", "item-1")
    assert held == no_advice(INTENTS[0], source="model-1", error_type="not_answered")
    assert large.error_type == "not_answered"


def test_of_an_unreadable_reply_each_intent_has_its_error():
    found = read_reply("no", asked=BY_SYMBOL)

    assert {row.error_type for row in advice_of(found, INTENTS, source="m")} == {"reply_no_object"}
