"""The kill switch from the console over HTTP to the broker's ledger, with an order in flight and no daemon.

The server, the cancelling process, the graph, the journal and the paper broker are the real ones; what a halt
does to many orders at once is tests/faults/test_halting.py.
"""

from __future__ import annotations

import shutil
import time

import pytest

from console.web.identities import Role
from resources.evidence import gather
from tests.console.web.serving import console_on
from tests.graph.desk import CALENDAR, CONFIG, FIRST, Desk, copied
from trading.invariants import violations
from trading.lifecycle import IntentState
from trading.orders import OrderStatus

CANCELLED_S_MAX = 120
"""How long the cancelling process may take on a busy machine; it is looked at as soon as it is done."""

API = "/api/v1"


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Give reviewed files by which two orders are wanted, each far more than a session's volume fills."""
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    for name, changes in {
        "books.toml": {
            'deposit = "1000000"': 'deposit = "9000000"',
            "participation_bps = 500": "participation_bps = 1",
        },
        "limits.toml": {
            "fat_finger_soft_multiple = 6": "fat_finger_soft_multiple = 600",
            "fat_finger_hard_multiple = 10": "fat_finger_hard_multiple = 1000",
            'auto_approve_notional = "80000"': 'auto_approve_notional = "900000"',
            'order_notional_max = "100000"': 'order_notional_max = "1000000"',
            '["AAPL", "GOOG", "IBM", "MSFT"]': '["AAPL", "FB", "GOOG", "IBM", "MSFT"]',
        },
        "control.toml": {'four_eyes_notional = "95000"': 'four_eyes_notional = "950000"'},
    }.items():
        text = (folder / name).read_text(encoding="utf-8")
        for before, after in changes.items():
            assert before in text, before
            text = text.replace(before, after)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "desk"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(folder))
    return {"config_dir": folder, "books_file": folder / "books.toml"}


class HaltedInFlight:
    """Stand in front of a broker: while the first order is on its way, a person halts at the console."""

    def __init__(self, real, halt):
        self._real, self._halt = real, halt

    def __getattr__(self, name):
        return getattr(self._real, name)

    def submit(self, request, *, now):
        answer = self._real.submit(request, now=now)
        self._halt()
        return answer


def change(console, path, role=Role.TRADER, **body):
    headers = {"Idempotency-Key": f"{role}-{len(body)}-{body.get('confirm', '')}"}
    return console.ask("POST", API + path, role=role, body={"reason": "fire", **body}, headers=headers)


def halt_in_force(console):
    """Return the word that ends the halt that the console shows, empty where it shows none."""
    found = console.ask("GET", f"{API}/control", role=Role.VIEWER).json["item"]
    assert bool(found["confirm"]) == found["control"]["kill_switch_on"]
    return found["confirm"]


def at_the_broker(desk):
    """Return what the broker itself says of each order that it was ever sent, by symbol."""
    broker, now = desk.profiled.brokers[desk.book], CALENDAR.opens_at(FIRST)
    return {
        symbol: broker.order_by_client_order_id(order, now=now).status for order, symbol, _ in desk.sent()
    }


def states(desk):
    return {row.intent.symbol: row.state for row in desk.journal.intents(**desk.where(FIRST))}


def until_cancelled(desk):
    """Wait until nothing that the broker was sent is open there."""
    ends_at = time.monotonic() + CANCELLED_S_MAX
    while set(at_the_broker(desk).values()) != {OrderStatus.CANCELLED}:
        assert time.monotonic() < ends_at, at_the_broker(desk)
        time.sleep(0.2)


def assert_nothing_is_violated(desk):
    found = violations(
        gather(
            desk.journal,
            audit_path=desk.settings.audit_log,
            dumps=[desk.profiled.brokers[desk.book].dump()],
            is_healed=False,
            as_of=CALENDAR.opens_at(FIRST),
        )
    )
    assert [f"{one.invariant} {one.subject}: {one.detail}" for one in found] == []


@pytest.fixture
def desk_of(tmp_path, config):
    """Give what opens a desk of these reviewed files on this test's state; every one is as a new process."""
    opened = []

    def open_desk(**options):
        opened.append(Desk(tmp_path / "desk", **config, **options))
        return opened[-1]

    yield open_desk
    for desk in opened:
        desk.close()


def test_a_halt_with_an_order_in_flight_lets_no_other_be_sent_until_it_is_ended_in_two_steps(
    imported, tmp_path, config, desk_of
):
    state = copied(imported.folder, tmp_path / "desk")
    halts = []
    with console_on(state, settings=config) as console:
        desk = desk_of(
            ports={
                "brokers": lambda profiled: {
                    "us_five": HaltedInFlight(
                        profiled.brokers["us_five"], lambda: halts.append(change(console, "/control/halt"))
                    )
                }
            }
        )
        assert desk.run("decide", FIRST).success
        assert states(desk) == {"FB": IntentState.APPROVED, "IBM": IntentState.APPROVED}
        desk.run("execute", FIRST)
        until_cancelled(desk)

    assert [answer.status for answer in halts] == [200]
    assert list(at_the_broker(desk)) == ["FB"]
    assert states(desk)["IBM"] is IntentState.APPROVED

    # Everything starts anew, and is still halted.
    again = desk_of()
    again.run("execute", FIRST)
    assert list(at_the_broker(again)) == ["FB"]
    with console_on(state, settings=config) as console:
        word = halt_in_force(console)
        first_step = change(console, "/control/resume", Role.ADMIN)
        by_trader = change(console, "/control/resume", confirm=word)
        another = change(console, "/control/resume", Role.ADMIN, confirm="resume-00000000")
        assert word
        assert (first_step.status, by_trader.status, another.status) == (409, 403, 409)
        assert word in first_step.json["detail"]
        assert halt_in_force(console) == word
        assert_nothing_is_violated(again)

        assert change(console, "/control/resume", Role.ADMIN, confirm=word).status == 200
        assert halt_in_force(console) == ""
    desk_of().run("execute", FIRST)

    assert list(at_the_broker(again)) == ["FB", "IBM"]
    assert_nothing_is_violated(again)


def test_a_halt_at_the_console_cancels_what_rests_at_the_broker_with_nothing_else_running(
    imported, tmp_path, config, desk_of
):
    state = copied(imported.folder, tmp_path / "desk")
    desk = desk_of()
    assert desk.run("decide", FIRST).success
    assert desk.run("execute", FIRST).success
    resting = at_the_broker(desk)
    with console_on(state, settings=config) as console:
        assert change(console, "/control/halt").status == 200
        until_cancelled(desk)

    assert resting == dict.fromkeys(("FB", "IBM"), OrderStatus.PARTIAL_FILL)
    (*_, asked) = [event for event in desk.journal.events(after=0, limit=999) if event.kind == "cancel_asked"]
    assert (asked.actor, asked.reason) == ("trader program", "fire")
    assert_nothing_is_violated(desk)
