"""The executor's rules: what holds a send, what an absence means, how orders end, what does not agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.brokers import SETTLE_TIME_S_MAX, BrokerFill, Capabilities, DedupScope, Holdings
from trading.decisions import Outcome
from trading.errors import BadInput
from trading.guards import (
    EXECUTION_DISABLED,
    GUARDS,
    INSUFFICIENT_BUYING_POWER,
    MISSING_PRICE,
    NO_LIMIT,
    OPPOSITE_SIDE_CONFLICT,
    PASS,
    QUOTE_STALE,
    REASONS,
    SESSION_CLOSED,
    Why,
    review_refusal,
)
from trading.intents import CLIENT_ORDER_ID_PREFIX, client_order_id_of, hashed
from trading.journal import (
    CancelKind,
    Cooldown,
    ExecutorTerm,
    Halt,
    JournalIntent,
    JournalOrder,
    RunControl,
)
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Book, Position
from trading.protocol import (
    ABSENCES_NEEDED,
    FINDINGS_NAMED,
    SEND_MARGIN,
    WATCHED_SESSIONS,
    Finding,
    FindingKind,
    Known,
    Next,
    absence_refusal,
    after_absence,
    cancel_refusal,
    conclusion_refusal,
    ending_of,
    filled_under,
    gate_refusal,
    halt_reason,
    holdings_findings,
    is_temporary,
    listed_findings,
    may_be_alive,
    named_executions,
    net_shares,
    replacement_refusal,
    request_of,
    reservation_micros,
    reserved_after_bust,
    send_time_refusal,
    term_refusal,
)
from trading.testing import example_decision, example_intent
from trading.values import ClientOrderId, IntentId, OrderType, Side, Slot, Symbol, TimeInForce

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def row_of(intent=None, **changes) -> JournalIntent:
    decision = example_decision(intent or example_intent(), not_after=CLOSE, outcome=Outcome.APPROVED)
    row = JournalIntent(
        intent_id=decision.intent_id,
        intent=decision.intent,
        account=decision.account,
        lane=decision.lane,
        state=IntentState.EXECUTING,
        stage=Stage.WORKING,
        version=4,
        epoch=1,
        generation=0,
        quantity=10,
        unadvised_quantity=10,
        filled_quantity=0,
        payload_hash="hash",
        reason="",
        actor="",
        not_after=CLOSE,
        verdicts_sha="v",
        limits_sha="l",
        inputs_sha="i",
        complete=False,
        changed_at=NOW,
    )
    return replace(row, **changes)


def order_of(row=None, **changes) -> JournalOrder:
    request = request_of(row or row_of())
    order = JournalOrder(
        intent_id=(row or row_of()).intent_id,
        client_order_id=request.client_order_id,
        generation=0,
        request=request,
        request_sha="sha",
        status="unknown",
        broker_order_id="",
        filled_quantity=0,
        attempts=1,
        absences=ABSENCES_NEEDED,
        first_absent_at=NOW,
        cancel_asked_at=None,
        cancel_kind=CancelKind.NONE,
        prepared_at=NOW,
        send_by=NOW + timedelta(seconds=60),
        reason="",
    )
    return replace(order, **changes)


def told_of(order=None, **changes) -> BrokerOrder:
    request = (order or order_of()).request
    found = BrokerOrder(
        broker_order_id="b-1",
        client_order_id=request.client_order_id,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        filled_quantity=0,
        status=OrderStatus.WORKING,
    )
    return replace(found, **changes)


# -------------------------------------------------------------------------------- what is sent


def test_a_request_says_what_was_decided_under_an_id_of_its_generation():
    row = row_of()
    request = request_of(row)

    assert request.client_order_id == client_order_id_of(
        account=row.account, intent_id=row.intent_id, generation=0
    )
    assert (request.account, request.session, request.symbol) == ("SIM-FIVE", date(2013, 2, 28), "AAPL")
    assert (request.side, request.quantity, request.reference_price_micros) == (Side.BUY, 10, 100_000_000)
    assert (request.order_type, request.time_in_force) == (OrderType.MARKET, TimeInForce.OPG)


def test_a_replacement_asks_for_what_is_left_under_another_id():
    first, second = row_of(), row_of(generation=1, filled_quantity=4)

    assert request_of(second).quantity == 6
    assert request_of(second).client_order_id != request_of(first).client_order_id


POWER = [name for name, _ in GUARDS].index("buying_power")


def whys(observed: int) -> tuple[Why, ...]:
    return tuple(
        Why(PASS, observed if place == POWER else 10**15, NO_LIMIT, NO_LIMIT) for place in range(len(GUARDS))
    )


@pytest.mark.parametrize(
    ("side", "filled", "counted", "reserved"),
    [
        (Side.BUY, 0, 1_000_100_000, 1_000_100_000),
        (Side.BUY, 0, 1, 1_000_000_000),
        (Side.BUY, 4, 1, 600_000_000),
        (Side.SELL, 0, 1_000_100_000, 0),
    ],
    ids=["what the guard counted", "never below the notional", "of what is left", "a sale promises nothing"],
)
def test_a_buy_promises_away_what_it_may_cost(side, filled, counted, reserved):
    row = row_of(example_intent(side=side), filled_quantity=filled)

    assert reservation_micros(row, whys(counted)) == reserved


@pytest.mark.parametrize("said", [(), whys(10**12)[:3]], ids=["none", "some"])
def test_nothing_is_promised_on_the_word_of_a_part_of_the_guards(said):
    with pytest.raises(ValueError, match="zip"):
        reservation_micros(row_of(), said)


STOP = Why(SESSION_CLOSED, 0, 1, 0)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (whys(0), ""),
        ((), f"0 of {len(GUARDS)} guards looked"),
        (whys(0)[:1], f"1 of {len(GUARDS)} guards looked"),
        (whys(0)[:-1], f"{len(GUARDS) - 1} of {len(GUARDS)} guards looked"),
        ((*whys(0), whys(0)[0]), f"{len(GUARDS) + 1} of {len(GUARDS)} guards looked"),
        ((STOP,), ""),
        ((*whys(0), STOP), ""),
        (tuple(Why(code, 0, 0, 0) for code in REASONS), ""),
        ((*whys(0), Why(10**6, 0, 0, 0)), f"code {10**6} is none of a guard"),
    ],
    ids=[
        *("all", "none", "one", "all but one", "one more", "a stop alone", "a stop besides"),
        *("every code there is", "a code that there is not"),
    ],
)
def test_guards_that_did_not_look_have_not_passed_and_a_stop_stops_alone(said, told):
    assert review_refusal(said).startswith(told)
    assert bool(review_refusal(said)) == bool(told)


def test_an_order_on_two_pages_of_a_list_is_filled_once_by_the_most_that_was_told():
    earlier, later = told_of(filled_quantity=2), told_of(filled_quantity=5)
    second = told_of(broker_order_id="b-2", filled_quantity=1)

    for pages in ([earlier, later, second], [second, later, earlier]):
        assert filled_under(pages) == {earlier.client_order_id: 6}


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ([], False),
        ([Why(PASS, 0, 0, NO_LIMIT)], False),
        ([Why(EXECUTION_DISABLED, 0, 1, 0)], True),
        ([Why(SESSION_CLOSED, 0, 1, 0)], True),
        ([Why(PASS, 0, 0, NO_LIMIT), Why(SESSION_CLOSED, 0, 1, 0)], True),
        # Our own order on the other side fills or ends, and the intent goes then.
        ([Why(OPPOSITE_SIDE_CONFLICT, 5, 0, 0)], True),
        ([Why(MISSING_PRICE, 0, 1, 0)], False),
        ([Why(QUOTE_STALE, 301, 300, 0)], True),
        ([Why(QUOTE_STALE, 300, 300, 0)], False),
        ([Why(QUOTE_STALE, -1, 300, 0)], False),
        ([Why(QUOTE_STALE, 1, 0, 0)], False),
        ([Why(QUOTE_STALE, 2, 1, 0)], True),
        ([Why(INSUFFICIENT_BUYING_POWER, 2, 1, 0), Why(QUOTE_STALE, 301, 300, 0)], True),
        ([Why(MISSING_PRICE, 0, 1, 0), Why(QUOTE_STALE, 301, 300, 0)], False),
    ],
)
def test_an_intent_waits_where_time_may_cure_the_first_reason(said, waits):
    assert is_temporary(said) is waits


# -------------------------------------------------------------------------------- what holds a send

RUNNING = RunControl(kill_switch_on=False, paused=False, actor="ann", reason="r", changed_at=None)
HALTED = replace(RUNNING, kill_switch_on=True, actor="bob", reason="fire")
PAUSED = replace(RUNNING, paused=True, actor="cyd", reason="lunch")
FLATTEN = example_intent(slot=Slot.FLATTEN)


def halt(symbol: str = "", account: str = "SIM-FIVE") -> Halt:
    return Halt(account=account, symbol=symbol, actor="executor", reason="cash", changed_at=NOW)


@pytest.mark.parametrize(
    ("control", "halts", "intent", "why_not"),
    [
        (RUNNING, [], None, ""),
        (HALTED, [], None, "kill_switch_on: is held, since bob said 'fire'"),
        (HALTED, [], FLATTEN, ""),
        (PAUSED, [], None, "trading_paused: is held, since cyd said 'lunch'"),
        (PAUSED, [], FLATTEN, "trading_paused: is held, since cyd said 'lunch'"),
        (replace(HALTED, paused=True), [], FLATTEN, "trading_paused: is held, since bob said 'fire'"),
        (RUNNING, [halt()], None, "account_halted: is held, since executor said 'cash'"),
        (RUNNING, [halt("AAPL")], None, "instrument_halted: is held, since executor said 'cash'"),
        (RUNNING, [halt("IBM")], None, ""),
        (RUNNING, [halt(account="OTHER")], None, ""),
        (RUNNING, [halt("AAPL", "OTHER"), halt("IBM")], None, ""),
        (RUNNING, [halt("IBM"), halt()], None, "account_halted: is held, since executor said 'cash'"),
    ],
)
def test_run_control_and_halts_hold_what_they_are_about(control, halts, intent, why_not):
    assert gate_refusal(row_of(intent), control, halts) == why_not


@pytest.mark.parametrize(
    ("side", "why_not"),
    [
        (Side.BUY, f"cooldown_active: is held until {NOW:%Y-%m-%d %H:%M:%S} UTC: 3 executions failed"),
        (Side.SELL, ""),
    ],
)
def test_an_account_that_cools_down_may_only_reduce_risk(side, why_not):
    cooldown = Cooldown(
        account="SIM-FIVE",
        lane="simulated",
        failures=3,
        began_at=NOW,
        until=NOW,
        actor="executor",
        reason="3 executions failed",
    )

    assert gate_refusal(row_of(example_intent(side=side)), RUNNING, [], cooldown) == why_not


TERM = ExecutorTerm(
    account="SIM-FIVE", lane="simulated", term=7, holder="run 1", began_at=NOW, reconciled_at=None
)
DONE = replace(TERM, reconciled_at=NOW)


@pytest.mark.parametrize(
    ("found", "is_needed", "why_not"),
    [
        (None, False, "term_over: expected executor term 7, found no term"),
        (replace(DONE, term=8), False, "term_over: expected executor term 7, found term 8 of run 1"),
        (replace(DONE, term=6), True, "term_over: expected executor term 7, found term 6 of run 1"),
        (TERM, True, "not_reconciled: executor term 7 has not been reconciled with the broker"),
        (TERM, False, ""),
        (DONE, True, ""),
        (DONE, False, ""),
    ],
)
def test_an_executor_acts_in_its_own_term_and_claims_once_reconciled(found, is_needed, why_not):
    assert term_refusal(found, 7, is_reconciled_needed=is_needed) == why_not


@pytest.mark.parametrize(
    ("send_by", "now", "why_not"),
    [
        (NOW + SECOND, NOW, ""),
        (NOW, NOW, "send_by_passed"),
        (NOW, NOW + SECOND, "send_by_passed"),
        (CLOSE + SECOND, CLOSE - SECOND, ""),
        (CLOSE + SECOND, CLOSE, "not_after_passed"),
    ],
)
def test_nothing_is_sent_at_or_after_its_time(send_by, now, why_not):
    assert send_time_refusal(row_of(), send_by, now) == why_not


@pytest.mark.parametrize(
    ("is_death_proven", "late", "is_alive"),
    [
        (True, -SECOND, False),
        (False, -SECOND, True),
        (False, SEND_MARGIN - SECOND, True),
        (False, SEND_MARGIN, False),
    ],
)
def test_an_earlier_holder_may_be_alive_until_its_lease_is_over(is_death_proven, late, is_alive):
    order = order_of()

    assert may_be_alive(order, is_death_proven=is_death_proven, now=order.send_by + late) is is_alive


# -------------------------------------------------------------------------------- what an absence means

REMEMBERS = Capabilities(
    is_live=False,
    dedup_scope=DedupScope.ALL_TIME,
    is_query_authoritative=True,
    settle_time_s=30,
    definitive_errors=frozenset(),
)


def scoped(scope: DedupScope, **changes) -> Capabilities:
    return replace(REMEMBERS, dedup_scope=scope, **changes)


WINDOW = scoped(DedupScope.WINDOW, dedup_window_s=300)
SETTLED, EARLY = NOW + 30 * SECOND, NOW + 29 * SECOND
OR_ON_MY_WORD = " or where the broker itself has told you so, conclude it with --on-my-word"


@pytest.mark.parametrize(
    ("capabilities", "is_death_proven", "now", "follows"),
    [
        (REMEMBERS, True, NOW, (Next.SEND_AGAIN, "absent")),
        (REMEMBERS, False, NOW, (Next.SEND_AGAIN, "absent")),
        (REMEMBERS, True, CLOSE - SECOND, (Next.SEND_AGAIN, "absent")),
        (REMEMBERS, True, CLOSE, (Next.CONCLUDE, "too_late_to_send")),
        (REMEMBERS, False, CLOSE, (Next.PARK, "holder_not_proven_dead")),
        (replace(REMEMBERS, is_query_authoritative=False), True, NOW, (Next.PARK, "query_not_authoritative")),
        (scoped(DedupScope.NONE), True, SETTLED, (Next.PARK, "dedup_not_for_all_time")),
        (scoped(DedupScope.OPEN_ONLY), True, SETTLED, (Next.PARK, "dedup_not_for_all_time")),
        (scoped(DedupScope.NONE), False, SETTLED, (Next.PARK, "holder_not_proven_dead")),
        (scoped(DedupScope.SESSION), True, EARLY, (Next.WAIT, "settle_time")),
        (scoped(DedupScope.SESSION), True, SETTLED, (Next.SEND_AGAIN, "absent")),
        (scoped(DedupScope.SESSION), False, SETTLED, (Next.PARK, "holder_not_proven_dead")),
        (scoped(DedupScope.SESSION), True, CLOSE, (Next.PARK, "dedup_not_for_all_time")),
        (WINDOW, True, EARLY, (Next.WAIT, "settle_time")),
        (WINDOW, True, SETTLED, (Next.SEND_AGAIN, "absent")),
        (WINDOW, True, NOW + 299 * SECOND, (Next.SEND_AGAIN, "absent")),
        (WINDOW, True, NOW + 300 * SECOND, (Next.PARK, "dedup_not_for_all_time")),
        (WINDOW, False, SETTLED, (Next.PARK, "holder_not_proven_dead")),
        (replace(WINDOW, dedup_window_s=10**9), True, CLOSE, (Next.PARK, "dedup_not_for_all_time")),
    ],
)
def test_what_is_absent_is_sent_again_only_where_a_second_order_would_be_refused(
    capabilities, is_death_proven, now, follows
):
    found = after_absence(row_of(), order_of(), capabilities, is_death_proven=is_death_proven, now=now)

    assert tuple(found) == follows


def test_an_absence_at_the_end_waits_for_the_brokers_settle_time():
    order = order_of(first_absent_at=CLOSE)
    told = {"capabilities": REMEMBERS, "is_death_proven": True}

    assert after_absence(row_of(), order, **told, now=CLOSE) == (Next.WAIT, "settle_time")
    assert after_absence(row_of(), order, **told, now=CLOSE + 29 * SECOND).next is Next.WAIT
    assert after_absence(row_of(), order, **told, now=CLOSE + 30 * SECOND).next is Next.CONCLUDE
    unseen = order_of(first_absent_at=None)
    assert after_absence(row_of(), unseen, **told, now=CLOSE).next is Next.WAIT


@pytest.mark.parametrize("absences", [0, 1, 2])
def test_an_absence_is_asked_for_until_it_is_proven(absences):
    order = order_of(absences=absences)

    assert after_absence(row_of(), order, REMEMBERS, is_death_proven=True, now=NOW) == (
        Next.ASK_AGAIN,
        "absence_not_proven",
    )
    assert absence_refusal(order) == f"absent {absences} times at the broker; 3 prove it"
    assert absence_refusal(order_of(absences=3)) == ""


def test_an_acknowledged_order_that_is_gone_proves_nothing():
    order = order_of(broker_order_id="b-9", absences=99)

    assert after_absence(row_of(), order, REMEMBERS, is_death_proven=True, now=NOW) == (
        Next.PARK,
        "acknowledged_then_absent",
    )
    assert absence_refusal(order) == "acknowledged as b-9; that it is gone proves nothing"


def test_ids_are_watched_for_two_sessions_and_absences_are_three():
    assert (2, 3, timedelta(seconds=5)) == (WATCHED_SESSIONS, ABSENCES_NEEDED, SEND_MARGIN)


# -------------------------------------------------------------------------------- how an order ends


@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("kind", list(CancelKind))
def test_an_intent_ends_as_its_order_did(status, kind):
    unfilled = IntentState.FAILED if status is OrderStatus.REJECTED else IntentState.EXPIRED
    if status is not OrderStatus.REJECTED and kind in {CancelKind.CANCEL, CancelKind.REPLACE}:
        unfilled = IntentState.CANCELLED

    assert ending_of(status, 1, cancel_kind=kind) is IntentState.EXECUTED
    assert ending_of(status, 0, cancel_kind=kind) is unfilled


@pytest.mark.parametrize(
    ("known", "asked", "why_not"),
    [
        *((CancelKind.NONE, kind, "") for kind in CancelKind),
        (CancelKind.REPLACE, CancelKind.CANCEL, ""),
        (CancelKind.EXPIRY, CancelKind.CANCEL, ""),
        (CancelKind.CANCEL, CancelKind.CANCEL, "cancel was asked for already"),
        (CancelKind.CANCEL, CancelKind.REPLACE, "cancel was asked for already"),
        (CancelKind.EXPIRY, CancelKind.REPLACE, "expiry was asked for already"),
        (CancelKind.REPLACE, CancelKind.EXPIRY, "replace was asked for already"),
    ],
)
def test_a_cancel_stops_what_was_to_be_replaced_and_nothing_else_overwrites(known, asked, why_not):
    assert cancel_refusal(known, asked) == why_not


@pytest.mark.parametrize(
    ("changes", "is_death_proven", "last_absent_at", "why_not"),
    [
        ({}, True, SETTLED, ""),
        (
            {},
            True,
            EARLY,
            (
                f"it may have arrived since it was last looked for ({EARLY:%Y-%m-%d %H:%M:%S} UTC):"
                f" reconcile again from 2013-02-28 14:30:30 UTC on,{OR_ON_MY_WORD}"
            ),
        ),
        ({}, False, NOW + 95 * SECOND, ""),
        (
            {},
            False,
            NOW + 94 * SECOND,
            (
                "it may have arrived since it was last looked for (2013-02-28 14:31:34 UTC):"
                f" reconcile again from 2013-02-28 14:31:35 UTC on,{OR_ON_MY_WORD}"
            ),
        ),
        ({"first_absent_at": NOW + 70 * SECOND}, False, NOW + 100 * SECOND, ""),
        (
            {"first_absent_at": None},
            True,
            NOW,
            (
                "it may have arrived since it was last looked for (2013-02-28 14:30:00 UTC):"
                f" reconcile again from 2013-02-28 14:30:30 UTC on,{OR_ON_MY_WORD}"
            ),
        ),
        ({"absences": 2}, True, CLOSE, "absent 2 times at the broker; 3 prove it"),
        ({"broker_order_id": "b"}, True, CLOSE, "acknowledged as b; that it is gone proves nothing"),
    ],
)
def test_an_absence_ends_an_intent_once_nothing_can_be_in_flight(
    changes, is_death_proven, last_absent_at, why_not
):
    told = {"settle_time_s": 30, "is_death_proven": is_death_proven, "last_absent_at": last_absent_at}

    assert conclusion_refusal(order_of(**changes), **told) == why_not


@pytest.mark.parametrize("settle_time_s", [-1, SETTLE_TIME_S_MAX + 1, 600])
def test_no_adapter_declares_a_settle_time_that_nobody_waits_for(settle_time_s):
    with pytest.raises(BadInput, match=f"settle_time_s {settle_time_s}: must be 0 to {SETTLE_TIME_S_MAX} s"):
        replace(REMEMBERS, settle_time_s=settle_time_s)


def test_a_halt_names_all_that_was_found_and_beyond_some_that_there_is_more():
    assert halt_reason("", "zombie: a") == "zombie: a"
    assert halt_reason("zombie: a", "cash: b") == "zombie: a | cash: b"
    reason = ""
    for number in range(30):
        reason = halt_reason(reason, f"orphan: {number}")
        named = reason.split(" | ")
        assert named[0] == "orphan: 0"
        assert named[-1] == f"orphan: {number}"
        assert ("and more, see `trading status`" in named) is (number >= FINDINGS_NAMED)
        assert len(named) == min(number + 1, FINDINGS_NAMED)


ASKED = order_of(cancel_kind=CancelKind.REPLACE, filled_quantity=4)
ENDED = told_of(status=OrderStatus.CANCELLED, filled_quantity=4)


@pytest.mark.parametrize(
    ("row", "order", "ended", "kept", "why_not"),
    [
        (row_of(filled_quantity=4), ASKED, ENDED, 4, ""),
        (
            row_of(filled_quantity=4),
            replace(ASKED, cancel_kind=CancelKind.CANCEL),
            ENDED,
            4,
            "nobody asked to replace it",
        ),
        (
            row_of(filled_quantity=4),
            ASKED,
            replace(ENDED, status=OrderStatus.WORKING),
            4,
            "the old order is working at the broker; only a cancelled one is replaced",
        ),
        (
            row_of(filled_quantity=4),
            ASKED,
            replace(ENDED, status=OrderStatus.FILLED),
            4,
            "the old order is filled at the broker; only a cancelled one is replaced",
        ),
        (
            row_of(filled_quantity=4),
            ASKED,
            replace(ENDED, filled_quantity=5),
            4,
            "the broker filled 5, booked are 4",
        ),
        (row_of(filled_quantity=10), ASKED, ENDED, 10, "all 10 are filled"),
        (
            row_of(filled_quantity=7),
            ASKED,
            ENDED,
            4,
            "of 7 filled 3 were taken back: a person decides",
        ),
    ],
)
def test_only_a_cancelled_order_with_all_fills_booked_is_replaced(row, order, ended, kept, *, why_not):
    assert replacement_refusal(row, order, ended, booked=4, kept=kept) == why_not


@pytest.mark.parametrize(
    ("side", "left", "price_micros", "again"),
    [
        # Six of ten are open and promised 101 each: four more at that, whatever they had cost less.
        (Side.BUY, (6, 606), 100, (10, 1010)),
        (Side.BUY, (6, 606), 101, (10, 1010)),
        # What they had cost more is promised, and what does not divide is rounded up.
        (Side.BUY, (6, 606), 103, (10, 1018)),
        (Side.BUY, (6, 601), 100, (10, 1005)),
        # Nothing else is open.
        (Side.BUY, (0, 0), 100, (4, 400)),
        (Side.BUY, (1, 50), 20, (5, 250)),
        (Side.SELL, (6, 0), 100, (10, 0)),
    ],
)
def test_what_a_fill_had_used_is_promised_again_once_it_is_taken_back(side, left, price_micros, again):
    fill = Fill(
        execution_id="exe-1",
        client_order_id=ClientOrderId("ta-1"),
        intent_id=IntentId("1"),
        session=date(2013, 2, 28),
        symbol=Symbol("AAPL"),
        side=side,
        quantity=4,
        price_micros=price_micros,
        commission_micros=0,
        filled_at=NOW,
    )

    assert reserved_after_bust(*left, fill) == again


def execution(execution_id="", **changes) -> BrokerFill:
    fill = BrokerFill(execution_id, ClientOrderId("ta-1"), 5, 100, 1, NOW)
    return fill._replace(**changes)


def test_an_execution_without_an_id_gets_one_from_what_it_says_and_how_often():
    first, second, other = named_executions([execution(), execution(), execution(quantity=6)])

    assert len({first.execution_id, second.execution_id, other.execution_id}) == 3
    assert named_executions([execution(quantity=6), execution(), execution()]) == (other, first, second)
    assert named_executions([execution("exe-1"), execution()]) == (execution("exe-1"), first)
    assert named_executions([execution()])[0].execution_id == FIRST_OF_ITS_KIND


# Booked under this name in journals that exist: it must never come out otherwise.
FIRST_OF_ITS_KIND = "exe-" + hashed("ta-1", "5", "100", "2013-02-28T14:30:00+00:00", "1")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_order_id": ClientOrderId("ta-2")},
        {"quantity": 6},
        {"price_micros": 101},
        {"filled_at": NOW + SECOND},
    ],
)
def test_executions_that_say_something_else_are_others(changes):
    (one,), (other,) = named_executions([execution()]), named_executions([execution(**changes)])

    assert one.execution_id.startswith("exe-")
    assert one.execution_id != other.execution_id


@pytest.mark.parametrize(
    ("told", "shares"),
    [
        ([], 0),
        ([execution("exe-1")], 5),
        ([execution("exe-1"), execution("exe-2", quantity=6)], 11),
        ([execution("exe-1"), execution("exe-1")], 5),
        ([execution("exe-1"), execution("bust-1", takes_back="exe-1")], 0),
        ([execution("exe-1"), execution("exe-2"), execution("bust-1", quantity=2, takes_back="exe-1")], 8),
        ([execution("bust-1", takes_back="exe-1"), execution("bust-1", takes_back="exe-1")], -5),
    ],
)
def test_executions_count_once_each_however_often_they_are_told_less_those_taken_back(told, shares):
    assert net_shares(told) == shares


# -------------------------------------------------------------------------------- what does not agree

ANOTHER_ID = ClientOrderId(f"{CLIENT_ORDER_ID_PREFIX}another")


def known(order=None, row=None, *, booked=None) -> dict[ClientOrderId, Known]:
    order = order or order_of(status="working")
    net = order.filled_quantity if booked is None else booked
    return {order.client_order_id: Known(order=order, intent=row or row_of(), booked=net)}


ENDED_ROW = row_of(state=IntentState.EXPIRED, stage=Stage.NONE)


@pytest.mark.parametrize(
    ("listed", "rows", "kinds"),
    [
        ([], known(), []),
        ([told_of()], known(), []),
        ([told_of(status=OrderStatus.FILLED, filled_quantity=10)], known(), []),
        ([told_of()], {}, [(FindingKind.ZOMBIE, True)]),
        ([told_of(status=OrderStatus.CANCELLED)], {}, [(FindingKind.ORPHAN, False)]),
        ([told_of(quantity=11)], known(), [(FindingKind.MISMATCHED, True)]),
        ([told_of()], known(row=ENDED_ROW), [(FindingKind.ZOMBIE, True)]),
        ([told_of(status=OrderStatus.CANCELLED)], known(row=ENDED_ROW), []),
        (
            [told_of(status=OrderStatus.CANCELLED, filled_quantity=3)],
            known(row=ENDED_ROW),
            [(FindingKind.ORPHAN, False)],
        ),
        (
            [told_of(status=OrderStatus.CANCELLED, filled_quantity=3)],
            known(order_of(filled_quantity=3), ENDED_ROW),
            [],
        ),
        (
            [told_of(status=OrderStatus.CANCELLED, filled_quantity=3)],
            known(order_of(filled_quantity=4), ENDED_ROW, booked=3),
            [],
        ),
        ([told_of()], known(row=row_of(generation=1)), [(FindingKind.ZOMBIE, True)]),
        (
            [
                told_of(),
                told_of(
                    client_order_id=ClientOrderId(f"{CLIENT_ORDER_ID_PREFIX}other"), broker_order_id="b-2"
                ),
            ],
            {},
            [(FindingKind.ZOMBIE, True), (FindingKind.ZOMBIE, True)],
        ),
        ([told_of(), told_of(broker_order_id="b-2")], known(), [(FindingKind.TWICE, True)]),
        (
            [told_of(), told_of(broker_order_id="b-2", status=OrderStatus.FILLED)],
            {},
            [(FindingKind.ZOMBIE, True), (FindingKind.ORPHAN, False), (FindingKind.TWICE, True)],
        ),
        ([told_of(client_order_id=ClientOrderId("mine-1"))], known(), [(FindingKind.FOREIGN, True)]),
        (
            [told_of(client_order_id=ClientOrderId("mine-1")), told_of()],
            {},
            [(FindingKind.FOREIGN, True), (FindingKind.ZOMBIE, True)],
        ),
        (
            [told_of(client_order_id=ClientOrderId("mine-1")), told_of()],
            known(row=ENDED_ROW),
            [(FindingKind.FOREIGN, True), (FindingKind.ZOMBIE, True)],
        ),
    ],
)
def test_what_a_broker_lists_is_held_against_the_journal(listed, rows, kinds):
    findings = listed_findings(listed, rows)

    assert [(finding.kind, finding.is_live) for finding in findings] == kinds


@pytest.mark.parametrize("is_known", [True, False])
def test_two_orders_of_one_id_are_told_of_their_intent_if_there_is_one(is_known):
    listed = [told_of(), told_of(broker_order_id="b-2")]
    found = listed_findings(listed, known() if is_known else {})
    (twice,) = (one for one in found if one.kind is FindingKind.TWICE)

    assert (twice.client_order_id, twice.symbol) == (told_of().client_order_id, told_of().symbol)
    assert twice.intent_id == (row_of().intent_id if is_known else "")


def test_a_finding_names_the_order_and_what_is_wrong():
    (zombie,) = listed_findings([told_of(filled_quantity=2)], known(row=ENDED_ROW))
    (unknown,) = listed_findings([told_of()], {})
    (other,) = listed_findings([told_of(quantity=11, side=Side.SELL)], known())
    (orphan,) = listed_findings(
        [told_of(status=OrderStatus.CANCELLED, filled_quantity=3)], known(row=ENDED_ROW)
    )
    (foreign,) = listed_findings([told_of(client_order_id=ClientOrderId("mine-1"))], {})
    (_, twice) = listed_findings([told_of(), told_of(broker_order_id="b-2", filled_quantity=2)][::-1], {})[1:]
    (booked_twice,) = listed_findings([told_of(), told_of(broker_order_id="b-2")], known())
    client_order_id = order_of().client_order_id

    assert (zombie.client_order_id, zombie.intent_id, zombie.symbol) == (
        client_order_id,
        row_of().intent_id,
        "AAPL",
    )
    assert zombie.detail == (f"BUY 10 AAPL, 2 filled, working ({client_order_id}): the intent is expired")
    assert unknown.intent_id == ""
    assert {found.intent_id for found in (other, orphan, booked_twice)} == {row_of().intent_id}
    assert unknown.detail.endswith(": the journal has no row of it")
    assert other.detail.endswith(": side sent BUY, found SELL; quantity sent 10, found 11")
    assert orphan.detail.endswith(": booked are 0 of 3")
    assert foreign.detail.endswith(": not ours")
    assert twice.detail == f"more than one under {client_order_id}: b-1, b-2"


def test_two_orders_of_one_id_are_one_finding_however_they_move_and_are_listed():
    first, second = told_of(), told_of(broker_order_id="b-2")
    moved = told_of(broker_order_id="b-2", status=OrderStatus.FILLED, filled_quantity=10)
    said = {
        finding.detail
        for listed in (
            [first, second],
            [second, first],
            [first, moved],
            [moved, first],
            [second, moved, first],
        )
        for finding in listed_findings(listed, known())
        if finding.kind is FindingKind.TWICE
    }

    assert len(said) == 1


FILLED_5 = {"status": OrderStatus.FILLED, "filled_quantity": 5}
CANCELLED_AT_0 = {"status": OrderStatus.CANCELLED}


@pytest.mark.parametrize("names", [("b-1", "b-2"), ("b-2", "b-1")])
@pytest.mark.parametrize(
    ("first", "second", "kinds"),
    [
        (FILLED_5, {}, [(FindingKind.ZOMBIE, True), (FindingKind.TWICE, True)]),
        (FILLED_5, CANCELLED_AT_0, [(FindingKind.TWICE, False)]),
        (FILLED_5, FILLED_5, [(FindingKind.ORPHAN, False), (FindingKind.TWICE, False)]),
        (
            {**FILLED_5, "quantity": 5},
            {**FILLED_5, "filled_quantity": 2},
            [
                (FindingKind.MISMATCHED, False),
                (FindingKind.ORPHAN, False),
                (FindingKind.ORPHAN, False),
                (FindingKind.TWICE, False),
            ],
        ),
        ({}, {}, [(FindingKind.ZOMBIE, True), (FindingKind.TWICE, True)]),
    ],
)
def test_a_second_order_under_an_id_is_looked_at_like_the_first_whatever_the_broker_names_them(
    names, first, second, kinds
):
    listed = [
        told_of(broker_order_id=name, **said) for name, said in zip(names, (first, second), strict=True)
    ]
    told = listed_findings(listed, known(row=ENDED_ROW, booked=5))

    assert sorted((finding.kind, finding.is_live) for finding in told) == sorted(kinds)


LISTED = st.lists(
    st.builds(
        told_of,
        client_order_id=st.sampled_from([order_of().client_order_id, ANOTHER_ID, ClientOrderId("mine-1")]),
        broker_order_id=st.sampled_from(["b-1", "b-2", "b-3"]),
        status=st.sampled_from(OrderStatus),
        quantity=st.sampled_from([10, 11]),
        filled_quantity=st.integers(0, 10),
    ),
    max_size=6,
)


@given(
    listed=LISTED,
    chance=st.randoms(use_true_random=False),
    rows=st.sampled_from([known(), known(row=ENDED_ROW)]),
)
def test_what_is_found_does_not_depend_on_the_order_in_which_a_broker_lists(listed, chance, rows):
    found = listed_findings(listed, rows)
    chance.shuffle(listed)

    assert listed_findings(listed, rows) == found


@given(listed=LISTED)
def test_every_live_order_behind_an_ended_intent_is_a_zombie_however_many_an_id_has(listed):
    found = {
        finding.client_order_id
        for finding in listed_findings(listed, known(row=ENDED_ROW))
        if finding.kind is FindingKind.ZOMBIE
    }

    assert found == {
        order.client_order_id
        for order in listed
        if not order.status.is_terminal and order.client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
    }


@pytest.mark.parametrize(
    ("kind", "account", "instrument"),
    [
        (FindingKind.ZOMBIE, True, False),
        (FindingKind.ORPHAN, True, False),
        (FindingKind.MISMATCHED, True, False),
        (FindingKind.TWICE, True, False),
        (FindingKind.CASH, True, False),
        (FindingKind.POSITION, False, True),
        (FindingKind.FILL_REFUSED, True, False),
        (FindingKind.UNRESOLVED, True, False),
        (FindingKind.BUST, False, True),
        (FindingKind.FOREIGN, False, False),
    ],
)
def test_a_finding_halts_what_it_is_about(kind, account, instrument):
    finding = Finding(kind, None, "", "AAPL", "d")

    assert (finding.halts_account, finding.halts_instrument) == (account, instrument)
    assert not finding.is_live


BOOK = Book(
    currency="USD",
    cash_micros=100,
    deposits_micros=100,
    positions=(Position(Symbol("AAPL"), 5, 1), Position(Symbol("IBM"), 7, 1)),
)


@pytest.mark.parametrize(
    ("quantities", "cash", "details"),
    [
        ({"AAPL": 5, "IBM": 7}, 100, []),
        ({"AAPL": 6, "IBM": 7}, 100, ["AAPL: book 5, broker 6"]),
        ({"IBM": 7}, 100, ["AAPL: book 5, broker 0"]),
        ({"AAPL": 5, "IBM": 7, "FB": 1}, 100, ["FB: book 0, broker 1"]),
        ({"AAPL": 5, "IBM": 7}, 99, ["cash: book 0.000100 USD, broker 0.000099 USD"]),
        (
            {"AAPL": -5},
            0,
            [
                "AAPL: book 5, broker -5",
                "IBM: book 7, broker 0",
                "cash: book 0.000100 USD, broker 0.000000 USD",
            ],
        ),
    ],
)
def test_holdings_are_compared_share_by_share_and_to_the_unit(quantities, cash, details):
    found = Holdings(quantities={Symbol(name): held for name, held in quantities.items()}, cash_micros=cash)
    findings = holdings_findings(BOOK, found)

    assert [finding.detail for finding in findings] == details
    for finding in findings:
        is_cash = finding.detail.startswith("cash")
        assert finding.kind is (FindingKind.CASH if is_cash else FindingKind.POSITION)
        assert finding.symbol == ("" if is_cash else finding.detail.partition(":")[0])
        assert (finding.client_order_id, finding.intent_id, finding.is_live) == (None, "", False)


@pytest.mark.parametrize(
    ("in_book", "at_broker", "detail"),
    [
        (100_000_000_000, 99_999_990_000, "cash: book 100,000.00 USD, broker 99,999.99 USD"),
        (100_000_000_000, 99_999_995_000, "cash: book 100,000.000000 USD, broker 99,999.995000 USD"),
        (1, 10_000, "cash: book 0.000001 USD, broker 0.010000 USD"),
    ],
)
def test_cash_is_told_to_the_cent_and_further_only_where_less_than_a_cent_counts(in_book, at_broker, detail):
    quantities = {position.symbol: position.quantity for position in BOOK.positions}
    expected = replace(BOOK, cash_micros=in_book)

    (finding,) = holdings_findings(expected, Holdings(quantities=quantities, cash_micros=at_broker))

    assert finding.detail == detail


AAPL, FB = Symbol("AAPL"), Symbol("FB")


@pytest.mark.parametrize(
    ("untold", "quantities", "cash", "details"),
    [
        ([(AAPL, 2)], {"AAPL": 7, "IBM": 7}, 90, []),
        ([(AAPL, 2), (AAPL, -3)], {"AAPL": 4, "IBM": 7}, 90, []),
        ([(FB, 3)], {"AAPL": 5, "IBM": 7, "FB": 3}, 90, []),
        ([(AAPL, 2)], {"AAPL": 5, "IBM": 7}, 100, ["AAPL: book 7, broker 5"]),
        ([(AAPL, -2)], {"AAPL": 3, "IBM": 8}, 110, ["IBM: book 7, broker 8"]),
        ([(FB, 3)], {"AAPL": 5, "IBM": 7}, 100, ["FB: book 3, broker 0"]),
    ],
)
def test_what_is_filled_but_not_told_of_yet_is_held_already_at_a_price_nobody_knows(
    untold, quantities, cash, details
):
    found = Holdings(quantities={Symbol(name): held for name, held in quantities.items()}, cash_micros=cash)

    assert [finding.detail for finding in holdings_findings(BOOK, found, untold)] == details
