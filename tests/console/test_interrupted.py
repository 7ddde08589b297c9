"""Ctrl-C in the middle of something long: one sentence, the documented code, and no trace of anybody's.

By a real process and a real signal, sent as a terminal sends it: to every process in front of it. The sweep
is in the graph and over two processes, so that all that is ever started is there.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from console import __main__ as process
from console import cli
from console.exit_codes import ExitCode
from tests.console.states import an_approved_intent
from tests.console.test_command_line import empty_journal, journal, speak, state

__all__ = ["empty_journal", "journal", "speak", "state"]

ROOT = Path(__file__).resolve().parents[2]
GRID = "momentum.lookback=20,30,40,50,60,70,80,90"
"""More than two processes have before them, so that some wait when it ends."""
WORDS = ("sweep", "2012", "--book", "us_five", "--grid", GRID, "--workers", "2")


def test_a_sweep_that_the_keyboard_ends_says_one_sentence_and_leaves_no_process(tmp_path):
    settings = {name: value for name, value in os.environ.items() if not name.startswith("TRADING_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "console", *WORDS, "--name", "ended"],
        cwd=ROOT,
        env={**settings, "TRADING_STATE_DIR": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    begun, first = process.stderr.readline(), process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    # Read to the end: whoever was started and still ran would hold it open.
    out, err = process.communicate()

    assert begun == "us_five: 8 variants of 2012-01-01..2012-12-31\n"
    assert first.startswith("1 of 8: momentum.lookback=")
    assert process.returncode == ExitCode.INTERRUPTED
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == (
        "trading: interrupted: each variant that was tried is kept, and the same command goes on from there"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["detect"], "nothing was changed and nothing is kept: the same command begins anew"),
        (["replay", "2012"], "each year that was whole is kept, and the same command goes on from there"),
        (
            ["halt", "--reason", "x"],
            "whether trading is halted `trading status` tells, an order may be open: call it again at once",
        ),
        (["--traceback", "status"], "what was recorded stays, and the same command goes on from there"),
    ],
)
def test_what_is_kept_is_told_by_what_was_asked(monkeypatch, capsys, words, told):
    """Also where the keyboard comes before the command line is built."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_command", interrupted)

    assert cli.main(words) == ExitCode.INTERRUPTED
    assert capsys.readouterr() == ("", f"trading: interrupted: {told}\n")


def test_the_keyboard_is_heard_while_the_command_line_is_imported(monkeypatch, capsys):
    class Importing(types.ModuleType):
        def __getattr__(self, _):
            raise KeyboardInterrupt

    monkeypatch.setattr(process, "look_for_garbage_seldom", lambda: None)
    monkeypatch.setitem(sys.modules, "console.cli", Importing("console.cli"))

    assert process.main() == ExitCode.INTERRUPTED
    assert capsys.readouterr() == ("", "trading: interrupted before it began: nothing was done\n")


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["line", "json"])
def test_the_keyboard_at_a_question_is_told_from_an_answer_of_no(speak, journal, monkeypatch, words):
    class Keyboard(io.StringIO):
        def readline(self, *_):
            raise KeyboardInterrupt

    row = an_approved_intent(journal)
    asked = ("orders", "cancel", row.intent_id, "--reason", "wrong size", *words)
    ended = {}
    for name, answer in (("keyboard", Keyboard()), ("no", io.StringIO("n\n")), ("nobody", io.StringIO())):
        monkeypatch.setattr("sys.stdin", answer)
        spoken = speak(*asked)
        ended[name] = (spoken.code, "interrupted" in spoken.out + spoken.err)

    assert ended == {"keyboard": (130, True), "no": (1, False), "nobody": (1, False)}
    assert journal.intent(row.intent_id) == row
