"""Where Alpaca answers, and what a key pair is: one address for paper, one for live, one for market data.

Which of them a profile gets is resources/profile_brokers.py; keys come to the executor's and a halt's process
alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from resources.setting_names import Profile
from trading.errors import BadSetting

PAPER_HOST = "https://paper-api.alpaca.markets"
LIVE_HOST = "https://api.alpaca.markets"
DATA_HOST = "https://data.alpaca.markets"

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost):[1-9][0-9]{0,4}")
"""A paper exchange on this machine: what goes there is seen by nobody on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaKeys:
    """Hold a key pair; what is printed of it says only that it is there."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Return the headers that a request is signed with."""
        return {"APCA-API-KEY-ID": self.key_id, "APCA-API-SECRET-KEY": self.secret}


def trading_host(profile: Profile, asked: str | None = None) -> str:
    """Return where a profile trades: real money at the live host alone, and nothing else there.

    `asked` is a setting's own address: the profile's host, or a paper exchange on this machine where no real
    money moves. Raises `BadSetting` for any other, so that a key meant for one never reaches the other.
    """
    usual = LIVE_HOST if profile is Profile.LIVE else PAPER_HOST
    address = (asked or usual).rstrip("/")
    is_exchange_here = profile is not Profile.LIVE and _LOOPBACK.fullmatch(address) is not None
    if address != usual and not is_exchange_here:
        raise BadSetting(
            f"profile {profile.value}: a broker of Alpaca's is at {usual}"
            + ("" if profile is Profile.LIVE else ", or a paper exchange at http://127.0.0.1:<port>")
        )
    return address


def data_host(trading: str) -> str:
    """Return where market data is, for an address that is traded at: an exchange here serves both."""
    return DATA_HOST if trading in {PAPER_HOST, LIVE_HOST} else trading


def is_live_host(address: str) -> bool:
    """Say whether real money moves at an address."""
    return address.rstrip("/") not in {PAPER_HOST, DATA_HOST} and _LOOPBACK.fullmatch(address) is None
