"""`trading detect` and `trading parity`: what they say, and how they end for scripts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from console.cli import main
from resources.journal.store import SqlJournal

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "strategies"
OWN_CLOSE = EXAMPLES / "biased" / "own_close.py"


@pytest.fixture
def speak(tmp_path, monkeypatch, capsys):
    """Give the command line on an empty state folder; the reviewed files are the project's."""
    for name in [name for name in os.environ if name.startswith("TRADING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))

    def speak_words(*words):
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return speak_words


def test_the_books_own_strategies_are_clean_and_the_history_they_need_is_told(speak):
    code, out, err = speak("detect", "--book", "us_five", "--sessions", "2")

    assert code == 0
    assert out.startswith("us_five: clean   (2 sessions, ")
    assert [line.split()[:4] for line in out.splitlines() if line.startswith("momentum")] == [
        ["momentum", "5", "127", "130"]
    ]
    assert err == "us_five: mean_reversion, momentum over 2 sessions\n"


def test_a_biased_file_ends_with_three_and_the_row_that_changed_is_named(speak):
    code, out, _ = speak("detect", "--book", "us_five", "--strategy", str(OWN_CLOSE), "--sessions", "1")

    assert code == 3
    assert "us_five: 1 accusation" in out
    assert "! own_close changes with bars or actions that nobody could know yet (look_ahead)" in out
    assert "2013-03-01 AAPL" in out
    assert "(later bars removed)" in out


def test_a_strategy_without_an_opinion_is_no_data_and_not_clean(speak):
    code, out, _ = speak(
        "detect", "--book", "us_five", "--strategy", "momentum:lookback=6000", "--sessions", "1"
    )

    assert code == 3
    assert out.startswith("us_five: no data   (1 session, ")
    assert "! momentum had no opinion in these sessions: no data; look at more" in out


def test_parameters_are_given_as_a_replay_takes_them(speak):
    asked = ("--strategy", "momentum:lookback=60,skip=5")
    code, out, _ = speak("detect", "--book", "us_five", *asked, "--sessions", "2")

    assert code == 0
    assert [line.split()[:4] for line in out.splitlines() if line.startswith("momentum")] == [
        ["momentum", "5", "61", "130"]
    ]


def test_a_rule_that_raises_is_blamed_on_the_file_it_is_in_or_on_what_was_asked_for(speak, tmp_path):
    path = tmp_path / "hasty.py"
    path.write_text(
        'VERSION = "1"\n\ndef signals(window, symbols):\n    return symbols[99]\n', encoding="utf-8"
    )
    code, _, err = speak("detect", "--book", "us_five", "--strategy", str(path), "--sessions", "1")

    assert code == 2
    assert f"{path} raised IndexError" in err
    assert err.rstrip().endswith("; correct it, or name another")
    told = speak("detect", "--book", "us_five", "--strategy", "momentum:lookback=3", "--sessions", "1")[2]
    assert told.rstrip().endswith("it was asked for as 'momentum:lookback=3': give another value there")


def test_scripts_get_every_accusation_as_one_object(speak):
    files = [str(EXAMPLES / "biased" / name) for name in ("by_chance.py", "share_of_history.py")]
    asked = [word for file in files for word in ("--strategy", file)]
    code, out, _ = speak("detect", "--book", "us_five", *asked, "--sessions", "1", "--json")
    (book,) = json.loads(out)["books"]

    assert code == 3
    assert [(row["suspect"], row["bias"]) for row in book["accusations"]] == [
        ("by_chance", "chance"),
        ("share_of_history", "history"),
    ]
    assert "NaN" not in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--strategy", "momentun"],
            "strategy 'momentun': neither configured (mean_reversion, momentum) nor",
        ),
        (["--sessions", "0"], "--sessions 0: at least one has to be looked at"),
        (["--strategy", "momentum", "--strategy", "momentum"], "another one is called momentum too"),
        (["--book", "us_six"], "book 'us_six': no such book"),
        (["--strategy", "momentum:nosuch=1"], "got an unexpected keyword argument 'nosuch'"),
        (["--strategy", "momentum:lookback=abc"], "lookback='abc' must be a whole number, as 126 is"),
        (["--strategy", "momentum:lookback"], "strategy 'momentum:lookback': 'lookback' is no key=value"),
        (
            ["--strategy", f"{OWN_CLOSE}:nosuch=1"],
            "own_close.py: parameters {'nosuch': 1} do not fit it: got an",
        ),
    ],
)
def test_what_cannot_be_looked_at_is_refused_by_name(speak, words, told):
    code, _, err = speak("detect", "--book", "us_five", *words)

    assert code == 2
    assert told in err


def test_parity_of_a_desk_without_decisions_has_nothing_to_compare(speak, tmp_path):
    (tmp_path / "simulated").mkdir()
    SqlJournal(f"sqlite:///{tmp_path}/simulated/journal.db").close()

    assert speak("parity", "--book", "us_five")[:2] == (0, "us_five: 0 of 0 decided sessions the same\n")
    code, _, err = speak("parity", "--session", "2013-02-28")
    assert code == 2
    assert "2013-02-28: nothing was decided in it" in err


def test_a_replay_is_compared_with_what_was_decided_live_and_with_nothing_else(speak):
    code, _, err = speak("replay", "2013-02", "--book", "us_five", "--diff", "paper")

    assert code == 2
    assert "--diff 'paper': only live can be compared with" in err
