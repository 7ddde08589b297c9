"""What holds for every test of the console: a halt that a served desk is asked for starts no process.

It would go by the settings of whoever runs the tests, not by the test's folder, and take two seconds of a
processor. That it is started is tests/graph/test_halt_at_the_console.py, what it does tests/faults.
"""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from console import cancelling


@pytest.fixture(autouse=True)
def cancels_asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Give whose halts asked for cancels, each with its reason."""
    asked: list[tuple[str, str]] = []
    start = subprocess.Popen

    class Apart:
        """Stand for the process of a halt that nobody waits for; one that is waited for is started."""

        DEVNULL, PIPE, TimeoutExpired = subprocess.DEVNULL, subprocess.PIPE, subprocess.TimeoutExpired

        @staticmethod
        def Popen(words: list[str], **options: Any) -> Any:  # noqa: N802 - as it is called there
            if options["stdout"] is subprocess.PIPE:
                return start(words, **options)
            _, _, module, actor, reason, _ = words
            assert module == "console.cancel_process"
            asked.append((actor.removeprefix("--actor="), reason.removeprefix("--reason=")))
            return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(cancelling, "subprocess", Apart)
    return asked
