"""Every command that a runbook names is run, page by page, on a desk that its alert is about.

All alerts of the policy fire there, an order's outcome is not proven, and findings halt its account. The
commands stand in the runbooks' prose; words in capitals are filled in here as a person would.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from console import cancelling
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.store import SqlJournal
from tests.console.pages.populated import populate
from tests.console.states import OF, OPEN, SESSION, parked_after_approval
from tests.docs.pages import DOCS, PAGES, ROOT, SHELLS, blocks, codes, commands, name_of
from tests.docs.reader import STATE_DIR, Reader, Spoken, copied, without_settings
from tests.graph.desk import settings_in
from trading.alerts import AlertRow, fingerprint_of
from trading.lifecycle import IntentState

RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
REFERENCE = (DOCS / "reference" / "cli.md").read_text("utf-8")
BOOK, ACCOUNT = OF["book"], "SIM-FIVE"
FILLED_IN = {
    "SYMBOL@SESSION": f"AAPL@{SESSION}",
    "INTENT_ID": f"AAPL@{SESSION}",
    "SESSION": str(SESSION),
    "ACCOUNT": ACCOUNT,
    "SYMBOL": "GOOG",
    "BOOK": BOOK,
    "NUMBER": "1",
    "TEXT": "looked",
    "…": "looked",
}
USAGE = 2
SERVES = "trading console"
HALTS = "trading halt --reason …"
RUN_BY_OTHER_PAGES = {"trading detect", "trading quotes import --book BOOK"}
"""What takes long: the same verb is followed where its own page teaches it."""


def named_in(page: Path) -> list[str]:
    """Give the commands that a runbook names, each once, in its order."""
    return list(dict.fromkeys(code for code in codes(page) if code.startswith("trading ")))


def filled_in(command: str) -> list[str]:
    """Give a command's words behind `trading`, as a person would write them."""
    return [FILLED_IN.get(word, word) for word in shlex.split(command)[1:]]


def codes_of(command: str) -> set[int]:
    """Give the exit codes that the reference tells of a command's verb, without that of wrong usage."""
    words = shlex.split(command)
    for length in range(len(words), 1, -1):
        section = REFERENCE.partition(f"## `{' '.join(words[:length])}`\n")[2].partition("\n## ")[0]
        if told := re.search(r"^Exit codes: (.+)$", section, flags=re.MULTILINE):
            return {int(code) for code in re.findall(r"(?:^|, )(\d+) ", told[1])} - {USAGE}
    raise AssertionError(f"{command}: the reference tells no exit code of it")


def commands_followed() -> list[str]:
    """Give the commands in blocks of the pages that are followed to the letter."""
    return [
        command.text
        for page in PAGES
        for block in blocks(page)
        if block.language in SHELLS
        for command in commands(block)
    ]


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    """Give the state folder of a desk in trouble."""
    place = populate(tmp_path_factory.mktemp("troubled") / ".trading")
    policy = load_alert_policy(ROOT / "config" / "alerts.toml")
    with SqlJournal(settings_in(place).journal_url) as journal:
        (row,) = [row for row in journal.intents(**OF) if row.state is IntentState.PENDING_APPROVAL]
        parked_after_approval(journal, row)
        journal.record_finding(
            kind="cash_mismatch",
            account=ACCOUNT,
            symbol="",
            intent_id="",
            detail="the broker has 7.00 USD less",
            is_standing=True,
            now=OPEN,
        )
        firing = [
            AlertRow(
                session=SESSION,
                book=BOOK,
                code=rule.code,
                severity=rule.severity,
                metric=rule.metric,
                observed=1.0,
                threshold=rule.threshold,
                message=rule.why,
                runbook=rule.runbook,
                fingerprint=fingerprint_of(book=BOOK, code=rule.code, severity=rule.severity),
            )
            for rule in policy.rules
        ]
        JournalAlerts(journal).observe(
            firing,
            codes={rule.code for rule in policy.rules},
            policy=policy,
            book=BOOK,
            session=SESSION,
            now=OPEN,
        )
    return place


def standing_at(state: Path, project: Path, patch: pytest.MonkeyPatch) -> Reader:
    """Give somebody in a project folder, at a copy of a desk."""
    for folder in ("config", "examples"):
        (project / folder).symlink_to(ROOT / folder)
    copied(state, project / ".trading")
    without_settings(patch)
    patch.setenv("TRADING_OPERATOR", "reader")
    patch.chdir(project)
    return Reader(project, quotes=state, monkeypatch=patch)


@pytest.fixture(scope="module")
def halted(state, tmp_path_factory) -> tuple[Path, Spoken]:
    """Give the state folder of the desk in trouble after a halt, and what the halt said.

    A halt starts a process, which takes as long as all the other commands of a runbook.
    """
    project = tmp_path_factory.mktemp("halted")
    with pytest.MonkeyPatch.context() as patch:
        # What is parked stays open however long the process looks.
        patch.setattr(cancelling, "SECONDS", 0.5)
        spoken = standing_at(state, project, patch).trading(*filled_in(HALTS))
    return project / ".trading", spoken


@pytest.fixture
def reader(state, tmp_path, monkeypatch) -> Reader:
    """Give somebody at the desk in trouble, on a copy of it."""
    return standing_at(state, tmp_path, monkeypatch)


@pytest.mark.parametrize("page", RUNBOOKS, ids=name_of)
def test_each_command_of_a_runbook_does_something_on_a_desk_in_trouble(
    page, reader, halted, tmp_path, monkeypatch
):
    named = [command for command in named_in(page) if command not in {SERVES, *RUN_BY_OTHER_PAGES}]

    wrong = {}
    for command in named:
        if command == HALTS:
            monkeypatch.setenv(STATE_DIR, str(copied(halted[0], tmp_path / "halted")))
            spoken = halted[1]
        else:
            spoken = reader.trading(*filled_in(command))
        if spoken.code not in codes_of(command):
            wrong[command] = spoken

    assert named
    assert wrong == {}


def test_the_console_that_a_runbook_starts_again_serves_a_desk_in_trouble(reader):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVES.replace("trading", "console").split(), "--port", str(port)],
        cwd=reader.project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert SERVES in named_in(DOCS / "runbooks" / "desk_does_not_answer.md")
    assert told.startswith(f"http://127.0.0.1:{port}/sign-in?code=")
    assert process.returncode in codes_of(SERVES)


def test_what_takes_long_is_run_where_its_own_page_teaches_it():
    followed = commands_followed()

    for command in RUN_BY_OTHER_PAGES:
        verb = command.partition(" --")[0]
        assert any(one == verb or one.startswith(f"{verb} ") for one in followed), command


@pytest.mark.parametrize(
    "command", ["trading report", "trading resume", "trading alerts show nothing_like_it"]
)
def test_a_runbooks_command_that_lacks_something_is_found(command, reader):
    assert reader.trading(*filled_in(command)).code not in codes_of(command)


def test_every_rule_of_prometheus_names_a_runbook_that_is_there():
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text("utf-8")
    named = re.findall(r"runbook: (docs/runbooks/\w+\.md)$", rules, flags=re.MULTILINE)

    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
