"""The process that a halt starts: every book is asked at once, and what fails in one stops no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from console import cancel_process, cancelling
from console.cancelling import cancel_apart, is_anything_decided
from console.cli import main
from console.desk import open_desk
from proof.transport import ROUTES
from resources.cancel_only import CancelOnly
from resources.journal.store import SqlJournal
from resources.paper_broker.resting import Ticket
from resources.profile_brokers import ProfileBrokers
from resources.profiles import Profiled
from resources.settings import load_settings
from tests.adapters.broker_rules import EARLY, Market, request
from tests.adapters.exchange_served import KEYS, served
from tests.faults.test_halting import CLOSE, NOW, OF, OPENING, PASSED, ROOT, SESSION, STOP, decided, execute
from trading.errors import BrokerUnavailable, NoBroker
from trading.executions import Desk, execute_session
from trading.halting import cancel_open_orders
from trading.intents import CLIENT_ORDER_ID_PREFIX
from trading.journal import RunControlAction
from trading.orders import OrderStatus
from trading.testing import FakeBroker, NoAuditLog, OpenLock, example_intent
from trading.values import ClientOrderId, OrderType, TimeInForce

WORDS = ["--actor=ann", "--reason=fire", "--seconds=0"]


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Give the folder of a machine with reviewed files of its own."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "state" / "simulated").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def journal(state):
    with SqlJournal(f"sqlite:///{state / 'state' / 'simulated' / 'journal.db'}") as opened:
        yield opened


class Books:
    """Be the brokers of two books: `us_five` has an open order, `us_wide` whatever a test lets it have."""

    def __init__(self, journal, monkeypatch):
        self.of = {"us_five": FakeBroker(), "us_wide": FakeBroker()}
        self.asked = []
        decided(journal, example_intent("AAPL"))
        execute(journal, self.of["us_five"])
        journal.opening_book(**OF | {"book": "us_wide"}, previous=None, opened=OPENING, now=NOW)
        journal.set_run_control(RunControlAction.HALT, **STOP)
        monkeypatch.setattr(ProfileBrokers, "cancel_only", self.cancel_only)

    def cancel_only(self, book):
        self.asked.append(book)
        return CancelOnly(self.of[book])


@pytest.fixture
def books(journal, monkeypatch):
    return Books(journal, monkeypatch)


def run(capsys, *words):
    code = cancel_process.main([*WORDS, *words])
    told = json.loads(capsys.readouterr().out)
    return code, {book["book"]: book for book in told["books"]}, told["problem"]


def test_every_book_is_asked_before_any_is_waited_for(books, capsys):
    code, told, _ = run(capsys, "--seconds=0.3")

    assert code == 3
    assert books.asked[:2] == ["us_five", "us_wide"]
    assert len(told["us_five"]["still_open"]) == 1
    assert told["us_wide"]["is_done"]
    assert books.asked.count("us_wide") == 1


@pytest.mark.parametrize("error", [OSError("socket"), BrokerUnavailable("down"), ConnectionResetError()])
def test_what_fails_in_one_book_is_told_and_stops_no_other(books, capsys, monkeypatch, error):
    class Fails(FakeBroker):
        def orders(self, *, since, now):
            raise error

    books.of = {"us_five": Fails(), "us_wide": books.of["us_five"]}
    code, told, problem = run(capsys)

    assert (code, problem) == (3, "")
    assert not told["us_five"]["is_done"]
    assert told["us_five"]["problem"]
    assert books.asked == ["us_five", "us_wide"]


class SlowTime:
    """Be the time of the process: it passes only where a test lets it."""

    def __init__(self):
        self.s = 0.0

    def monotonic(self):
        return self.s

    def sleep(self, seconds):
        self.s += seconds


def test_a_slow_broker_of_one_book_takes_no_time_from_another_books_cancels(books, capsys, monkeypatch):
    passing = SlowTime()

    class Hangs(FakeBroker):
        def orders(self, *, since, now):
            passing.sleep(30)
            raise BrokerUnavailable("time_out: no whole answer")

    other = FakeBroker()
    other.submit(request("IBM", client_order_id=ClientOrderId(f"{CLIENT_ORDER_ID_PREFIX}{1:032x}")), now=NOW)
    books.of = {"us_five": Hangs(), "us_wide": other}
    monkeypatch.setattr(cancel_process, "time", passing)
    code, told, _ = run(capsys, "--seconds=10")

    assert code == 3
    assert not told["us_five"]["is_done"]
    assert told["us_wide"]["cancels_asked"] == [f"{CLIENT_ORDER_ID_PREFIX}{1:032x}"] == other.cancels


@pytest.mark.parametrize("is_sent", [False, True])
def test_without_a_broker_there_is_nothing_to_cancel_at_unless_an_order_may_be_there(
    journal, monkeypatch, capsys, is_sent
):
    decided(journal, example_intent("AAPL"))
    if is_sent:
        execute(journal, FakeBroker())
    journal.set_run_control(RunControlAction.HALT, **STOP)

    def none_there(*_):
        raise NoBroker("profile live: no live broker is configured")

    monkeypatch.setattr(ProfileBrokers, "cancel_only", none_there)
    code, told, problem = run(capsys)

    assert (code, problem, told["us_five"]["is_done"]) == ((3, "", False) if is_sent else (0, "", True))
    assert told["us_five"]["note"] == "no broker is configured: there is nothing to cancel at"
    assert told["us_five"]["problem"].endswith("and 1 may be open" if is_sent else "")
    assert journal.run_control().kill_switch_on


def test_a_halt_without_a_broker_is_whole_and_says_that_there_is_nothing_to_cancel_at(
    journal, state, monkeypatch, capsys
):
    with SqlJournal(f"sqlite:///{live_journal(state)}") as live:
        live.opening_book(**OF | {"lane": "live"}, previous=None, opened=OPENING, now=NOW)
    monkeypatch.setenv("TRADING_PROFILE", "live")
    monkeypatch.setenv("TRADING_LIVE_ALLOWED", "true")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = main(["halt", "--reason", "prices look wrong", "--as", "ann"])
    said = capsys.readouterr()

    assert code == 0, said
    assert "HALTED by ann" in said.out
    assert "no broker is configured: there is nothing to cancel at" in said.out
    with SqlJournal(f"sqlite:///{live_journal(state)}") as live:
        assert live.run_control().kill_switch_on


def live_journal(state):
    """Give where the live profile has its journal."""
    (state / "state" / "live").mkdir(exist_ok=True)
    return state / "state" / "live" / "journal.db"


def test_a_mistake_in_the_limits_stops_no_cancel(journal, state, capsys):
    decided(journal, example_intent("AAPL"))
    journal.set_run_control(RunControlAction.HALT, **STOP)
    for name in ("limits.toml", "rules.toml", "control.toml", "strategies.toml", "releases.toml"):
        (state / "config" / name).write_text("order_quantity_max = \n")
    code, told, problem = run(capsys)

    assert (code, problem) == (0, "")
    assert told["us_five"]["problem"] == ""
    assert told["us_five"]["is_done"]


def test_a_live_order_behind_an_ended_intent_is_cancelled_by_a_halt_as_well(journal, books, capsys):
    broker = books.of["us_five"]
    (row,) = journal.intents(**OF)
    (order,) = journal.orders(**OF)
    broker.end(order.client_order_id, OrderStatus.CANCELLED)
    execute(journal, broker)
    assert not journal.intent(row.intent_id).state.is_open
    books.of["us_five"] = lives_on = FakeBroker()
    lives_on.submit(order.request, now=NOW)

    assert is_anything_decided(open_desk())
    code, told, _ = run(capsys)

    assert code == 3
    assert told["us_five"]["cancels_asked"] == [order.client_order_id]
    assert lives_on.cancels == [order.client_order_id]


def test_before_a_first_session_there_is_nothing_to_ask(journal, capsys):
    journal.set_run_control(RunControlAction.HALT, **STOP)

    assert not is_anything_decided(open_desk())
    assert run(capsys) == (0, {}, "")


def test_an_order_at_an_exchange_is_cancelled_over_http_by_the_halts_own_process(journal, state, monkeypatch):
    # Six shares of the open's volume are its own: the other four rest, and can be cancelled.
    with served(state / "exchange.db", market=Market(AAPL=120)) as exchange:
        (state / "config" / "routes.toml").write_text(ROUTES, encoding="utf-8")
        monkeypatch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
        monkeypatch.setenv("TRADING_BROKER_APP_KEY", KEYS.key_id)
        monkeypatch.setenv("TRADING_BROKER_APP_SECRET", KEYS.secret)
        decided(journal, example_intent("AAPL", quantity=10))
        sent_over_http(journal)
        (order,) = journal.orders(**OF)
        assert (order.status, order.route.actual) == ("working", "paper_exchange")

        journal.set_run_control(RunControlAction.HALT, **STOP)
        done = subprocess.run(
            [sys.executable, "-m", "console.cancel_process", "--actor=ann", "--reason=fire", "--seconds=20"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        found = exchange.broker.order_by_client_order_id(order.client_order_id, now=NOW)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [book["cancels_asked"] for book in json.loads(done.stdout)["books"]] == [[order.client_order_id]]
    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELLED, 6)
    (asked,) = [event for event in journal.events(after=0, limit=99) if event.kind == "cancel_asked"]
    assert (asked.actor, asked.reason) == ("ann", "fire")


RESTING = 50


def resting_at(exchange):
    """Have so many orders of ours at an exchange that no bar of the day fills."""
    for number in range(RESTING):
        known_as = ClientOrderId(f"{CLIENT_ORDER_ID_PREFIX}{number:032x}")
        kind = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.DAY}
        wanted = request("IBM", client_order_id=known_as, **kind)
        exchange.broker.place(Ticket(request=wanted, limit_micros=1_000_000), now=EARLY)


def calls_of():
    """Count the calls that the account's journal has, by endpoint."""
    return Counter(call.endpoint for call in open_desk().journal.outbound_calls(last=9_999))


@pytest.fixture
def at_exchange(state, monkeypatch):
    """Have the keys and routes of an exchange over HTTP in this environment."""
    (state / "config" / "routes.toml").write_text(ROUTES, encoding="utf-8")
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", KEYS.key_id)
    monkeypatch.setenv("TRADING_BROKER_APP_SECRET", KEYS.secret)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return state


def test_fifty_resting_orders_are_cancelled_within_a_minutes_budget_each_with_one_request(
    journal, at_exchange, monkeypatch
):
    market = Market(AAPL=120, IBM=10**6)
    with served(at_exchange / "exchange.db", market=market, requests_per_minute=200) as exchange:
        monkeypatch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
        decided(journal, example_intent("AAPL", quantity=10))
        sent_over_http(journal)
        resting_at(exchange)
        before = calls_of()
        journal.set_run_control(RunControlAction.HALT, **STOP)
        told = cancel_apart(open_desk(), actor="ann", reason="fire", is_waiting=True)
        found = exchange.broker.orders(since=SESSION, now=NOW)
    calls = calls_of() - before

    assert (told.asked, told.still_open, told.problem) == (RESTING + 1, 0, "")
    assert {order.status for order in found} == {OrderStatus.CANCELLED}
    assert calls["orders.cancel"] == RESTING + 1
    assert set(calls) == {"orders.cancel", "orders.list"}
    assert calls["orders.list"] <= 10


def test_a_halt_while_the_exchange_is_down_names_what_was_not_cancelled_and_what_to_do(
    journal, at_exchange, monkeypatch
):
    with served(at_exchange / "exchange.db", market=Market(AAPL=120)) as exchange:
        monkeypatch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
        decided(journal, example_intent("AAPL", quantity=10))
        sent_over_http(journal)
    (order,) = journal.orders(**OF)
    journal.set_run_control(RunControlAction.HALT, **STOP)
    monkeypatch.setattr(cancelling, "SECONDS", 0.5)
    told = cancel_apart(open_desk(), actor="ann", reason="fire", is_waiting=True)

    assert (told.how, told.asked, told.still_open) == ("asked", 0, 1)
    assert told.problem.startswith(f"1 may still be open ({order.client_order_id}): connect: ")
    assert "`trading halt` again asks again; where the broker stays away" in told.problem


def test_a_broker_that_is_away_costs_one_question_a_look_and_not_one_for_each_order(
    journal, at_exchange, monkeypatch, capsys
):
    with served(at_exchange / "exchange.db", market=Market(AAPL=120, IBM=120)) as exchange:
        monkeypatch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
        decided(journal, *(example_intent(symbol, quantity=10) for symbol in ("AAPL", "IBM")))
        sent_over_http(journal)
    before = calls_of()
    journal.set_run_control(RunControlAction.HALT, **STOP)
    _, told, _ = run(capsys)

    assert calls_of() - before == {"orders.list": 1, "orders.by_client_order_id": 1}
    assert set(told["us_five"]["still_open"]) == {order.client_order_id for order in journal.orders(**OF)}
    assert "paper_exchange does not answer" in told["us_five"]["problem"]


def test_a_broker_that_went_away_after_the_cancels_is_asked_once_how_they_ended(
    journal, at_exchange, monkeypatch
):
    with served(at_exchange / "exchange.db", market=Market(AAPL=120, IBM=120)) as exchange:
        monkeypatch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
        decided(journal, *(example_intent(symbol, quantity=10) for symbol in ("AAPL", "IBM")))
        sent_over_http(journal)
    ids = [order.client_order_id for order in journal.orders(**OF)]
    before = calls_of()
    profiled = Profiled(load_settings())
    with profiled.journal:
        found = cancel_open_orders(
            journal,
            profiled.cancel_only("us_five"),
            account="SIM-FIVE",
            lane="simulated",
            since=SESSION,
            asked_before=ids,
            **STOP,
        )

    assert calls_of() - before == {"orders.list": 1, "orders.by_client_order_id": 1}
    assert set(found.still_open) == set(ids)
    assert "its cancel was asked for, and paper_exchange does not answer" in found.problem


def sent_over_http(journal):
    """Send what is decided before the open, by the routes of this machine, as the executor of a run does."""
    profiled = Profiled(load_settings())
    with profiled.journal:
        desk = Desk(
            journal=journal,
            broker=profiled.brokers_in({})["us_five"],
            router=profiled.routers_in({})["us_five"],
            lock=OpenLock(),
            audit=NoAuditLog(),
            clock=lambda: EARLY,
            account="SIM-FIVE",
            lane="simulated",
            holder="test",
        )
        execute_session(
            desk,
            book="us_five",
            session=SESSION,
            since=SESSION,
            book_at_open=OPENING,
            review=lambda *_: PASSED,
            send_by=CLOSE,
        )
