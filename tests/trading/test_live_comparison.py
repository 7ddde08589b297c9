"""A replay beside what was decided live: each intent counts once, and the first that parts is named."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.decisions import DecisionRow, Outcome
from trading.live_comparison import DecidedLive, compared_with_live
from trading.replayed import COLUMNS, Replayed, table_of
from trading.testing import example_intent
from trading.values import IntentId, Side

FIRST, SECOND, THIRD = date(2013, 2, 26), date(2013, 2, 27), date(2013, 2, 28)
EQUITY = {FIRST: 1_000, SECOND: 1_100, THIRD: 1_200}


def wish(symbol, *, session=SECOND, side=Side.BUY, quantity=10, price=100, outcome=Outcome.APPROVED):
    return example_intent(symbol, side=side, quantity=quantity, price_micros=price, session=session), outcome


def live_of(session, wishes, *, equity=None):
    rows = tuple(
        DecisionRow(
            session,
            intent.symbol,
            intent.side,
            outcome,
            "",
            intent.quantity,
            intent.quantity,
            intent.price_micros,
            IntentId("int"),
            intent.intent_key,
            *("",) * 3,
            datetime(2013, 2, 28, 21, tzinfo=UTC),
            *("",) * 3,
        )
        for intent, outcome in wishes
    )
    return DecidedLive(session, tuple(intent for intent, _ in wishes), rows, equity)


def replayed_of(wishes, *, is_light=False):
    """Give a replay of three sessions with intents in some of them."""
    intents = [
        (
            intent.session,
            intent.intent_key,
            intent.symbol,
            intent.strategy,
            1 if intent.side is Side.BUY else -1,
            intent.quantity,
            intent.price_micros,
            outcome.value,
        )
        for intent, outcome in wishes
    ]
    sessions = [
        (day, equity, *(0,) * 3, sum(row[0] == day for row in intents), *(0,) * 6)
        for day, equity in EQUITY.items()
    ]
    rows = {"sessions": sessions, "intents": [] if is_light else intents}
    return Replayed(
        book="us_five",
        currency="USD",
        opening_micros=1_000,
        tables={name: table_of(name, rows.get(name, [])) for name in COLUMNS},
    )


def counts(found):
    return found.same, found.differing, found.live_only, found.replayed_only


def test_the_same_intents_are_the_same_whatever_people_and_advice_made_of_them():
    wishes = [wish("AAPL"), wish("IBM", side=Side.SELL)]
    waiting = [(intent, Outcome.PENDING_APPROVAL) for intent, _ in wishes]
    found = compared_with_live(replayed_of(wishes), [live_of(SECOND, waiting, equity=1_050)])

    assert counts(found) == (2, 0, 0, 0)
    assert (found.sessions, found.first) == (1, None)
    assert (found.last_session, found.live_equity_micros, found.replayed_equity_micros) == (
        SECOND,
        1_050,
        1_100,
    )


@pytest.mark.parametrize(
    ("changed", "column", "live", "replayed"),
    [
        ({"quantity": 11}, "quantity", "10", "11"),
        ({"price": 99}, "price_micros", "100", "99"),
        ({"side": Side.SELL}, "side", "BUY", "SELL"),
        ({"outcome": Outcome.BLOCKED}, "blocked", "False", "True"),
    ],
)
def test_what_parts_is_named_by_session_symbol_and_column(changed, column, live, replayed):
    decided = [wish("AAPL"), wish("IBM")]
    found = compared_with_live(
        replayed_of([wish("AAPL"), wish("IBM", **changed)]), [live_of(SECOND, decided)]
    )

    assert counts(found) == (1, 1, 0, 0)
    assert (found.first.key, found.first.column) == ("2013-02-27 IBM council", column)
    assert (found.first.live, found.first.replayed) == (live, replayed)


def test_what_one_of_them_alone_wanted_is_counted_apart_and_the_earliest_comes_first():
    replayed = replayed_of([wish("AAPL", session=SECOND), wish("IBM", session=THIRD)])
    live = [live_of(SECOND, [wish("MSFT", session=SECOND)]), live_of(THIRD, [])]
    found = compared_with_live(replayed, live)

    assert counts(found) == (0, 0, 1, 2)
    assert found.first.key == "2013-02-27 MSFT council"
    assert found.first.replayed == "no such row"


def test_sessions_that_only_one_of_them_has_are_not_compared():
    replayed = replayed_of([wish("AAPL", session=FIRST)])
    later = live_of(date(2013, 3, 1), [wish("AAPL", session=date(2013, 3, 1))], equity=7)
    found = compared_with_live(replayed, [later])

    assert (found.sessions, counts(found)) == (0, (0, 0, 0, 0))
    assert (found.last_session, found.live_equity_micros) == (None, None)


def test_a_light_replay_has_no_intents_to_compare_and_says_so():
    assert compared_with_live(replayed_of([wish("AAPL")], is_light=True), []) is None
    assert compared_with_live(replayed_of([], is_light=True), []) is not None


SOME = st.dictionaries(st.sampled_from(["AAPL", "IBM", "MSFT", "GOOG"]), st.integers(1, 3))


@given(SOME, SOME)
def test_every_intent_of_either_is_counted_once(live, replayed):
    found = compared_with_live(
        replayed_of([wish(symbol, quantity=quantity) for symbol, quantity in replayed.items()]),
        [live_of(SECOND, [wish(symbol, quantity=quantity) for symbol, quantity in live.items()])],
    )

    both = live.keys() & replayed.keys()
    same = sum(live[symbol] == replayed[symbol] for symbol in both)
    assert counts(found) == (
        same,
        len(both) - same,
        len(live.keys() - both),
        len(replayed.keys() - both),
    )
