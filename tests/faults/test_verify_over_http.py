"""`trading verify` where orders went over a route: the broker is asked, and what it cannot tell is said."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from console import verify as verifying
from console.cli import main
from proof.transport import ROUTES
from resources.audit_log import project
from resources.journal.store import SqlJournal
from resources.profiles import Profiled
from resources.settings import load_settings
from tests.adapters.broker_rules import CLOSE, SESSION, Market, request
from tests.adapters.exchange_served import KEYS, Served, served
from tests.console.test_verify import asked_here
from tests.faults.test_cancel_process import sent_over_http
from tests.faults.test_halting import OF, OPENING, ROOT, decided
from trading.executions import Desk, settle_orders
from trading.journal import RunControlAction
from trading.positions import with_fills
from trading.testing import NoAuditLog, OpenLock, example_intent

__all__ = ["asked_here"]

ASKED = {"INV1", "INV2", "INV4", "INV13", "INV19"}
LATER = CLOSE + timedelta(minutes=30)


@contextmanager
def machine(folder, monkeypatch):
    """Have the settings of a machine whose book trades at an exchange over HTTP, and the exchange's keys."""
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TRADING_STATE_DIR", str(folder / "state"))
        patch.setenv("TRADING_CONFIG_DIR", str(folder / "config"))
        patch.setenv("TRADING_BROKER_APP_KEY", KEYS.key_id)
        patch.setenv("TRADING_BROKER_APP_SECRET", KEYS.secret)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr(verifying, "LOOK_AGAIN_S", 0.0)
        with served(folder / "exchange.db", market=Market(AAPL=10**6, IBM=10**6)) as exchange:
            patch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
            yield exchange, patch


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Give the folder of a machine that traded and settled one session at the exchange."""
    folder = tmp_path_factory.mktemp("lived")
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config" / "routes.toml").write_text(ROUTES, encoding="utf-8")
    (folder / "state" / "simulated").mkdir(parents=True)
    patches = pytest.MonkeyPatch()
    with machine(folder, patches), opened(folder) as journal:
        decided(journal, example_intent("AAPL", quantity=10))
        sent_over_http(journal)
        profiled = Profiled(load_settings())
        with profiled.journal:
            desk = Desk(
                journal=journal,
                broker=profiled.brokers_in({})["us_five"],
                lock=OpenLock(),
                audit=NoAuditLog(),
                clock=lambda: LATER,
                account="SIM-FIVE",
                lane="simulated",
                holder="test",
            )
            settle_orders(desk, book="us_five", session=SESSION, since=SESSION, expected=None, actor="test")
        closing = with_fills(OPENING, journal.fills(**OF))
        journal.settle(**OF, closing=closing, carried_by="", now=LATER)
        project(journal, folder / "state" / "simulated" / "audit.jsonl")
    return folder


class Machine(NamedTuple):
    """Hold a copy of that machine, and what its exchange trades with."""

    folder: Path
    exchange: Served
    patch: pytest.MonkeyPatch

    @property
    def journal_path(self):
        return self.folder / "state" / "simulated" / "journal.db"


@pytest.fixture
def desk(lived, tmp_path, monkeypatch):
    folder = tmp_path / "machine"
    shutil.copytree(lived, folder)
    with machine(folder, monkeypatch) as (exchange, patch):
        yield Machine(folder, exchange, patch)


def opened(folder):
    return SqlJournal(f"sqlite:///{folder / 'state' / 'simulated' / 'journal.db'}")


def verified(capsys):
    code = main(["verify", "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said


def named(told, standing):
    return {row["invariant"] for row in told["invariants"] if row["standing"] == standing}


def test_what_a_broker_over_http_has_is_compared_with_the_journal(desk, capsys):
    before = desk.journal_path.read_bytes()
    code, told, said = verified(capsys)

    assert (code, named(told, "violated")) == (0, set()), told
    assert named(told, "held") >= ASKED, told
    assert "INV15" in named(told, "held")
    assert told["verdict"].startswith("ALL AGREE")
    assert {row["looked_at"] for row in told["invariants"] if row["invariant"] in {"INV1", "INV13"}} == {
        "1 broker order",
        "1 send",
    }
    assert said.err == "asking paper_exchange\n"
    assert desk.journal_path.read_bytes() == before


@pytest.mark.usefixtures("asked_here")
def test_an_order_of_ours_that_the_journal_never_prepared_is_found_there_with_the_shares_it_bought(
    desk, capsys
):
    desk.exchange.broker.submit(request("IBM", account="SIM-FIVE"), now=LATER - timedelta(hours=9))
    code, told, _ = verified(capsys)

    assert code == 1
    assert named(told, "violated") == {"INV2", "INV19"}, told


@pytest.mark.usefixtures("asked_here")
def test_an_order_that_stands_on_other_terms_than_were_prepared_is_found(desk, capsys):
    with sqlite3.connect(desk.folder / "exchange.db") as ledger:
        ledger.execute("update orders set request = json_set(request, '$.time_in_force', 'day')")
    code, told, _ = verified(capsys)

    assert (code, named(told, "violated")) == (1, {"INV2"})
    assert "stands on terms" in told["violations"][0]["detail"]


@pytest.mark.usefixtures("asked_here")
def test_an_order_of_ours_is_found_where_the_routes_lead_though_the_journal_sent_none_there(
    tmp_path, monkeypatch, capsys
):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "routes.toml").write_text(ROUTES, encoding="utf-8")
    (tmp_path / "state" / "simulated").mkdir(parents=True)
    with machine(tmp_path, monkeypatch) as (exchange, _):
        with opened(tmp_path) as journal:
            decided(journal, example_intent("AAPL", quantity=10))
        agrees, told, _ = verified(capsys)
        exchange.broker.submit(request("IBM", account="SIM-FIVE"), now=LATER - timedelta(hours=9))
        code, found, _ = verified(capsys)

    assert (agrees, named(told, "violated")) == (0, set()), told
    assert (code, named(found, "violated")) == (1, {"INV2"}), found
    assert "never prepared" in found["violations"][0]["detail"]


@pytest.mark.parametrize("how", ["nobody answers", "no key"])
def test_a_broker_that_could_not_be_asked_leaves_nothing_said_to_agree(desk, capsys, how):
    if how == "no key":
        desk.patch.delenv("TRADING_BROKER_APP_SECRET")
    else:
        desk.patch.setenv("TRADING_BROKER_BASE_URL", "http://127.0.0.1:9")
    code, told, _ = verified(capsys)

    assert code == 6
    assert told["verdict"].startswith("CANNOT TELL: brokers over a network could not be asked; ")
    assert named(told, "not checked") >= ASKED
    assert "paper_exchange of SIM-FIVE: " in told["unreadable"][0]


@pytest.mark.usefixtures("asked_here")
def test_without_its_journal_the_brokers_are_said_to_be_unasked_and_keys_are_looked_for(desk, capsys):
    (desk.journal_path.parent / "audit.jsonl").write_text('{"seq":1}\n', encoding="utf-8")
    for path in desk.journal_path.parent.glob("journal.db*"):
        path.unlink()
    code, told, _ = verified(capsys)

    assert (code, "INV9" in named(told, "violated")) == (1, True), told
    assert "INV15" in named(told, "held"), told
    lost, unread = told["unreadable"]
    assert lost.startswith("journal: journal ")
    assert unread.startswith("brokers over a network: paper_exchange of SIM-FIVE: ")
    assert "is missing or empty, but its audit log tells of what was done" in unread
    assert not desk.journal_path.exists()


def test_with_a_damaged_journal_the_brokers_are_said_to_be_unasked_and_keys_are_looked_for(desk, capsys):
    for path in desk.journal_path.parent.glob("journal.db*"):
        path.unlink()
    desk.journal_path.write_bytes(b"no journal" * 999)
    code, told, _ = verified(capsys)

    assert (code, "INV9" in named(told, "violated")) == (1, True), told
    assert "INV15" in named(told, "held"), told
    damaged, unread = told["unreadable"]
    assert damaged.startswith("journal's file: journal ")
    assert unread.startswith("brokers over a network: paper_exchange of SIM-FIVE: journal ")
    assert "file is not a database" in unread


def test_a_brokers_key_in_an_event_is_named_by_its_place_and_never_shown(desk, capsys):
    with opened(desk.folder) as journal:
        journal.set_run_control(
            RunControlAction.HALT, actor="ann", reason=f"who sent {KEYS.secret}?", now=LATER
        )
    code, told, said = verified(capsys)

    assert (code, named(told, "violated")) == (1, {"INV15"}), told
    assert KEYS.secret not in said.out + said.err
    assert told["violations"][0]["detail"] == "holds a key of a broker"
