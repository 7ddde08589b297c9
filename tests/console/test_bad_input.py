"""Every verb given what it cannot mean: one clear line, the documented exit code, and nothing changed.

The verbs and their arguments are read off the command line, so that a new one is asked here too. What right
words do is test_command_line.py.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main

from console import launcher, serving
from console.cli import main, make_app
from console.exit_codes import ExitCode
from console.web import server
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.paper_exchange import starting
from trading.decisions import Outcome
from trading.journal import RunControlAction
from trading.positions import opened_book
from trading.testing import example_decision, example_intent

ROOT = Path(__file__).resolve().parents[2]
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 0, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": "us_five", "lane": "simulated", "session": SESSION}


class Spoken(NamedTuple):
    words: tuple[str, ...]
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Give a halted desk's journal with one pending intent: the settings point at it."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("TRADING_STATE_DIR", str(folder))
        patched.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
        patched.setenv("TRADING_OPERATOR", "anna")
        path = folder / "simulated" / "journal.db"
        path.parent.mkdir()
        with SqlJournal(f"sqlite:///{path}") as journal:
            opened = opened_book(currency="USD", deposit_micros=10**12)
            journal.opening_book(**OF, previous=None, opened=opened, now=NOW)
            decision = example_decision(
                example_intent("AAPL"), not_after=CLOSE, outcome=Outcome.PENDING_APPROVAL
            )
            journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="d", now=NOW)
            journal.set_run_control(RunControlAction.HALT, actor="ann", reason="look", now=NOW)
        yield path


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch):
    """Let nothing be launched or served: it would be reported as a defect."""

    def started(*_, **__):
        raise AssertionError("something was started on bad input")

    monkeypatch.setattr(launcher, "open_launcher", started)
    monkeypatch.setattr(serving, "serve_ui", started)
    monkeypatch.setattr(server, "serve", started)
    monkeypatch.setattr(starting.ExchangeServer, "run", started)


@pytest.fixture
def speak(capsys):
    def spoken(*words: str) -> Spoken:
        code = main(words)
        said = capsys.readouterr()
        return Spoken(words, code, said.out, said.err)

    return spoken


def verbs():
    """Yield each verb's words and all that it takes."""

    def walked(command, words):
        inner = getattr(command, "commands", None)
        for name, below in (inner or {}).items():
            yield from walked(below, (*words, name))
        if inner is None or command.invoke_without_command:
            yield words, [param for param in command.params if param.name != "help"]

    yield from walked(typer.main.get_command(make_app()), ())


def valued(params):
    """Return what takes a value, so that a bad one can be given."""
    return [param for param in params if not getattr(param, "is_flag", False)]


LONG = "x" * 10_001
NO_NAMES = ("", " ", LONG, "nosuch", "../../etc/passwd", "us_five\n", "NaN", "us-fünf", "a\0b")
NO_DATES = (
    "", "yesterday", "2013-02-30", "2013-13-01", "28.02.2013", "NaN", "-1", "0000-01-01", LONG,
    "\uff12013-02-28",
)  # fmt: skip
NO_WEEKS = (
    "", "2013", "2013-W54", "2013-W00", "9999-W52", "2099-W01", "0001-W01", "2013-02-28", "a\0b", LONG,
)  # fmt: skip
NO_NUMBERS = ("", "NaN", "inf", "-1", "1.5", "1e3", "9" * 40, "x", "0x10", LONG)
NO_IDS = (
    "", " ", LONG, "int-none", "nosuch@2013-02-28", "AAPL@2013-02-30", "AAPL@", "@", "*", "a\0b",
    "AAPL' or 1=1 --",
)  # fmt: skip
NO_WORDS = ("", " \t", LONG, "a\0b", "\ud800")

BAD = {
    "book": NO_NAMES,
    "session": NO_DATES,
    "through": NO_DATES,
    "week": NO_WEEKS,
    "identity": NO_IDS,
    "row_id": NO_IDS,
    "reason": NO_WORDS,
    "as_name": NO_WORDS,
    "account": NO_NAMES,
    "symbol": NO_NAMES,
    "alert": NO_IDS,
    "silence_id": NO_IDS,
    "matchers": ("", "nosuch", "=x", "symbol=AAPL", "book=~(a+)+", "book=~.*", "a\0b", LONG),
    "minutes": (*NO_NUMBERS, "0", "43201"),
    "confirmed": NO_WORDS,
    "payload": ("", "nosuch", LONG, "g" * 64),
    "version": NO_NUMBERS,
    "number": (*NO_NUMBERS, "0", "999"),
    "action": (*NO_NUMBERS, "0", "999"),
    "owner": NO_WORDS,
    "until": (*NO_DATES, "2013-03-08"),
    "older_than_s": NO_NUMBERS,
    "last": (*NO_NUMBERS, "0"),
    "phase": ("", "never", LONG, "DECIDE ", "NaN"),
    "port": (*NO_NUMBERS, "0", "65536"),
    "console_port": (*NO_NUMBERS, "65536"),
    "name": NO_WORDS,
    "token_id": ("", " ", LONG, "nosuch", "a\0b"),
    "role": ("", "root", LONG),
    "days": (*NO_NUMBERS, "0"),
    "host": ("", "0.0.0.0", "::", "nosuch.example", LONG),  # noqa: S104 - a name to be refused
    "certificate": ("", "/nosuch/desk.pem", LONG, "a\0b"),
    "key": ("", "/nosuch/desk.key", LONG, "a\0b"),
    "address": ("ftp://desk.example", "desk.example", LONG),
    "mode": ("", "never", LONG),
    # Left empty, these mean as it is configured, or all there is.
    "sessions": ("yesterday", "2013-13", "2012..2011", "2012...2013", "NaN", "1.5", "a\0b", LONG),
    "strategy": (
        "nosuch",
        "../../etc/passwd",
        "NaN",
        "a\0b",
        LONG,
        "momentum:nosuch=1",
        "momentum:lookback",
        "momentum:lookback=abc",
        "momentum:lookback=60.5",
        "momentum:full=true",
        "momentum:full=inf",
    ),
    "deposit": ("NaN", "inf", "-1", "0", "x", "1e30", LONG),
    "slippage_bps": (*NO_NUMBERS, "10001"),
    "commission_bps": (*NO_NUMBERS, "10001"),
    "participation_bps": (*NO_NUMBERS, "10001"),
    "diff": ("", "dead", LONG),
    "grid": (
        "",
        "momentum",
        "momentum=1",
        "nosuch.x=1,2",
        "momentum.lookback=nan,1",
        LONG,
        "momentum.lookback=40,abc",
        "momentum.nosuch=1,2",
    ),
    "against": ("", "nosuch", "momentum+", LONG, "momentum:lookback=abc", "momentum:nosuch=1"),
    "by": ("", "nosuch", LONG),
    "workers": (*NO_NUMBERS, "0", "65"),
    "run": NO_WORDS,
    "replay": NO_WORDS,
    "prompt": ("", " ", "nosuch", "99", "../1", "1\n", "a\0b", LONG),
    "ledger": ("/nosuch\0", "/proc/nosuch/exchange.db", LONG),
    "clock": ("", "real", LONG),
    "starts_at": NO_DATES,
    "key_id": NO_WORDS,
    "channel": ("", "nosuch", "Webhook", "a\0b", LONG),
    "since": NO_DATES,
    "secret": NO_WORDS,
    "behaviour": ("/nosuch/bad.toml", "a\0b", LONG),
    "requests_per_minute": NO_NUMBERS,
    "symbols": ("", ",", "aapl;ibm", "AAPL,,IBM", "a\0b", LONG),
    "first_day": NO_DATES,
    "last_day": (*NO_DATES, "1999-12-31"),
    "into": ("", "/proc/nosuch", "/dev/null", "a\0b", LONG),
    "feed": ("", "nosuch", LONG),
    "source": ("", "nosuch", "folder", "alpaca", "a\0b", LONG),
    "to": ("", "nosuch", "Veto", "3", "a\0b", LONG),
    "at": ("", "nosuch", "Veto", "3", "a\0b", LONG),
    "horizon": (*NO_NUMBERS, "0", "251"),
    "path": ("/nosuch/bars", "/proc/nosuch", "a\0b", LONG),
}
"""What no verb can mean by an argument, by its name."""

GOOD = (
    {"alert": "drawdown_high", "matchers": "alertname=drawdown_high", "silence_id": "0123456789ab"}
    | {"identity": "AAPL@2013-02-28", "reason": "because", "row_id": "row", "session": "2013-02-28"}
    | {
        "name": "grafana",
        "number": "1",
        "action": "1",
        "owner": "ben",
        "until": "2999-01-01",
        "strategy": "council",
        "run": "thirteen-years",
        "symbols": "AAPL,IBM",
        "first_day": "2013-02-01",
        "last_day": "2013-02-28",
        "into": "bars",
        "prompt": "1",
        "replay": "thirteen-years",
    }
)
LINE_BYTES_MAX = 1_100

REFUSED_ANSWERS_ARE_KEPT = {("approvals", "approve"), ("approvals", "reject")}
"""Verbs of which a refusal is an event of its own; nothing else may change."""


def asked(words, params, wrong, value, token):
    """Return a verb's words, right in all it needs but for one of them."""
    said, placed = list(words), []
    for param in params:
        given = GOOD.get(param.name) if param.required else None
        if param.name == "confirmed":
            given = token
        if param is wrong:
            given = value
        if param.name == "yes":
            said.append("--yes")
        elif given is not None and param.param_type_name == "argument":
            placed.append(given)
        elif given is not None:
            said += [param.opts[0], given]
    return said, ["--", *placed] if placed else []


def faults_of(spoken, *, as_json):
    """Return what is wrong with how a verb refused; empty where nothing is."""
    if spoken.code not in {ExitCode.USAGE, ExitCode.REFUSED}:
        yield f"ended with {spoken.code}"
    if "Traceback" in spoken.out + spoken.err or "defect" in spoken.out + spoken.err:
        yield "is a defect"
    if as_json:
        try:
            told = json.loads(spoken.out)["error"]
        except (ValueError, KeyError) as error:
            yield f"is no one object: {error!r}"
        else:
            if told["exit_code"] != spoken.code or told["code"] != ExitCode(spoken.code).name.lower():
                yield f"tells of {told['code']}"
            if "\n" in told["message"] or not told["message"]:
                yield "tells no line"
        if spoken.err:
            yield "speaks beside its object"
    else:
        if spoken.out or not spoken.err.startswith("trading: ") or spoken.err.count("\n") != 1:
            yield "is not one line"
        if len(spoken.err) > LINE_BYTES_MAX:
            yield f"is a line of {len(spoken.err)}"


def events_after(path, seq):
    return JournalReader(f"sqlite:///{path}").events(after=seq, limit=9_999)


def test_every_argument_of_every_verb_is_known_here():
    """A new verb's argument has to be given what it cannot mean."""
    taken = {param.name for _, params in verbs() for param in valued(params)}

    assert taken <= set(BAD)
    assert {words for words, _ in verbs()} >= {("status",), ("halt",), ("orders",), ("orders", "cancel")}


@pytest.mark.parametrize("as_json", [False, True], ids=["line", "json"])
@pytest.mark.parametrize(("words", "params"), [pytest.param(*verb, id=" ".join(verb[0])) for verb in verbs()])
def test_what_a_verb_cannot_mean_is_one_clear_refusal_and_changes_nothing(
    desk, speak, words, params, as_json
):
    before, last = desk.read_bytes(), events_after(desk, 0)[-1].seq
    token = json.loads(speak("resume", "--reason", "over", "--json").out)["confirm"]
    tried, wrongly = 0, []
    for wrong in valued(params):
        for value in BAD[wrong.name]:
            said, placed = asked(words, params, wrong, value, token)
            spoken = speak(*said, *(["--json"] if as_json else []), *placed)
            tried += 1
            faults = list(faults_of(spoken, as_json=as_json))
            if faults:
                wrongly.append((ascii(spoken.words)[:200], faults, spoken.out[:200], spoken.err[:300]))

    assert wrongly == []
    assert tried >= len(valued(params))
    if words in REFUSED_ANSWERS_ARE_KEPT:
        assert {event.kind for event in events_after(desk, last)} <= {"answer_refused"}
    else:
        assert desk.read_bytes() == before


@pytest.mark.parametrize("as_json", [False, True], ids=["line", "json"])
@pytest.mark.parametrize(
    ("words", "params"),
    [pytest.param(*verb, id=" ".join(verb[0])) for verb in verbs() if any(p.required for p in verb[1])],
)
def test_what_a_verb_needs_and_is_not_given_is_named(desk, speak, words, params, as_json):
    before = desk.read_bytes()
    spoken = speak(*words, *(["--json"] if as_json else []))

    assert spoken.code == ExitCode.USAGE
    assert list(faults_of(spoken, as_json=as_json)) == []
    assert "issing" in spoken.out + spoken.err
    assert f"trading {' '.join(words)} --help" in spoken.out + spoken.err
    assert desk.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("nosuch",), ("status", "--nosuch"), ("status", "extra"), ("orders", "nosuch")]
)
def test_a_verb_that_is_none_is_a_wrong_usage(speak, words):
    for as_json in (False, True):
        spoken = speak(*words, *(["--json"] if as_json else []))

        assert spoken.code == ExitCode.USAGE
        assert list(faults_of(spoken, as_json=as_json)) == []


NAMES_AN_INTENT = [verb for verb in verbs() if any(param.name == "identity" for param in verb[1])]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Point the settings at another, empty state folder; return where its journal would be."""
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    (tmp_path / "simulated").mkdir()
    return tmp_path / "simulated" / "journal.db"


@pytest.mark.parametrize("kind", ["missing", "no_database", "cut"])
@pytest.mark.parametrize("as_json", [False, True], ids=["line", "json"])
def test_a_journal_that_is_missing_or_none_is_told_in_one_line(desk, speak, elsewhere, kind, as_json):
    path = elsewhere
    if kind != "missing":
        path.write_bytes(b"not a database at all" if kind == "no_database" else desk.read_bytes()[:5_000])
    before = path.read_bytes() if path.exists() else None
    codes = set()
    for words, params in NAMES_AN_INTENT:
        said, placed = asked(words, params, None, "", "")
        spoken = speak(*said, *(["--json"] if as_json else []), *placed)
        codes.add(spoken.code)
        faults = [fault for fault in faults_of(spoken, as_json=as_json) if not fault.startswith("ended with")]

        assert faults == [], spoken
    assert codes == {ExitCode.USAGE if kind == "missing" else ExitCode.DEPENDENCY_DOWN}
    assert (path.read_bytes() if path.exists() else None) == before
