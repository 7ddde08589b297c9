"""Which adapter stands behind a route's name: by profile, address and keys, before any network call."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from proof.transport import ROUTES
from resources.clocks import system_now
from resources.live_capability import LiveCapability
from resources.outbound.kept import JournalBreakers
from resources.profiles import Profiled
from resources.settings import Profile
from tests.graph.desk import CONFIG, settings_in
from trading.breakers import Breaker, BreakerState
from trading.errors import BadSetting, BrokerUnavailable

HERE = "http://127.0.0.1:9"
LIVE_ROUTES = ROUTES.replace("paper_exchange", "alpaca_live").replace(
    'reason = "what is compared"', 'profile = "live"\nreason = "real money"'
)
PAPER_ROUTES = ROUTES.replace("paper_exchange", "alpaca_paper")
LIVE = {
    "profile": Profile.LIVE,
    "live_allowed": True,
    "broker_account_no": "7",
    "broker_base_url": "https://api.alpaca.markets",
}


@pytest.fixture
def profiled(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", "key")
    monkeypatch.setenv("TRADING_BROKER_APP_SECRET", "hush")

    def make(routes=ROUTES, **changes):
        config = shutil.copytree(CONFIG, tmp_path / "config")
        (config / "routes.toml").write_text(routes, encoding="utf-8")
        state = tmp_path / "state"
        (state / changes.get("profile", Profile.SIMULATED)).mkdir(parents=True)
        return Profiled(settings_in(state, config_dir=config, books_file=config / "books.toml", **changes))

    return make


def test_a_simulated_book_reaches_an_exchange_on_this_machine(profiled):
    broker = profiled(broker_base_url=HERE).brokers_in({})["us_five"]

    assert not broker.capabilities.is_live


@pytest.mark.parametrize(
    ("routes", "address", "told"),
    [
        (ROUTES, None, "TRADING_BROKER_BASE_URL says where"),
        (ROUTES, "https://paper-api.alpaca.markets", "only an exchange on this machine"),
        (ROUTES, "http://10.0.0.1:80", "profile simulated"),
        (PAPER_ROUTES, None, "only an exchange on this machine"),
        (PAPER_ROUTES, "https://api.alpaca.markets", "profile simulated"),
    ],
)
def test_a_simulated_book_reaches_no_other_machine(profiled, routes, address, told):
    with pytest.raises(BadSetting, match=told):
        _ = profiled(routes, broker_base_url=address).brokers_in({})["us_five"].capabilities


@pytest.mark.parametrize("gone", ["TRADING_BROKER_APP_KEY", "TRADING_BROKER_APP_SECRET"])
def test_an_adapter_over_a_network_needs_its_keys(profiled, monkeypatch, gone):
    monkeypatch.delenv(gone)

    with pytest.raises(BadSetting, match=f"needs {gone}"):
        _ = profiled(broker_base_url=HERE).brokers_in({})["us_five"].capabilities


def test_a_live_book_gets_a_live_adapter_with_the_capability_alone(profiled):
    desk = profiled(LIVE_ROUTES, **LIVE)

    assert desk.live_broker("us_five", LiveCapability(lane="live")).capabilities.is_live
    with pytest.raises(BadSetting, match="has no place in profile live"):
        desk._adapter("alpaca_live", "us_five", None)


def test_a_live_route_in_a_live_profile_refuses_another_host(profiled):
    desk = profiled(LIVE_ROUTES, **{**LIVE, "broker_base_url": "https://broker.example"})

    with pytest.raises(BadSetting, match="profile live"):
        _ = desk.live_broker("us_five", LiveCapability(lane="live")).capabilities


def test_a_halt_holds_nothing_that_could_send_over_http(profiled):
    canceller = profiled(broker_base_url=HERE).cancel_only("us_five")

    assert not hasattr(canceller, "submit")
    assert not hasattr(canceller, "replace")


def test_a_halt_asks_though_the_breaker_of_its_provider_is_open(profiled):
    desk = profiled(broker_base_url=HERE)
    now = system_now()
    opened = Breaker(
        "paper_exchange", BreakerState.OPEN, failures=2, until=now + timedelta(minutes=5), version=1
    )
    assert JournalBreakers(desk.journal).change(opened, actor="test", reason="reset", now=now)

    with pytest.raises(BrokerUnavailable, match="circuit_open"):
        desk.brokers["us_five"]._adapter("paper_exchange").cancel("asof-1", now=now)
    with pytest.raises(BrokerUnavailable, match="connect"):
        desk._canceller("paper_exchange", "us_five").cancel("asof-1", now=now)
