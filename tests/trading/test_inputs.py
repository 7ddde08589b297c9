"""Inputs as versioned records: what holds its contract is read, all else is refused under one code."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import BrokerUnavailable, LakeError
from trading.inputs import (
    CONTRACTS,
    ORIGINS,
    Ask,
    Contract,
    ContractViolation,
    Field,
    InputSource,
    InputStatus,
    Kind,
    Origin,
    envelope_of,
    hydrated,
    open_orders_of,
    orders_refused,
    quotes_refused,
    record_of,
    statuses_refused,
)

FROZEN = json.loads((Path(__file__).parents[2] / "config" / "input_contracts.json").read_text("utf-8"))
SESSION = date(2013, 3, 1)
BEFORE = date(2013, 2, 28)
NOW = datetime(2013, 3, 1, 14, 0, tzinfo=UTC)
QUOTE, ORDERS, STATUS = InputSource.MARKET_QUOTE, InputSource.ACCOUNT_ORDERS, InputSource.ORDER_STATUS
OTHER_SHAPES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers())
)


def example(source: InputSource, **changes):
    return {**FROZEN[f"{source}.v1"]["example"], **changes}


def ask(origin: Origin, *payloads):
    return Ask(origin, lambda: payloads)


class Unreachable(BrokerUnavailable):
    """Be what a transport raises: it has a word for what went wrong."""

    word = "time_out"


def fails(origin: Origin, error: Exception):
    def question():
        raise error

    return Ask(origin, question)


# ------------------------------------------------------------------------------------------- contracts


def test_the_published_contracts_are_those_of_the_frozen_file():
    published = {name: entry["fields"] for name, entry in FROZEN.items()}

    assert {name: fields for c in CONTRACTS.values() for name, fields in c.schema().items()} == published


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_every_version_ever_published_is_still_read(name):
    source = InputSource(name.rpartition(".v")[0])

    assert record_of(source, FROZEN[name]["example"]) is not None


@pytest.mark.parametrize("source", list(InputSource))
def test_a_record_goes_out_as_it_came_in(source):
    payload = example(source)

    assert CONTRACTS[source].payload_of(CONTRACTS[source].values_of(payload)) == payload


@pytest.mark.parametrize("source", list(InputSource))
def test_a_missing_field_and_an_unknown_one_are_refused(source):
    payload = example(source)
    for name in payload:
        with pytest.raises(ContractViolation) as refused:
            record_of(source, {key: value for key, value in payload.items() if key != name})
        assert refused.value.code == f"{source}:contract_violation"
    with pytest.raises(ContractViolation, match="no such field"):
        record_of(source, {**payload, "colour": "red"})


@pytest.mark.parametrize("payload", [None, [], "AAPL", 7, {}, {"schema_version": "market.quote.v9"}])
def test_another_shape_is_refused_under_the_sources_code(payload):
    with pytest.raises(ContractViolation, match=r"^market\.quote:contract_violation: "):
        record_of(QUOTE, payload)


@given(data=st.data())
def test_no_value_of_another_kind_gets_through(data):
    source = data.draw(st.sampled_from(list(InputSource)))
    fields = {field.name: field for field in CONTRACTS[source].versions[-1]}
    name = data.draw(st.sampled_from(sorted(fields)))
    value = data.draw(OTHER_SHAPES)
    try:
        found = CONTRACTS[source].values_of({**example(source), name: value})[name]
    except ContractViolation:
        return

    field = fields[name]
    if value is None:
        assert field.is_optional
    elif field.kind in {Kind.COUNT, Kind.MICROS}:
        assert type(value) is int
        assert found == value >= (1 if field.kind is Kind.MICROS else 0)
    elif field.kind is Kind.FLAG:
        assert value is found
    else:
        assert isinstance(value, str)
        assert not field.choices or value in field.choices


@pytest.mark.parametrize(
    ("source", "changes", "told"),
    [
        (QUOTE, {"bid_micros": 2, "ask_micros": 1}, "bid 2 is above ask 1"),
        (QUOTE, {"fetched_at": "2013-02-28T21:00:00"}, "an instant with its offset"),
        (QUOTE, {"session": "20130228"}, "a date like"),
        (QUOTE, {"open_micros": True}, "micro-units above 0"),
        (ORDERS, {"filled_quantity": 101}, "filled 101 of 100"),
        (ORDERS, {"side": "buy"}, "one of BUY, SELL"),
        (STATUS, {"terminal": 1}, "true or false"),
    ],
)
def test_what_cannot_be_is_refused_though_its_shape_is_right(source, changes, told):
    with pytest.raises(ContractViolation, match=told):
        record_of(source, example(source, **changes))


def test_a_bar_that_a_person_released_is_an_input_whatever_its_high_says():
    released = record_of(QUOTE, example(QUOTE, high_micros=1))

    assert released.high_micros == 1


def test_an_earlier_version_is_read_as_the_latest():
    named = Contract(
        source="market.quote",
        versions=(
            (Field("px", Kind.MICROS),),
            (Field("price_micros", Kind.MICROS), Field("bid", Kind.MICROS, is_optional=True)),
        ),
        upgrades=(lambda fields: {"price_micros": fields["px"], "bid": None},),
    )

    assert named.values_of({"schema_version": "market.quote.v1", "px": 5}) == {"price_micros": 5, "bid": None}
    assert named.payload_of({"price_micros": 5, "bid": None})["schema_version"] == "market.quote.v2"
    with pytest.raises(ContractViolation, match="price_micros is missing"):
        named.values_of({"schema_version": "market.quote.v2", "px": 5})


def test_a_version_that_nothing_could_read_is_no_contract():
    with pytest.raises(ValueError, match="2 versions and 0 upgrades"):
        Contract(source="market.quote", versions=((), ()))


# ------------------------------------------------------------------------------------------- hydration


def test_the_first_origin_that_answers_is_used_and_the_others_are_not_asked():
    row = hydrated(
        ORDERS,
        [ask(Origin.BROKER, example(ORDERS)), fails(Origin.JOURNAL, AssertionError("asked"))],
        session=SESSION,
        now=NOW,
    )

    assert (row.status, row.used, row.fallback_reason) == (InputStatus.READY, "broker", "")
    assert (row.attempted, row.ready, row.errors, row.records) == (1, 1, 0, 1)


def test_a_time_out_falls_back_with_its_reason_and_the_next_session_recovers():
    timed_out = fails(Origin.BROKER, Unreachable("no answer in 5 s"))
    answers = ask(Origin.BROKER, example(ORDERS))
    journal = ask(Origin.JOURNAL, example(ORDERS, broker_order_id=""))
    first = hydrated(ORDERS, [timed_out, journal], session=BEFORE, now=NOW)
    second = hydrated(ORDERS, [answers, journal], session=SESSION, now=NOW)

    assert (first.status, first.used) == (InputStatus.READY, "journal")
    assert first.fallback_reason == "account.orders:read_broker:time_out"
    assert (first.attempted, first.ready, first.errors) == (2, 1, 1)
    assert envelope_of([first]).fallbacks == (
        "account.orders: broker to journal, account.orders:read_broker:time_out",
    )
    assert (second.used, second.fallback_reason) == ("broker", "")


def test_the_word_of_a_cause_is_the_reason():
    error = BrokerUnavailable("orders could not be read")
    error.__cause__ = Unreachable("no answer")

    row = hydrated(ORDERS, [fails(Origin.BROKER, error)], session=SESSION, now=NOW)

    assert row.error_codes == "account.orders:read_broker:time_out"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BrokerUnavailable("down"), InputStatus.ASK, "account.orders:read_broker:broker_unavailable"),
        (LakeError("corrupt"), InputStatus.ERROR, "account.orders:read_broker:lake_error"),
    ],
)
def test_what_may_still_come_is_asked_for_again_and_the_rest_is_an_error(error, status, code):
    row = hydrated(ORDERS, [fails(Origin.BROKER, error)], session=SESSION, now=NOW)
    envelope = envelope_of([row])

    assert (row.status, row.used, row.records) == (status, "", 0)
    assert (envelope.status, envelope.errors, envelope.present) == (status, (code,), ())
    assert code in envelope.reason


def test_one_bad_record_spoils_a_read():
    row = hydrated(
        ORDERS,
        [ask(Origin.BROKER, example(ORDERS), example(ORDERS, client_order_id=7))],
        session=SESSION,
        now=NOW,
    )

    assert (row.status, row.records) == (InputStatus.ERROR, 0)
    assert row.error_codes == "account.orders:contract_violation"


def test_an_order_listed_twice_is_no_list():
    row = hydrated(
        ORDERS,
        [ask(Origin.BROKER, example(ORDERS), example(ORDERS))],
        session=SESSION,
        now=NOW,
        refuses=orders_refused,
    )

    assert row.error_codes == "account.orders:contract_violation"
    assert "listed twice" in row.remark


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"session": "2013-02-27"}, "market.quote:read:stale", InputStatus.ASK),
        ({"session": "2013-03-01"}, "market.quote:read:look_ahead", InputStatus.ERROR),
        (
            {"fetched_at": "2013-03-01T14:30:00.000001+00:00"},
            "market.quote:read:look_ahead",
            InputStatus.ERROR,
        ),
    ],
)
def test_yesterdays_and_tomorrows_quotes_are_no_input(changes, code, status):
    opens_at = datetime(2013, 3, 1, 14, 30, tzinfo=UTC)
    row = hydrated(
        QUOTE,
        [ask(Origin.LAKE, example(QUOTE), example(QUOTE, symbol="IBM", **changes))],
        session=SESSION,
        now=NOW,
        refuses=lambda records: quotes_refused(records, expected_on=BEFORE, known_by=opens_at),
        keeps=False,
    )

    assert (row.error_codes, row.status) == (code, status)


def test_no_quote_at_all_is_missing_and_never_an_empty_market():
    row = hydrated(
        QUOTE,
        [ask(Origin.LAKE)],
        session=SESSION,
        now=NOW,
        refuses=lambda records: quotes_refused(records, expected_on=BEFORE, known_by=NOW),
    )

    assert (row.status, row.error_codes) == (InputStatus.ASK, "market.quote:read:missing")


def test_no_order_at_all_is_a_flat_account():
    row = hydrated(ORDERS, [ask(Origin.BROKER)], session=SESSION, now=NOW, refuses=orders_refused)

    assert (row.status, row.records) == (InputStatus.READY, 0)


@pytest.mark.parametrize("day", [SESSION, SESSION + timedelta(days=3)])
def test_the_status_of_an_order_of_the_session_itself_is_look_ahead(day):
    row = hydrated(
        STATUS,
        [ask(Origin.LAKE, example(STATUS, session=day.isoformat()))],
        session=SESSION,
        now=NOW,
        refuses=lambda records: statuses_refused(records, before=SESSION),
    )

    assert row.error_codes == "order.status:read:look_ahead"
    assert row.status is InputStatus.ERROR


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        ("prepared", True),
        ("working", True),
        ("partial_fill", True),
        ("unknown", True),
        ("filled", False),
        ("cancelled", False),
        ("rejected", False),
    ],
)
def test_an_order_that_may_still_do_something_is_open(status, is_open):
    row = hydrated(ORDERS, [ask(Origin.BROKER, example(ORDERS, status=status))], session=SESSION, now=NOW)

    assert envelope_of([row]).open_orders == ({"AAPL"} if is_open else frozenset())


def test_an_intent_of_an_earlier_session_that_has_not_ended_counts_as_an_open_order():
    rows = [
        hydrated(
            STATUS,
            [ask(Origin.LAKE, example(STATUS), example(STATUS, symbol="IBM", terminal=False))],
            session=SESSION,
            now=NOW,
        )
    ]

    assert open_orders_of(rows) == {"IBM"}


def test_an_envelope_is_ready_only_where_every_source_is():
    ready = hydrated(STATUS, [ask(Origin.LAKE)], session=SESSION, now=NOW)
    asks = hydrated(ORDERS, [fails(Origin.BROKER, BrokerUnavailable("down"))], session=SESSION, now=NOW)
    final = hydrated(QUOTE, [fails(Origin.LAKE, LakeError("corrupt"))], session=SESSION, now=NOW)

    assert envelope_of([ready]).status is InputStatus.READY
    assert envelope_of([ready, asks]).status is InputStatus.ASK
    assert envelope_of([ready, asks, final]).status is InputStatus.ERROR
    assert envelope_of([ready, asks]).used == ("order.status=lake",)


def test_a_session_from_before_inputs_were_kept_is_held_up_by_nothing():
    envelope = envelope_of([])

    assert (envelope.status, envelope.open_orders) == (InputStatus.READY, frozenset())


def test_every_source_has_an_origin_and_a_contract():
    assert set(ORIGINS) == set(CONTRACTS) == set(InputSource)
    assert all(ORIGINS.values())
