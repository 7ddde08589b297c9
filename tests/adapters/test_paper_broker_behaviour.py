"""How the paper broker misbehaves when it is told to: what it forgets, and what it says of an order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from resources.paper_broker.behaviour_file import behaviour_from_text, load_behaviour
from resources.paper_broker.broker import PaperBroker
from tests.adapters.broker_rules import (
    ACCOUNT,
    CALENDAR,
    CLOSE,
    DEPOSIT,
    EARLY,
    LATER,
    MODEL,
    OPEN,
    SESSION,
    Market,
    request,
)
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.brokers import SETTLE_TIME_S_MAX, DedupScope, DuplicateClientOrderId
from trading.errors import BadInput, BadSetting, BrokerUnavailable, OutcomeUnknown, TradingError
from trading.orders import OrderStatus
from trading.values import ClientOrderId

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = 10_000
AAPL = ClientOrderId("ta-AAPL")
SOON = EARLY + timedelta(seconds=1)


@pytest.fixture
def behaving(tmp_path):
    """Give what opens a broker of a behaviour on this test's ledger."""

    def opened(behaviour=None, *, name="SIM", **behaves):
        return PaperBroker(
            tmp_path / f"{name}.db",
            account=ACCOUNT,
            deposit_micros=DEPOSIT,
            market=Market(AAPL=10**6, THIN=400),
            fill_model=MODEL,
            calendar=CALENDAR,
            behaviour=behaviour or Behaviour(**behaves),
        )

    return opened


def always(*faults):
    return dict.fromkeys(faults, ALWAYS)


def accepts_again(broker, *, now, session=SESSION):
    try:
        broker.submit(request(session=session), now=now)
    except DuplicateClientOrderId:
        return False
    return True


# -------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("scope", "accepted_at"),
    [
        (DedupScope.ALL_TIME, []),
        (DedupScope.WINDOW, ["a window later", "after the fill", "the next session"]),
        (DedupScope.SESSION, ["the next session"]),
        (DedupScope.OPEN_ONLY, ["after the fill", "the next session"]),
        (DedupScope.NONE, ["at once", "a window later", "after the fill", "the next session"]),
    ],
)
def test_an_id_is_forgotten_when_its_scope_is_over(behaving, scope, accepted_at):
    moments = {
        "at once": EARLY,
        "a window later": EARLY + timedelta(seconds=60),
        "after the fill": OPEN,
        "the next session": CLOSE,
    }
    accepted = []
    for number, (moment, now) in enumerate(moments.items()):
        broker = behaving(scope=scope, window_s=60 if scope is DedupScope.WINDOW else 0, name=str(number))
        broker.submit(request(), now=EARLY)
        session = CALENDAR.next(SESSION) if now == CLOSE else SESSION
        if accepts_again(broker, now=now, session=session):
            accepted.append(moment)

    assert accepted == accepted_at


def test_a_window_counts_from_the_last_order_that_was_taken(behaving):
    broker = behaving(scope=DedupScope.WINDOW, window_s=60)
    broker.submit(request(), now=EARLY)
    taken = [accepts_again(broker, now=EARLY + timedelta(seconds=after)) for after in (59, 60, 61, 119, 120)]

    assert taken == [False, True, False, False, True]


def test_a_liar_declares_what_it_does_not_keep(behaving):
    broker = behaving(scope=DedupScope.NONE, claims=DedupScope.ALL_TIME)
    broker.submit(request(), now=EARLY)

    assert broker.capabilities.dedup_scope is DedupScope.ALL_TIME
    assert accepts_again(broker, now=EARLY)
    assert len({order.broker_order_id for order in broker.dump().orders}) == 2


def test_capabilities_follow_from_the_behaviour(behaving):
    window = behaving(scope=DedupScope.WINDOW, window_s=60, name="a").capabilities
    late = behaving(sends={SendFault.LATE: 1}, late_s=90, name="b").capabilities

    assert (window.dedup_scope, window.dedup_window_s, window.settle_time_s) == (DedupScope.WINDOW, 60, 0)
    assert (late.dedup_scope, late.settle_time_s) == (DedupScope.ALL_TIME, 90)


# -------------------------------------------------------------------------------- what it says of an order


def test_late_executions_are_told_late_and_the_orders_quantity_at_once(behaving):
    broker = behaving(reports=always(ReportFault.LATE_FILLS), late_s=60)
    broker.submit(request(), now=EARLY)
    order = broker.order_by_client_order_id(AAPL, now=OPEN)

    assert order.filled_quantity == 100
    assert broker.fills(AAPL, now=OPEN + timedelta(seconds=59)) == []
    assert sum(fill.quantity for fill in broker.fills(AAPL, now=OPEN + timedelta(seconds=60))) == 100


def test_executions_add_up_to_what_one_would_have_been(behaving):
    whole, parts = behaving(name="a"), behaving(executions=3, name="b")
    for broker in (whole, parts):
        broker.submit(request(), now=EARLY)
    (one,), three = whole.fills(AAPL, now=OPEN), parts.fills(AAPL, now=OPEN)

    assert [fill.quantity for fill in three] == [33, 33, 34]
    assert sum(fill.commission_micros for fill in three) == one.commission_micros
    assert len({fill.execution_id for fill in three}) == 3
    assert parts.holdings(now=LATER) == whole.holdings(now=LATER)


def test_an_order_of_fewer_shares_than_executions_has_one_for_each_share(behaving):
    broker = behaving(executions=5)
    broker.submit(request(quantity=2), now=EARLY)

    assert [fill.quantity for fill in broker.fills(AAPL, now=OPEN)] == [1, 1]


def test_reordered_and_repeated_executions_are_the_same_ones(behaving):
    kind = behaving(executions=2, name="a")
    odd = behaving(
        executions=2, reports=always(ReportFault.REORDERED_FILLS, ReportFault.REPEATED_FILLS), name="b"
    )
    for broker in (kind, odd):
        broker.submit(request(), now=EARLY)
    first, second = kind.fills(AAPL, now=OPEN)

    assert odd.fills(AAPL, now=OPEN) == [second, second, first, first]
    assert odd.dump().fills == (first, second)


def test_executions_without_an_id_have_none_anywhere(behaving):
    broker = behaving(executions=2, reports=always(ReportFault.FILLS_WITHOUT_ID))
    broker.submit(request(), now=EARLY)
    fills = broker.fills(AAPL, now=OPEN)

    assert [fill.execution_id for fill in fills] == ["", ""]
    assert list(broker.dump().fills) == fills


def test_a_bust_takes_the_last_execution_back_from_order_and_account(behaving):
    broker = behaving(executions=2, reports=always(ReportFault.BUST), late_s=60)
    broker.submit(request(), now=EARLY)
    before = broker.holdings(now=OPEN + timedelta(seconds=59))
    after = broker.holdings(now=OPEN + timedelta(seconds=60))
    first, second, bust = broker.fills(AAPL, now=LATER)
    order = broker.order_by_client_order_id(AAPL, now=LATER)

    assert (before.quantities, after.quantities) == ({"AAPL": 100}, {"AAPL": 50})
    assert after.cash_micros == DEPOSIT - first.quantity * first.price_micros - first.commission_micros
    assert bust == second._replace(
        execution_id=bust.execution_id, filled_at=OPEN + timedelta(seconds=60), takes_back=second.execution_id
    )
    assert order.filled_quantity == 50


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (ReportFault.PART_THEN_CANCELLED, OrderStatus.CANCELLED),
        (ReportFault.PART_THEN_REJECTED, OrderStatus.REJECTED),
    ],
)
@pytest.mark.parametrize(("quantity", "filled"), [(101, 50), (1, 0)])
def test_an_order_can_end_half_filled(behaving, fault, status, quantity, filled):
    broker = behaving(reports=always(fault))
    broker.submit(request(quantity=quantity), now=EARLY)
    order = broker.order_by_client_order_id(AAPL, now=OPEN)

    assert (order.status, order.filled_quantity) == (status, filled)
    assert sum(fill.quantity for fill in broker.fills(AAPL, now=OPEN)) == filled


def test_a_cancel_means_every_open_order_under_an_id(behaving):
    broker = behaving(scope=DedupScope.NONE)
    for _ in range(2):
        broker.submit(request(), now=EARLY)
    broker.cancel(AAPL, now=SOON)

    statuses = [order.status for order in broker.orders(since=SESSION, now=OPEN)]
    assert statuses == [OrderStatus.CANCELLED] * 2


def test_a_lost_cancel_is_unanswered_and_an_ignored_one_is_not(behaving):
    lost = behaving(reports=always(ReportFault.CANCEL_LOST), name="a")
    ignored = behaving(reports=always(ReportFault.CANCEL_THEN_FILLED), name="b")
    for broker in (lost, ignored):
        broker.submit(request(), now=EARLY)
    with pytest.raises(BrokerUnavailable):
        lost.cancel(AAPL, now=EARLY)
    ignored.cancel(AAPL, now=EARLY)

    for broker in (lost, ignored):
        assert broker.order_by_client_order_id(AAPL, now=OPEN).status is OrderStatus.FILLED


@pytest.mark.parametrize("fault", list(ReportFault))
def test_a_kind_broker_has_none_of_the_faults(fault):
    kind = Behaviour(seed=1)

    assert not any(kind.has(fault, str(number)) for number in range(200))


# -------------------------------------------------------------------------------- repetition


def lived(broker):
    """Let a broker live through a session of forty orders, and return all that anybody heard."""
    heard = []
    for number in range(40):
        one = request(client_order_id=ClientOrderId(f"ta-{number}"), quantity=number + 1)
        for now in (EARLY, SOON):
            try:
                heard.append(broker.submit(one, now=now))
            except TradingError as error:
                heard.append(repr(error))
    for now in (OPEN, LATER):
        for number in range(40):
            try:
                heard.append(broker.fills(ClientOrderId(f"ta-{number}"), now=now))
            except BrokerUnavailable as error:
                heard.append(repr(error))
    return heard, broker.dump()


MIXED = Behaviour(
    seed=5,
    scope=DedupScope.OPEN_ONLY,
    sends=dict.fromkeys(SendFault, 800),
    reports=dict.fromkeys(ReportFault, 2_000),
    executions=2,
)


def test_a_run_can_be_repeated_and_another_seed_is_another_run(behaving):
    first, again = lived(behaving(MIXED, name="a")), lived(behaving(MIXED, name="b"))
    other = lived(behaving(replace(MIXED, seed=6), name="c"))

    assert first == again
    assert first != other


def test_chances_come_about_as_often_as_they_should():
    broken = Behaviour(seed=5, sends={SendFault.SLOW: 2_500, SendFault.REFUSED: 2_500})
    drawn = [broken.send_fault(ClientOrderId(str(number)), attempt=0) for number in range(4_000)]

    assert abs(drawn.count(SendFault.SLOW) - 1_000) < 150
    assert abs(drawn.count(SendFault.REFUSED) - 1_000) < 150
    assert abs(drawn.count(None) - 2_000) < 200


def test_each_attempt_under_an_id_meets_its_own_fate(behaving):
    broker = behaving(script=(SendFault.RESET_BEFORE, SendFault.FAILED_BEFORE, None))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            broker.submit(request(), now=EARLY)

    assert broker.submit(request(), now=EARLY).status is OrderStatus.WORKING
    assert [arrival.broker_order_id != "" for arrival in broker.dump().arrivals] == [False, False, True]


# -------------------------------------------------------------------------------- as text


def test_a_behaviour_is_written_as_text(tmp_path):
    path = tmp_path / "behaviour.toml"
    path.write_text(
        'seed = 7\nscope = "window"\nwindow_s = 60\nclaims = "all_time"\n'
        'script = ["slow", "answered"]\nexecutions = 2\nlate_s = 30\nslow_s = 0.5\n'
        "[sends]\nreset_after = 500\n[reports]\nbust = 10\n"
    )

    assert load_behaviour(path) == Behaviour(
        seed=7,
        scope=DedupScope.WINDOW,
        window_s=60,
        claims=DedupScope.ALL_TIME,
        script=(SendFault.SLOW, None),
        sends={SendFault.RESET_AFTER: 500},
        reports={ReportFault.BUST: 10},
        executions=2,
        late_s=30,
        slow_s=0.5,
    )
    assert behaviour_from_text("") == Behaviour()


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        ("lost_answers", lambda told: told.script == (SendFault.RESET_AFTER,)),
        ("forgetful", lambda told: told.scope is DedupScope.NONE),
        ("too_many_requests", lambda told: ReportFault.QUERY_LIMITED in told.reports and told.sends),
        ("late_fills", lambda told: told.executions > 1 and ReportFault.LATE_FILLS in told.reports),
    ],
)
def test_the_behaviours_in_the_box_do_what_they_are_named_for(name, is_so):
    assert is_so(load_behaviour(ROOT / "config" / "behaviours" / f"{name}.toml"))


@pytest.mark.parametrize(
    "text", ['script = ["late"]', "[sends]\nlate = 1", 'script = ["late"]\nlate_s = 300']
)
def test_a_late_send_arrives_within_what_a_broker_may_declare(text):
    declared = behaviour_from_text(text).capabilities(definitive_errors=frozenset())

    assert declared.settle_time_s == SETTLE_TIME_S_MAX


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sead = 7", "sead"),
        ('seed = "many"', "seed"),
        ('scope = "weekly"', "weekly"),
        ('script = ["explode"]', "script 'explode': must be one of slow, late, reset_before"),
        ('claims = "always"', "claims 'always': must be one of all_time, window"),
        ("[reports]\nlies = 1", "reports 'lies': must be one of late_fills"),
        ("[sends]\nslow = 10001", "10001"),
        ("[sends]\nslow = 6000\nlate = 6000", "12000"),
        ("[reports]\nbust = -1", "-1"),
        ("window_s = 5", "window_s"),
        ('scope = "window"', "window_s"),
        ("executions = 0", "executions"),
        ("late_s = 0", "late_s"),
        ('script = ["late"]\nlate_s = 301', "late_s 301: at most 300 where a send may be `late`"),
        ("late_s = 600\n[sends]\nlate = 1", "late_s 600: .*set it lower, or take the word out"),
        ("seed =", "Invalid value"),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused_by_name(tmp_path, text, names):
    path = tmp_path / "behaviour.toml"
    path.write_text(text)

    with pytest.raises(BadInput, match=names):
        behaviour_from_text(text)
    with pytest.raises(BadSetting, match=r"behaviour\.toml"):
        load_behaviour(path)


def test_a_missing_behaviour_file_is_named(tmp_path):
    with pytest.raises(BadSetting, match=r"nowhere\.toml"):
        load_behaviour(tmp_path / "nowhere.toml")
