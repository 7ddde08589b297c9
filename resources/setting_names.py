"""The words that settings are declared and read with: profiles, the variables' prefix, which are secret.

Here because both settings.py, which is quick to import, and settings_model.py, which is not, need them.
"""

from __future__ import annotations

from enum import StrEnum

PREFIX = "TRADING_"
"""How our environment variables begin."""

STATE_DIR = ".trading"
"""Where state lies below the project's folder, unless TRADING_STATE_DIR says otherwise."""

SECRETS = frozenset(
    {"webhook_url", "slack_webhook_url", "email_url", "broker_app_key", "broker_app_secret", "advisor_key"}
)
"""Settings that are never remembered, shown or digested."""

ADDRESSES = {"webhook": "webhook_url", "slack": "slack_webhook_url", "email": "email_url"}
"""The setting that holds where a channel to people leads; the others need none, and reach no person."""

CHANNELS = ("stdout", *ADDRESSES)
"""The channels over which people may be told."""


def address_variable(channel: str) -> str:
    """Return the variable that holds where a channel to people leads."""
    return f"{PREFIX}{ADDRESSES[channel].upper()}"


class Profile(StrEnum):
    """Say whose money moves: nobody's in a simulated market, nobody's at a broker, or yours."""

    SIMULATED = "simulated"
    PAPER = "paper"
    LIVE = "live"
