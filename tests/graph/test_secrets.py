"""Secrets are in no log, event, table, page, report, run config or error: a distinct one is planted as each.

A whole session of routed orders runs through the command line, after each mistake on the way to the broker;
each mistake ends with its own exit code and names its setting.
"""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.cli import main
from console.exit_codes import ExitCode
from console.web.identities import Role
from console.web.permission import roles_of
from resources.paper_exchange.application import Keys
from resources.setting_names import PREFIX, SECRETS
from tests.console.web.serving import console_on
from tests.graph.canaries import leaks_in, told_in
from tests.graph.desk import FIRST, copied
from tests.graph.over_http import exchange, routed_to

KEYS = Keys("PKcanaryKeyOfTheBroker01", "canarySecretOfTheBroker02")
WRONG_SECRET = "canaryWrongSecretOfTheBroker03"
LINK_CODE, TOKEN = "canaryCodeOfALink04", "canaryTokenOfTheConsole05"
PLANTED = {
    "webhook_url": "http://hook:canaryPassOfTheWebhook06@127.0.0.1:9/canaryPathOfTheWebhook07",
    "slack_webhook_url": "http://127.0.0.1:9/services/canaryPathOfSlack08",
    "email_url": "mailto://desk:canaryPassOfTheMailbox09@127.0.0.1:9?from=d@example.org&to=y@example.org",
    "broker_app_key": KEYS.key_id,
    "broker_app_secret": KEYS.secret,
    "advisor_key": "canaryKeyOfTheAdvisor10",
}
CANARIES = {
    "broker key": KEYS.key_id,
    "broker secret": KEYS.secret,
    "wrong secret": WRONG_SECRET,
    "code of a link": LINK_CODE,
    "token": TOKEN,
    "password of the webhook": "canaryPassOfTheWebhook06",
    "path of the webhook": "canaryPathOfTheWebhook07",
    "path of slack": "canaryPathOfSlack08",
    "password of the mailbox": "canaryPassOfTheMailbox09",
    "key of the advisor": "canaryKeyOfTheAdvisor10",
    "password of the journal": "canaryPassOfTheJournal11",
}
DOWN = "http://127.0.0.1:9"
READING = (
    ("status",),
    ("why",),
    ("orders",),
    ("outbound",),
    ("doctor",),
    ("verify",),
    ("alerts",),
    ("report", "--book", "us_five"),
    ("inputs", "smoke", "--book", "us_five", "--connect"),
)


class Spoken(NamedTuple):
    code: int
    out: str
    err: str


class Told(NamedTuple):
    """Hold what was said in the story, and the folder that it left."""

    missing: Spoken
    wrong: Spoken
    down: Spoken
    smokes: tuple[Spoken, ...]
    right: Spoken
    others: tuple[Spoken, ...]
    state: Path
    asked: int


def speak(*words: str) -> Spoken:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words])
    return Spoken(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def story(imported, tmp_path_factory):
    """Run a session by the command line, with every secret set: first with each mistake, then without."""
    assert set(PLANTED) == SECRETS, "a secret without a canary"
    folder = tmp_path_factory.mktemp("secrets")
    state = copied(imported.folder, folder / "state")
    run = ("run-once", "--book", "us_five", "--session", str(FIRST), "--yes")
    smoke = ("inputs", "smoke", "--book", "us_five", "--session", str(FIRST), "--connect")
    with exchange(folder / "exchange.db", keys=KEYS) as door, pytest.MonkeyPatch.context() as patched:
        settings = routed_to(door, folder, patched, keys=KEYS)
        alerts = settings["config_dir"] / "alerts.toml"
        channels = 'channels = ["stdout", "webhook"]'
        assert channels in alerts.read_text(encoding="utf-8")
        alerts.write_text(
            alerts.read_text(encoding="utf-8").replace(
                channels, 'channels = ["stdout", "webhook", "slack", "email"]'
            ),
            encoding="utf-8",
        )
        for name, secret in PLANTED.items():
            patched.setenv(f"{PREFIX}{name.upper()}", secret)
        patched.setenv("TRADING_STATE_DIR", str(state))
        patched.setenv("TRADING_CONFIG_DIR", str(settings["config_dir"]))
        patched.setenv("TRADING_BROKER_BASE_URL", door.url)
        patched.setenv("TRADING_LOG_LEVEL", "DEBUG")
        smokes = []

        patched.delenv("TRADING_BROKER_APP_SECRET")
        missing = speak(*run)
        smokes.append(speak(*smoke))
        patched.setenv("TRADING_BROKER_APP_SECRET", WRONG_SECRET)
        door.refusals = lambda headers: {"message": f"forbidden: {headers}"}
        wrong = speak(*run)
        smokes.append(speak(*smoke))
        door.refusals = None
        patched.setenv("TRADING_BROKER_APP_SECRET", KEYS.secret)
        patched.setenv("TRADING_BROKER_BASE_URL", DOWN)
        down = speak(*run)
        smokes.append(speak(*smoke))
        patched.setenv("TRADING_BROKER_BASE_URL", door.url)
        # What the breaker holds back after the mistakes is let go by a person.
        resets = [
            speak("breakers", "reset", line["name"], "--reason", "it is up again", "--json")
            for line in json.loads(speak("outbound", "--json").out)["breakers"]
            if line["state"] != "closed"
        ]
        right = speak(*run)
        others = [*resets, *(speak(*words, *extra) for words in READING for extra in ((), ("--json",)))]
        patched.setenv("TRADING_JOURNAL_URL", f"postgresql://desk:{CANARIES['password of the journal']}@db/j")
        others.append(speak("status"))
        yield Told(missing, wrong, down, tuple(smokes), right, tuple(others), state, len(door.asked))


def line_of(spoken: Spoken) -> str:
    """Return the row or the line in which a verb says what went wrong."""
    assert "Traceback" not in spoken.out + spoken.err
    return spoken.out + spoken.err


def test_a_missing_key_ends_with_2_and_its_setting(story):
    told = line_of(story.missing)

    assert story.missing.code == ExitCode.USAGE, told
    assert "TRADING_BROKER_APP_SECRET, not set" in told
    assert story.smokes[0].code == ExitCode.USAGE, story.smokes[0]
    assert "TRADING_BROKER_APP_SECRET, not set" in line_of(story.smokes[0])


def test_a_wrong_secret_ends_with_2_and_its_settings(story):
    told = line_of(story.wrong)

    assert story.wrong.code == ExitCode.USAGE, told
    assert "TRADING_BROKER_APP_KEY and TRADING_BROKER_APP_SECRET" in told
    assert story.smokes[1].code == ExitCode.USAGE, story.smokes[1]
    assert "TRADING_BROKER_APP_SECRET" in line_of(story.smokes[1])


def test_an_exchange_that_is_down_ends_with_6_its_address_and_its_setting(story):
    told = line_of(story.down)

    assert story.down.code == ExitCode.DEPENDENCY_DOWN, told
    assert f"{DOWN}, as TRADING_BROKER_BASE_URL says" in told
    assert story.smokes[2].code == ExitCode.DEPENDENCY_DOWN, story.smokes[2]
    assert DOWN in line_of(story.smokes[2])


def test_once_the_mistakes_are_corrected_the_same_session_goes_on_to_its_end(story):
    assert story.right.code == ExitCode.DONE, story.right
    assert story.asked > 0


def test_nothing_that_was_said_has_a_secret_in_it(story):
    said = (story.missing, story.wrong, story.down, *story.smokes, story.right, *story.others)

    assert [told_in((one.out + one.err).encode(), CANARIES) for one in said] == [set()] * len(said)
    assert story.others[-1].code == ExitCode.USAGE


def test_nothing_that_was_stored_has_a_secret_in_it(story):
    assert leaks_in(story.state, CANARIES) == []


def test_no_page_and_no_answer_of_the_console_has_a_secret_in_it(story):
    with console_on(story.state) as console:
        answers: dict[str, Any] = {}
        for route, _ in roles_of(console.app.routes):
            method, _, path = route.partition(" ")
            path = path.replace("{book}", "us_five").replace("{session}", str(FIRST))
            if method == "GET" and "{" not in path:
                answers[path] = console.ask("GET", path, role=Role.ADMIN)
        refused = [
            console.ask("GET", "/", headers={"Authorization": f"Bearer {TOKEN}"}),
            console.ask("GET", f"/sign-in?code={LINK_CODE}"),
        ]
        made = console.token(Role.ADMIN)

    assert len([one for one in answers.values() if one.status == 200]) > 10
    for path, answer in answers.items():
        assert told_in(answer.body + str(answer.headers).encode(), CANARIES) == set(), path
    assert [told_in(one.body + str(one.headers).encode(), CANARIES) for one in refused] == [set()] * 2
    # The token that let us in is kept as a digest alone, wherever it was written about.
    assert leaks_in(story.state, {**CANARIES, "token in use": made}) == []


def test_the_private_half_of_the_audit_key_stands_in_its_own_file_alone(story):
    keys = [path for path in story.state.rglob("audit_ed25519*") if path.suffix != ".pub"]
    secrets = {
        path.name: line
        for path in keys
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("-")
    }

    assert secrets
    assert leaks_in(story.state, secrets, but=keys) == []


@pytest.mark.parametrize("kind", ["log", "table", "cell", "packed", "name"])
def test_whoever_looks_would_find_a_secret_however_it_is_packed(tmp_path, kind):
    secret = CANARIES["broker secret"]
    match kind:
        case "log":
            (tmp_path / "trading.jsonl").write_text(json.dumps({"header": f"Basic {secret}"}))
        case "table":
            table = pa.table({"reason": [f"answered {secret}"] * 50})
            pq.write_table(table, tmp_path / "rows.parquet", compression="zstd")
        case "cell" | "packed":
            cell = zlib.compress(secret.encode()) if kind == "packed" else "x" * 9_000 + secret
            with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
                connection.execute("create table events (body)")
                connection.execute("insert into events values (?)", (cell,))
        case _:
            (tmp_path / f"{secret}.csv").write_text("")

    assert [name for name, _ in leaks_in(tmp_path, CANARIES)] == ["broker secret"]
