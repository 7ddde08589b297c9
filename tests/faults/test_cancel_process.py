"""The process that a halt starts: every book is asked at once, and what fails in one stops no other."""

from __future__ import annotations

import json
import shutil

import pytest

from console import cancel_process
from console.cancelling import is_anything_decided
from console.desk import open_desk
from resources.cancel_only import CancelOnly
from resources.journal.store import SqlJournal
from resources.profiles import Profiled
from tests.faults.test_halting import NOW, OF, OPENING, ROOT, STOP, decided, execute
from trading.errors import BrokerUnavailable
from trading.journal import RunControlAction
from trading.orders import OrderStatus
from trading.testing import FakeBroker, example_intent

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
        monkeypatch.setattr(Profiled, "cancel_only", self.cancel_only)

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
