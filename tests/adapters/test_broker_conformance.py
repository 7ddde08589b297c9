"""One suite for the port to brokers, held against every one of ours; what it does not accept is no broker."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from proof.simulated_broker import SimulatedBroker
from resources.paper_broker import ledger as paper_ledger
from resources.paper_broker.broker import PaperBroker
from resources.paper_broker.client import HttpPaperBroker
from resources.paper_broker.server import BrokerServer
from tests.adapters.broker_rules import (
    ACCOUNT,
    CALENDAR,
    DEPOSIT,
    MODEL,
    OPEN,
    RULES,
    WINDOW_S,
    Market,
    Setting,
    a_broker_that_cannot_be_reached_proves_nothing,
    a_dump_has_every_order_execution_and_send_that_arrived,
    a_refusal_is_definitive_and_leaves_no_order,
    an_id_is_refused_for_as_long_as_is_declared,
    an_id_sent_again_is_a_duplicate_and_no_second_order,
)
from trading.broker_behaviour import Behaviour
from trading.brokers import BrokerAccount, BrokerClock, BrokerDump, DedupScope, Holdings
from trading.orders import BrokerOrder, OrderStatus
from trading.testing import REMEMBERS, FakeBroker

PRICE = 100_000_000

SCOPES = {
    scope: Behaviour(scope=scope, window_s=WINDOW_S if scope is DedupScope.WINDOW else 0)
    for scope in DedupScope
}


def paper(path, behaviour=SCOPES[DedupScope.ALL_TIME]):
    return PaperBroker(
        path,
        account=ACCOUNT,
        deposit_micros=DEPOSIT,
        market=Market(AAPL=10**6),
        fill_model=MODEL,
        calendar=CALENDAR,
        behaviour=behaviour,
    )


class Settings:
    """Make the setting of one kind of broker, and clear it away."""

    def __init__(self, tmp_path, monkeypatch):
        self._path = tmp_path / "SIM.db"
        self._monkeypatch = monkeypatch
        self._open = ExitStack()

    def fake(self, scope):
        behaviour = SCOPES[scope]
        broker = FakeBroker(
            capabilities=replace(REMEMBERS, dedup_scope=scope, dedup_window_s=behaviour.window_s),
            account=ACCOUNT,
            opened=Holdings(cash_micros=DEPOSIT),
        )

        def fill(client_order_id):
            left = broker.order_by_client_order_id(client_order_id, now=OPEN).quantity
            broker.fill(client_order_id, left, PRICE, now=OPEN)

        def cut():
            broker.is_down = True

        return Setting(broker=broker, cut=cut, fill=fill)

    def embedded(self, scope):
        self._monkeypatch.setattr(paper_ledger, "BUSY_TIMEOUT_S", 0)
        broker = paper(self._path, SCOPES[scope])

        def cut():
            writer = paper_ledger.Ledger(self._path)
            self._open.enter_context(writer.transaction(OSError))

        return Setting(broker=broker, cut=cut)

    def simulated(self, scope):
        behaviour = SCOPES[scope]
        broker = SimulatedBroker(
            account=ACCOUNT,
            capabilities=replace(REMEMBERS, dedup_scope=scope, dedup_window_s=behaviour.window_s),
            scope=scope,
            opening=Holdings(cash_micros=DEPOSIT),
        )

        def fill(client_order_id):
            order = broker.order_by_client_order_id(client_order_id, now=OPEN)
            broker.fill(order.broker_order_id, order.quantity, PRICE, now=OPEN)

        return Setting(broker=broker, cut=lambda: None, fill=fill)

    def http(self, scope):
        broker = paper(self._path, SCOPES[scope])
        server = self._open.enter_context(BrokerServer(broker))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        stopped = self._open.callback(server.shutdown)
        client = self._open.enter_context(HttpPaperBroker(server.url, capabilities=broker.capabilities))

        def cut():
            stopped()
            server.server_close()

        return Setting(broker=client, cut=cut)

    def close(self):
        self._open.close()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    made = Settings(tmp_path, monkeypatch)
    yield made
    made.close()


BROKERS = [(kind, scope) for kind in ("fake", "embedded", "http") for scope in DedupScope]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize(("kind", "scope"), BROKERS)
def test_a_broker_keeps_every_rule_of_the_port(settings, kind, scope, rule):
    rule(getattr(settings, kind)(scope))


OF_MESSAGES = {
    a_refusal_is_definitive_and_leaves_no_order,
    a_broker_that_cannot_be_reached_proves_nothing,
    a_dump_has_every_order_execution_and_send_that_arrived,
}
"""The rules that the simulation keeps where messages travel: refusals and breaks are made there."""


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule not in OF_MESSAGES], ids=lambda rule: rule.__name__
)
@pytest.mark.parametrize("scope", DedupScope)
def test_the_broker_of_the_simulation_keeps_the_rules_that_are_its_own(settings, scope, rule):
    rule(settings.simulated(scope))


# -------------------------------------------------------------------------------- what is no broker


class Stub:
    """Answer every question and keep nothing: what a test double is when nobody holds it to the port."""

    capabilities = REMEMBERS

    def submit(self, request, *, now):
        return BrokerOrder(
            broker_order_id="stub",
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity,
            filled_quantity=0,
            status=OrderStatus.WORKING,
        )

    def order_by_client_order_id(self, client_order_id, *, now):
        return None

    def fills(self, client_order_id, *, now):
        return []

    def cancel(self, client_order_id, *, now):
        pass

    def orders(self, *, since, now):
        return []

    def holdings(self, *, now):
        return Holdings(cash_micros=DEPOSIT)

    def replace(self, client_order_id, request, *, now):
        return self.submit(request, now=now)

    def positions(self, *, now):
        return {}

    def account(self, *, now):
        return BrokerAccount(
            account=ACCOUNT,
            currency="USD",
            cash_micros=DEPOSIT,
            buying_power_micros=DEPOSIT,
            equity_micros=DEPOSIT,
        )

    def activities(self, *, since, now):
        return []

    def quote(self, symbol, *, now):
        return None

    def clock(self, *, now):
        return BrokerClock(OPEN, is_open=True, next_open=None, next_close=None)

    def dump(self):
        return BrokerDump(account=ACCOUNT, is_live=False)


def broken_by(make_setting):
    broken = set()
    for rule in RULES:
        try:
            rule(make_setting())
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however a rule ends, it is broken
            broken.add(rule.__name__)
    return broken


def test_a_stub_that_keeps_nothing_is_no_broker():
    broken = broken_by(lambda: Setting(broker=Stub(), cut=lambda: None))

    # It declares what it should, and what concerns only a broker without memory does not concern it.
    assert {rule.__name__ for rule in RULES} - broken == {
        "it_declares_what_it_can",
        "two_orders_under_one_id_are_two_in_the_dump",
        "a_quote_is_of_the_symbol_and_never_from_later",
    }


@pytest.mark.parametrize("truly", [DedupScope.NONE, DedupScope.OPEN_ONLY])
def test_a_broker_that_claims_to_remember_and_does_not_is_caught(tmp_path, truly):
    liar = Behaviour(scope=truly, claims=DedupScope.ALL_TIME)
    numbers = iter(range(100))
    broken = broken_by(
        lambda: Setting(broker=paper(tmp_path / f"{next(numbers)}.db", liar), cut=lambda: None)
    )

    assert an_id_is_refused_for_as_long_as_is_declared.__name__ in broken
    assert (an_id_sent_again_is_a_duplicate_and_no_second_order.__name__ in broken) == (
        truly is DedupScope.NONE
    )
