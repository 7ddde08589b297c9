"""Routes: which adapter an order goes to, told from reviewed lines and from what ails an adapter now."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.brokers import DedupScope, Holdings
from trading.routing import (
    ANY,
    UNRECORDED,
    NoRoute,
    RouteChoice,
    RouteLine,
    RouteTable,
    choose,
    together,
    weakest,
)
from trading.testing import REMEMBERS
from trading.values import Symbol

ORDER = {"account": "A", "market": "XNYS", "strategy": "council"}
NAMES = ("first", "second", "third")


def line(account=ANY, market=ANY, strategy=ANY, adapters=("paper",)) -> RouteLine:
    return RouteLine(account=account, market=market, strategy=strategy, adapters=adapters, reason="reviewed")


def table(*lines: RouteLine) -> RouteTable:
    return RouteTable(lines=lines)


def test_the_line_that_names_most_is_the_one_whatever_the_order_in_the_file():
    everything, account = line(adapters=("a",)), line("A", adapters=("b",))
    strategy = line("A", strategy="council", adapters=("c",))

    for lines in ((everything, account, strategy), (strategy, account, everything)):
        found = table(*lines).line_for(**ORDER)
        assert found is strategy
    assert table(everything, strategy, account).line_for(**{**ORDER, "strategy": "other"}) is account
    assert table(everything, strategy, account).line_for(**{**ORDER, "account": "B"}) is everything


def test_an_order_that_no_line_is_for_has_no_route():
    assert table(line("B")).line_for(**ORDER) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (line("A"), line("A")),
        (line("A"), line(market="XNYS")),
        (line("A", market="XNYS"), line("A", strategy="council")),
        (line(), line()),
    ],
)
def test_two_lines_of_which_neither_is_more_specific_for_some_order_are_refused(one, other):
    with pytest.raises(ValueError, match="neither is more specific"):
        table(one, other)


def test_equally_specific_lines_that_no_order_could_meet_both_stand_side_by_side():
    assert table(line("A"), line("B")).line_for(**ORDER) == line("A")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"adapters": ()}, "names no adapter"),
        ({"adapters": ("a", "a")}, "twice"),
        ({"reason": " "}, "no reason"),
    ],
)
def test_a_line_without_adapter_or_reason_is_none(changes, why):
    with pytest.raises(ValueError, match=why):
        replace(line(), **changes)


def test_the_expected_adapter_takes_the_order_where_nothing_ails_it():
    choice = choose(NAMES, {"second": "circuit_open"})

    assert choice == RouteChoice("first", "first", 0, "")
    assert choice.fallback == ""


def test_a_fallback_says_what_was_passed_over_and_why():
    choice = choose(NAMES, {"first": "circuit_open", "second": "timeout"})

    assert choice == RouteChoice("first", "third", 2, "first_circuit_open, second_timeout")
    assert choice.fallback == "fallback_from_first_to_third"


def test_where_everything_ails_nothing_is_sent_and_the_reason_names_all():
    told = choose(NAMES[:2], {"first": "circuit_open", "second": "timeout"})

    assert told == NoRoute("no_route: first_circuit_open, second_timeout")


def test_a_route_without_fallback_has_none():
    assert choose(("only",), {"only": "circuit_open"}) == NoRoute("no_route: only_circuit_open")


def test_a_route_that_was_never_stored_is_not_recorded():
    assert not UNRECORDED.is_recorded
    assert RouteChoice("a", "a").is_recorded


@given(
    adapters=st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    ailing=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(("circuit_open", "timeout"))),
)
def test_a_choice_is_the_first_that_nothing_ails_and_counts_those_before_it(adapters, ailing):
    told = choose(adapters, ailing)

    well = [name for name in adapters if name not in ailing]
    if not well:
        assert isinstance(told, NoRoute)
        return
    assert isinstance(told, RouteChoice)
    assert (told.expected, told.actual) == (adapters[0], well[0])
    assert told.fallback_count == adapters.index(well[0])
    assert (told.fallback_count == 0) == (told.fallback_reason == "") == (told.fallback == "")
    assert told == choose(adapters, ailing)


# -------------------------------------------------------------------------------- several at once


SCOPES = tuple(DedupScope)


def test_of_several_adapters_only_what_all_of_them_prove_is_relied_on():
    other = replace(
        REMEMBERS,
        dedup_scope=DedupScope.SESSION,
        is_query_authoritative=False,
        settle_time_s=REMEMBERS.settle_time_s + 60,
        definitive_errors=frozenset({"its_own"}),
        ambiguous_errors=frozenset({"reset"}),
    )

    told = weakest((REMEMBERS, other))

    assert (told.dedup_scope, told.is_query_authoritative) == (DedupScope.SESSION, False)
    assert told.settle_time_s == other.settle_time_s
    assert told.definitive_errors == REMEMBERS.definitive_errors & {"its_own"}
    assert "reset" in told.ambiguous_errors


def test_of_one_adapter_all_that_it_proves_is_relied_on():
    assert weakest((REMEMBERS,)) == REMEMBERS


@pytest.mark.parametrize("one", SCOPES)
@pytest.mark.parametrize("other", SCOPES)
def test_two_scopes_prove_the_narrower_one_or_nothing(one, other):
    told = weakest((replace(REMEMBERS, dedup_scope=one), replace(REMEMBERS, dedup_scope=other))).dedup_scope

    if one is other:
        assert told is one
    elif DedupScope.ALL_TIME in {one, other}:
        assert told in {one, other} - {DedupScope.ALL_TIME}
    else:
        assert told is DedupScope.NONE


def test_what_several_brokers_hold_is_one_account_with_one_deposit():
    here = Holdings(quantities={Symbol("IBM"): 5, Symbol("MSFT"): -3}, cash_micros=900)
    there = Holdings(quantities={Symbol("AAPL"): 1, Symbol("MSFT"): 3}, cash_micros=450)

    told = together([(here, 1_000), (there, 500)], opened_with_micros=1_000)

    assert told == Holdings(quantities={Symbol("AAPL"): 1, Symbol("IBM"): 5}, cash_micros=850)


def test_one_broker_alone_holds_what_it_says():
    holdings = Holdings(quantities={Symbol("IBM"): 5}, cash_micros=900)

    assert together([(holdings, 1_000)], opened_with_micros=1_000) == holdings
