"""What holds for every test of the console: a halt that a served desk is asked for starts no process.

It would go by the settings of whoever runs the tests, not by the test's folder, and take two seconds of a
processor. That it is started is tests/graph/test_halt_at_the_console.py, what it does tests/faults.
"""

from __future__ import annotations

import pytest

from console import doing
from console.cancelling import Cancels
from console.desk import Desk


@pytest.fixture(autouse=True)
def cancels_asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Give whose halts asked for cancels, each with its reason."""
    asked: list[tuple[str, str]] = []

    def cancel_apart(_: Desk, *, actor: str, reason: str, is_waiting: bool) -> Cancels:
        assert not is_waiting  # or whoever halts would wait for a broker
        asked.append((actor, reason))
        return Cancels(how="started")

    monkeypatch.setattr(doing, "cancel_apart", cancel_apart)
    return asked
