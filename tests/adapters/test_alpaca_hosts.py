"""Which address a profile of Alpaca's may have, and that a key pair shows itself to nobody."""

from __future__ import annotations

import pytest

from resources.alpaca_markets.hosts import (
    DATA_HOST,
    LIVE_HOST,
    PAPER_HOST,
    AlpacaKeys,
    data_host,
    is_live_host,
    trading_host,
)
from resources.setting_names import Profile
from trading.errors import BadSetting

HERE = "http://127.0.0.1:8700"


@pytest.mark.parametrize(
    ("profile", "asked", "address"),
    [
        (Profile.LIVE, None, LIVE_HOST),
        (Profile.LIVE, LIVE_HOST + "/", LIVE_HOST),
        (Profile.PAPER, None, PAPER_HOST),
        (Profile.PAPER, PAPER_HOST, PAPER_HOST),
        (Profile.PAPER, HERE, HERE),
        (Profile.SIMULATED, HERE, HERE),
    ],
)
def test_a_profile_trades_at_its_own_host_or_at_an_exchange_on_this_machine(profile, asked, address):
    assert trading_host(profile, asked) == address
    assert is_live_host(address) == (profile is Profile.LIVE)


@pytest.mark.parametrize(
    ("profile", "asked"),
    [
        (Profile.LIVE, PAPER_HOST),
        (Profile.LIVE, HERE),
        (Profile.LIVE, "https://api.alpaca.markets.example.org"),
        (Profile.LIVE, "http://api.alpaca.markets"),
        (Profile.LIVE, "https://user@api.alpaca.markets"),
        (Profile.PAPER, LIVE_HOST),
        (Profile.PAPER, "http://example.org"),
        (Profile.PAPER, "http://127.0.0.1"),
        (Profile.PAPER, "http://127.0.0.1:8700/elsewhere"),
        (Profile.SIMULATED, LIVE_HOST),
    ],
)
def test_a_key_meant_for_one_host_never_reaches_another(profile, asked):
    with pytest.raises(BadSetting):
        trading_host(profile, asked)


def test_market_data_has_a_host_of_its_own_but_for_an_exchange_here():
    assert {data_host(PAPER_HOST), data_host(LIVE_HOST)} == {DATA_HOST}
    assert data_host(HERE) == HERE


def test_a_key_pair_signs_and_is_not_shown():
    keys = AlpacaKeys(key_id="PKCANARY", secret="planted-canary")

    assert keys.headers() == {"APCA-API-KEY-ID": "PKCANARY", "APCA-API-SECRET-KEY": "planted-canary"}
    assert "CANARY" not in f"{keys!r} {keys} {[keys]}".upper()
