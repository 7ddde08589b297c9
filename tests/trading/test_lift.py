"""Lift: what advice was worth against its twins, and an honest word where nobody can know."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from trading.actions import ActionKind, CorporateAction
from trading.advice import AdviceVerdict, Ladder, no_advice
from trading.advice_ladder import LiftStanding
from trading.decisions import decide, decision_rows
from trading.lift import (
    CHANGES_MIN,
    SESSIONS_MIN,
    Twin,
    lift_of,
    marked,
    twins_of,
)
from trading.positions import Book, Position
from trading.quotes import Quote
from trading.testing import example_intent, example_limits, example_verdicts
from trading.values import IntentKey, Side, Symbol

FIRST = date(2024, 1, 1)
SESSIONS = tuple(FIRST + timedelta(days=number) for number in range(60))
MICROS = 1_000_000


def quote(session, symbol="AAPL", *, opening=100, close=100):
    return Quote(
        Symbol(symbol),
        session,
        opening * MICROS,
        max(opening, close) * MICROS,
        min(opening, close) * MICROS,
        close * MICROS,
        1_000,
        "",
        "",
        datetime(2024, 1, 1, tzinfo=UTC),
    )


def twin(number=0, *, quantity=0, side=Side.BUY, entry=100, mark=90, symbol="AAPL"):
    return Twin(
        session=SESSIONS[number],
        symbol=Symbol(symbol),
        intent_key=IntentKey(f"key-{number}-{symbol}"),
        side=side,
        verdict=AdviceVerdict.VETO,
        unadvised_quantity=10,
        quantity=quantity,
        traded_quantity=10,
        entry_micros=None if entry is None else entry * MICROS,
        mark_micros=None if mark is None else mark * MICROS,
        marked_on=SESSIONS[number + 5],
    )


# ------------------------------------------------------------------- what a twin is worth


@pytest.mark.parametrize(
    ("side", "quantity", "mark", "gain"),
    [
        (Side.BUY, 0, 90, 100),  # ten shares not bought before they fell by ten
        (Side.BUY, 5, 90, 50),
        (Side.BUY, 10, 90, 0),
        (Side.BUY, 0, 110, -100),
        (Side.SELL, 5, 90, -50),
        (Side.SELL, 10, 90, 0),
    ],
)
def test_advice_gains_what_its_twin_would_have_lost(side, quantity, mark, gain):
    assert twin(quantity=quantity, side=side, mark=mark).gain_micros == gain * MICROS


def test_without_a_later_price_nothing_is_known():
    assert twin(mark=None).gain_micros is None
    assert twin(entry=None).gain_micros is None


INTENTS = (
    example_intent("HELD", side=Side.SELL, quantity=30),
    example_intent("SMALL", quantity=7),
    example_intent("LARGE", quantity=90),
    example_intent("HUGE", quantity=2_000),  # over the limit: blocked
)
LIMITS = example_limits(
    order_notional_micros_max=100_000_000_000,
    symbol_weight_bps_max=10_000,
    auto_approve_notional_micros=5_000_000_000,
    cost_bps=20,
    quote_age_s_max=300,
    stale_ratio_bps_max=1_000,
    usual_order_notional_micros=100_000_000_000,
)


def decided(advice, ladder):
    book = Book(
        currency="USD",
        cash_micros=10**11,
        deposits_micros=10**11,
        positions=(Position(Symbol("HELD"), 30, 0),),
    )
    return decision_rows(
        decide(
            INTENTS,
            example_verdicts(INTENTS, book=book, limits=LIMITS),
            advice,
            account="SIM",
            lane="simulated",
            ladder=ladder,
            limits=LIMITS,
            not_after=datetime(2013, 2, 28, 21, tzinfo=UTC),
            inputs_sha="inputs",
        )
    )


@pytest.mark.parametrize("ladder", Ladder)
def test_every_advised_decision_has_its_twin_whatever_the_step(ladder):
    advice = [
        no_advice(intent, source="m")._replace(
            verdict=AdviceVerdict.SHRINK, factor_bps=5_000, confidence_bps=9_000, ladder=ladder
        )
        for intent in INTENTS[:3]
    ]

    held, small, large = twins_of(INTENTS, advice, decided(advice, ladder))

    assert (held.unadvised_quantity, held.quantity) == (30, 30)  # a sale is never touched
    assert (small.unadvised_quantity, small.quantity) == (7, 3)
    assert (large.unadvised_quantity, large.quantity) == (90, 45)
    shrinks = ladder is Ladder.VETO_AND_SHRINK
    assert large.traded_quantity == (45 if shrinks else 90)


def test_what_the_guards_blocked_was_never_advised_and_has_no_twin():
    advice = [no_advice(INTENTS[3], source="m")]

    assert twins_of(INTENTS, advice, decided(advice, Ladder.OFF)) == ()


# ------------------------------------------------------------------- marks


def bare(number=0, symbol="AAPL"):
    return twin(number, symbol=symbol)._replace(entry_micros=None, mark_micros=None, marked_on=None)


def test_a_twin_is_bought_at_its_open_and_marked_at_a_close_days_later():
    quotes = {day: {Symbol("AAPL"): quote(day, opening=50, close=60 + at)} for at, day in enumerate(SESSIONS)}

    (found,) = marked([bare(2)], sessions=SESSIONS, quotes=quotes, actions=(), horizon_sessions=5)

    assert (found.entry_micros, found.mark_micros, found.marked_on) == (
        50 * MICROS,
        67 * MICROS,
        SESSIONS[7],
    )


def test_a_session_whose_days_are_not_over_has_no_mark_yet():
    quotes = {day: {Symbol("AAPL"): quote(day)} for day in SESSIONS[:6]}

    first, second = marked(
        [bare(0), bare(1)], sessions=SESSIONS, quotes=quotes, actions=(), horizon_sessions=5
    )

    assert first.mark_micros is not None
    assert second.mark_micros is None


def test_a_split_on_the_way_is_no_loss_and_a_dividend_is_a_gain():
    actions = (
        CorporateAction(
            effective_on=SESSIONS[1], symbol=Symbol("AAPL"), kind=ActionKind.SPLIT, numerator=2, denominator=1
        ),
        CorporateAction(
            effective_on=SESSIONS[2],
            symbol=Symbol("AAPL"),
            kind=ActionKind.DIVIDEND,
            dividend_micros=1 * MICROS,
        ),
    )
    closes = {day: 100 if at == 0 else 50 for at, day in enumerate(SESSIONS)}
    quotes = {day: {Symbol("AAPL"): quote(day, close=closes[day])} for day in SESSIONS}

    (found,) = marked([bare()], sessions=SESSIONS, quotes=quotes, actions=actions, horizon_sessions=5)

    assert found.mark_micros == 102 * MICROS


def test_what_was_delisted_is_worth_what_was_paid():
    gone = CorporateAction(
        effective_on=SESSIONS[3], symbol=Symbol("AAPL"), kind=ActionKind.DELISTING, dividend_micros=7 * MICROS
    )
    quotes = {day: {Symbol("AAPL"): quote(day)} if at < 3 else {} for at, day in enumerate(SESSIONS)}

    (found,) = marked([bare()], sessions=SESSIONS, quotes=quotes, actions=(gone,), horizon_sessions=5)

    assert (found.mark_micros, found.marked_on) == (7 * MICROS, SESSIONS[3])


def test_a_symbol_without_a_bar_on_the_last_day_is_worth_its_last_close():
    quotes = {
        day: {Symbol("AAPL"): quote(day, close=80)} if at < 4 else {} for at, day in enumerate(SESSIONS)
    }

    (found,) = marked([bare()], sessions=SESSIONS, quotes=quotes, actions=(), horizon_sessions=5)

    assert (found.mark_micros, found.marked_on) == (80 * MICROS, SESSIONS[3])


# ------------------------------------------------------------------- the report


def report(twins, trained_until=FIRST - timedelta(days=1)):
    return lift_of(twins, book="us_five", trained_until=trained_until)


def month(marks):
    return [twin(number, mark=mark) for number, mark in enumerate(marks)]


def test_steady_gains_are_told_with_their_interval():
    found = report(month([90, 95] * 15))

    assert found.standing is LiftStanding.GAINS
    assert found.mean_bps == pytest.approx(750)
    assert 500 <= found.interval.low <= 750 <= found.interval.high <= 1_000
    assert found.gain_micros == sum([100, 50] * 15) * MICROS
    assert len(found.twins) == 30


def test_steady_losses_are_told_as_such():
    assert report(month([110, 105] * 15)).standing is LiftStanding.LOSES


def test_chance_is_told_as_undecided():
    marks = 100 + np.random.Generator(np.random.PCG64(7)).integers(-9, 10, 50)
    marks = [int(mark) for mark in marks - round(float(marks.mean()) - 100)]

    assert report(month(marks)).standing is LiftStanding.UNDECIDED


def test_the_same_twins_in_any_order_give_the_same_report():
    twins = month([90, 95, 103] * 10)

    assert report(twins) == report(list(reversed(twins)))


def test_only_sessions_after_the_training_cut_off_count():
    found = report(month([90] * 40), trained_until=SESSIONS[9])

    assert len(found.counted) == 30
    assert {row.left_out for row in found.sessions[:10]} == {"before_cut_off"}


@pytest.mark.parametrize(
    ("twins", "trained_until", "why"),
    [
        ([], FIRST, "no decision was advised yet"),
        (month([90] * 40), None, "training cut-off is not stated"),
        (month([90] * 40), SESSIONS[-1], f"0 sessions after {SESSIONS[-1]} are marked"),
        (month([90] * (SESSIONS_MIN - 1)), date(2023, 1, 1), f"needed are {SESSIONS_MIN}"),
        (month([None] * 40), date(2023, 1, 1), "0 sessions after 2023-01-01 are marked"),
        (
            [twin(number, quantity=10) for number in range(40)],
            date(2023, 1, 1),
            f"changes 0 decisions of them, needed are {CHANGES_MIN}",
        ),
    ],
)
def test_where_too_little_is_known_there_is_no_number_but_what_lacks(twins, trained_until, why):
    found = report(twins, trained_until)

    assert found.standing is LiftStanding.NOT_ENOUGH_EVIDENCE
    assert (found.mean_bps, found.interval) == (None, None)
    assert why in found.why


def test_a_session_with_one_twin_unmarked_does_not_count_half():
    (row,) = report([twin(), twin(symbol="IBM", mark=None)]).sessions

    assert (row.twins, row.gain_micros, row.left_out) == (2, None, "not_marked_yet")


@pytest.mark.parametrize(("horizon", "counts"), [(5, True), (10, True), (11, False), (250, False)])
def test_a_horizon_that_the_sessions_do_not_fill_four_times_gives_no_interval(horizon, counts):
    found = lift_of(
        month([90, 95] * 20),
        book="us_five",
        trained_until=FIRST - timedelta(days=1),
        horizon_sessions=horizon,
    )

    assert (found.interval is not None) is counts
    assert counts or f"needed are {4 * horizon}" in found.why


def test_what_others_advised_is_shown_and_does_not_count():
    twins = [one._replace(is_of_lock=at >= 10) for at, one in enumerate(month([90] * 40))]

    found = report(twins)

    assert (len(found.sessions), len(found.counted)) == (40, 30)
    assert {row.left_out for row in found.sessions[:10]} == {"other_models_or_prompt"}
