"""What is refused on stores that do not belong together, alike over the API, on the pages and by the verbs.

That a desk is told to be torn is tests/console/test_command_line.py; the whole way out of a halt for its log
is tests/graph/test_operator_at_the_desk.py.
"""

from __future__ import annotations

import shutil
from urllib.parse import urlencode

import pytest

from console.actions import confirmation_of
from console.cli import main
from console.web.identities import Role
from resources.audit_log import project
from resources.audit_paths import checkpoints_of, keys_of
from resources.journal.store import SqlJournal
from tests.console import states
from tests.console.web.test_api import change, console, decided, journal, look, seen, started
from trading.findings import CHAIN_BROKEN
from trading.journal import RunControlAction

__all__ = ["console", "decided", "journal", "started"]


@pytest.fixture
def log(console, journal):
    """Give the console's audit log, as the journal has it; it is gone with the test."""
    path = console.desk.settings.audit_log
    project(journal, path)
    yield path
    for left in (path, checkpoints_of(path)):
        left.unlink(missing_ok=True)
    shutil.rmtree(keys_of(path))


def post(console, path, role=Role.ADMIN, **fields):
    """Send the form of a page; a reply's status alone."""
    browser = console.signed_in(role, "ann")
    form = {**browser, "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"csrf_token": console.csrf_of(browser), **fields}).encode()
    return console.ask("POST", path, body=body, headers=form).status


def changed(log):
    """Change the first line, long before where the log was signed last."""
    log.write_bytes(log.read_bytes().replace(b'"session":"2013-02-28"', b'"session":"2013-02-27"', 1))


@pytest.fixture
def halted_by_its_log(journal, log):
    """Give a desk that was halted for its log, and then by hand."""
    project(journal, log)
    changed(log)
    journal.record_incident(
        kind=CHAIN_BROKEN,
        account="SIM-FIVE",
        intent_id="",
        detail="line 1, event 1: hash is not that of the content",
        is_halting=True,
        now=states.OPEN,
    )
    journal.set_run_control(RunControlAction.HALT, actor="ben", reason="I look", now=states.CLOSE)


def test_what_halted_for_its_log_is_looked_at_whole_before_trading_goes_on(
    console, journal, log, halted_by_its_log
):
    before = journal.run_control()
    word = confirmation_of(before)

    rehearsed = change(
        console, "/control/resume", {"reason": "over", "confirm": word}, role=Role.ADMIN, dry_run=True
    )
    resumed = change(console, "/control/resume", {"reason": "over", "confirm": word}, role=Role.ADMIN)

    for refused in (rehearsed, resumed):
        assert (refused.status, refused.json["code"]) == (409, "gate_closed")
        assert "log line 1, event 1: hash is not that of the content" in refused.json["detail"]
    assert post(console, "/resume", reason="over", confirm=word) == 409
    assert journal.run_control() == before


def test_a_log_put_back_lets_trading_go_on(console, journal, log, halted_by_its_log):
    log.write_bytes(log.read_bytes().replace(b'"session":"2013-02-27"', b'"session":"2013-02-28"', 1))

    assert post(console, "/resume", reason="back", confirm=confirmation_of(journal.run_control())) == 303
    assert not journal.run_control().kill_switch_on


@pytest.mark.parametrize("stop", [RunControlAction.HALT, RunControlAction.PAUSE])
def test_whatever_stopped_trading_it_does_not_go_on_over_a_log_whose_end_is_broken(
    console, journal, log, stop
):
    journal.set_run_control(stop, actor="ben", reason="odd prices", now=states.OPEN)
    stopped = journal.run_control()
    log.unlink()

    refused = change(
        console,
        "/control/resume",
        {"reason": "over", "confirm": look(console, "/control")["item"]["confirm"]},
        role=Role.ADMIN,
    )

    assert (refused.status, journal.run_control()) == (409, stopped)
    assert "the log is missing, but its checkpoints are here" in refused.json["detail"]


@pytest.mark.usefixtures("log")
def test_over_a_log_that_holds_a_halt_is_resumed_as_ever(console, journal):
    journal.set_run_control(RunControlAction.HALT, actor="ben", reason="odd prices", now=states.OPEN)

    assert post(console, "/resume", reason="right", confirm=confirmation_of(journal.run_control())) == 303


# ------------------------------------------------------------------------------------- approvals


@pytest.fixture
def ahead(log, decided, tmp_path):
    """Let the log tell of more than the journal knows, as where an older copy of it was put back."""
    newer = tmp_path / "newer.db"
    shutil.copy(decided, newer)
    with SqlJournal(f"sqlite:///{newer}") as journal:
        journal.set_run_control(RunControlAction.DEGRADE, actor="ben", reason="fog", now=states.OPEN)
        project(journal, log)


@pytest.mark.usefixtures("ahead")
def test_on_an_older_copy_of_the_journal_nothing_is_approved_and_a_rejection_is_taken(
    console, journal, started
):
    path, body = seen(console)
    before = journal.events(after=0, limit=1000)

    asked = change(console, f"{path}/approve", body)
    rehearsed = change(console, f"{path}/approve", body, dry_run=True)
    at_the_page = post(console, f"{path}/approve", **{**body, "version": str(body["version"])})

    for refused in (asked, rehearsed):
        assert (refused.status, refused.json["code"]) == (409, "refused")
        assert "the journal is behind its audit log" in refused.json["detail"]
    assert at_the_page == 409
    assert (journal.events(after=0, limit=1000), started) == (before, [])
    assert change(console, f"{path}/reject", body).status == 200
    assert change(console, "/control/halt", {"reason": "torn"}).status == 200


def garbage_at_its_end(log):
    log.write_bytes(log.read_bytes() + b"garbage\n")


def shorter_than_signed(log):
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (garbage_at_its_end, "the audit log ends with a line that tells of no event"),
        (shorter_than_signed, "the audit log is broken, log line 6, event 6: is not here"),
    ],
)
def test_nothing_is_approved_that_would_be_halted_for_the_logs_end(console, journal, log, broken, told):
    path, body = seen(console)
    before = journal.events(after=0, limit=1000)
    broken(log)

    refused = change(console, f"{path}/approve", body)

    assert (refused.status, refused.json["code"]) == (409, "refused")
    assert told in refused.json["detail"]
    assert journal.events(after=0, limit=1000) == before


@pytest.mark.usefixtures("ahead")
def test_by_the_verb_too_and_before_it_asks(console, journal, capsys, monkeypatch):
    settings = console.desk.settings
    monkeypatch.setenv("TRADING_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(settings.config_dir))
    before = journal.events(after=0, limit=1000)

    code = main(["approvals", "approve", "AAPL@2013-02-28", "--reason", "fine"])

    told = capsys.readouterr()
    assert (code, told.out) == (4, "")
    assert "the journal is behind its audit log, which tells of" in told.err
    assert "?" not in told.err
    assert journal.events(after=0, limit=1000) == before
    assert main(["approvals", "reject", "AAPL@2013-02-28", "--reason", "no", "--yes"]) == 0
