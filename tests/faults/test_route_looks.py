"""`trading doctor` and `trading preflight` know the routes: no key, nobody there, a blocked account."""

from __future__ import annotations

import json
import shutil

import pytest

from console.cli import main
from proof.transport import ROUTES
from resources.paper_exchange.exchange import Answer, Exchange
from tests.adapters.exchange_served import KEYS, served
from tests.faults.test_halting import ROOT


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    with served(tmp_path_factory.mktemp("exchange") / "exchange.db") as exchange:
        yield exchange


@pytest.fixture
def desk(exchange, tmp_path, monkeypatch):
    """Have the settings of a machine whose book trades at the exchange; nothing was ever traded."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "routes.toml").write_text(ROUTES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TRADING_BROKER_BASE_URL", exchange.url)
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", KEYS.key_id)
    monkeypatch.setenv("TRADING_BROKER_APP_SECRET", KEYS.secret)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def spoken(capsys, *words):
    code = main([*words, "--json"])
    said = capsys.readouterr()
    assert KEYS.secret not in said.out + said.err
    return code, json.loads(said.out)


def test_a_route_that_leads_somewhere_is_told_with_its_account(desk, capsys):
    _, told = spoken(capsys, "doctor")
    (check,) = [row for row in told["checks"] if row["check"].startswith("route")]

    assert (check["check"], check["health"]) == ("route us_five paper_exchange", "ok")
    assert "may trade" in check["found"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (("TRADING_BROKER_APP_SECRET", ""), ("TRADING_BROKER_APP_SECRET, not set", "set it")),
        (("TRADING_BROKER_APP_SECRET", "another one"), ("bad_keys: ", "does not know these keys")),
        (
            ("TRADING_BROKER_BASE_URL", "http://127.0.0.1:9"),
            ("connect: ", "start it, or correct its"),
        ),
        (("TRADING_BROKER_ACCOUNT_NO", "OTHER"), ("another account", "TRADING_BROKER_ACCOUNT_NO")),
    ],
)
def test_a_route_that_leads_nowhere_is_told_with_what_to_do(desk, capsys, monkeypatch, setting, said):
    monkeypatch.setenv(*setting)
    code, told = spoken(capsys, "preflight", "--book", "us_five")
    (route,) = told["routes"]

    assert (code, told["is_ok"], route["is_ok"], route["adapter"]) == (4, False, False, "paper_exchange")
    assert said[0] in route["found"], route
    assert said[1] in route["remedy"]


def test_a_blocked_account_fails_the_doctor(desk, capsys, monkeypatch):
    told_of = Exchange.account_told

    def blocked(self, *, now):
        answer = told_of(self, now=now)
        return Answer(answer.status, answer.body | {"trading_blocked": True})

    monkeypatch.setattr(Exchange, "account_told", blocked)
    code, told = spoken(capsys, "doctor")
    (check,) = [row for row in told["checks"] if row["check"].startswith("route")]

    assert (code, check["health"]) == (1, "fail")
    assert "is blocked" in check["found"]
    assert "route us_five paper_exchange" in told["verdict"]


def test_without_a_route_over_a_network_nobody_is_asked(desk, capsys, monkeypatch):
    shutil.copy(ROOT / "config" / "routes.toml", desk / "config" / "routes.toml")
    monkeypatch.setattr("console.route_looks.answer_apart", None)
    _, told = spoken(capsys, "preflight")

    assert told["routes"] == []
