"""Somebody who tries to get past the supervisor: with old words, other people's tokens, names and hurry.

Over the REST API and the pages of a real server, each on what the journal then holds. That each change does
what it says is test_api.py and test_gate.py.
"""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from console import actions
from console.verbs.deciding import actor_of
from console.web.identities import Role
from resources.operator_names import NAMES_OF_MACHINES
from tests.console import states
from tests.console.web.test_api import change, console, decided, journal, look, seen, started
from trading.errors import BadInput, StaleVersion
from trading.journal import RunControlAction
from trading.lifecycle import IntentState
from trading.testing import NoAuditLog

__all__ = ["console", "decided", "journal", "started"]


class HaltedMeanwhile:
    """Be a journal at which somebody else halts in the very moment after its run control was read."""

    def __init__(self, journal):
        self._journal = journal

    def run_control(self):
        found = self._journal.run_control()
        actions.halt(self._journal, actor="ben", reason="a second fire", now=states.CLOSE)
        return found

    def __getattr__(self, name):
        return getattr(self._journal, name)


def test_the_word_of_a_stop_that_is_over_ends_no_other_stop(console, journal):
    change(console, "/control/halt", {"reason": "odd prices"})
    of_the_halt = look(console, "/control")["item"]["confirm"]
    over = change(console, "/control/resume", {"reason": "over", "confirm": of_the_halt}, role=Role.ADMIN)
    change(console, "/control/pause", {"reason": "the auditor looks"})
    of_the_pause = look(console, "/control")["item"]["confirm"]
    stale = change(console, "/control/resume", {"reason": "over", "confirm": of_the_halt}, role=Role.ADMIN)
    named = change(console, "/control/resume", {"reason": "done", "confirm": of_the_pause})

    assert (over.status, stale.status, stale.json["code"]) == (200, 409, "approval_refused")
    assert "is not the pause in force" in stale.json["detail"]
    assert named.status == 200
    assert not journal.run_control().paused


def test_a_page_of_a_pause_that_is_over_ends_no_later_pause(console, journal):
    browser = console.signed_in(Role.TRADER, "tim")
    form = {**browser, "Content-Type": "application/x-www-form-urlencoded"}

    def post(path, **fields):
        body = urlencode({"csrf_token": console.csrf_of(browser), **fields}).encode()
        return console.ask("POST", path, body=body, headers=form).status

    change(console, "/control/pause", {"reason": "lunch"})
    shown = look(console, "/control")["item"]["confirm"]
    change(console, "/control/resume", {"reason": "back"})
    change(console, "/control/pause", {"reason": "the auditor looks"})

    assert post("/resume", confirm=shown, reason="back") == 409
    assert journal.run_control().reason == "the auditor looks"
    assert post("/resume", confirm=look(console, "/control")["item"]["confirm"], reason="done") == 303


@pytest.mark.parametrize("stop", [RunControlAction.HALT, RunControlAction.PAUSE])
def test_a_resume_that_a_halt_overtakes_ends_nothing(journal, stop):
    journal.set_run_control(stop, actor="ann", reason="fire", now=states.OPEN)
    word = actions.confirmation_of(journal.run_control())

    with pytest.raises(StaleVersion):
        actions.resume(
            HaltedMeanwhile(journal),
            audit=NoAuditLog(),
            confirmed=word,
            actor="cleo",
            reason="over",
            now=states.CLOSE,
        )
    control = journal.run_control()
    assert (control.kill_switch_on, control.actor) == (True, "ben")


def test_the_token_of_another_persons_page_opens_nothing(console, journal):
    ann, ben = console.signed_in(Role.ADMIN, "ann"), console.signed_in(Role.ADMIN, "ben")
    form = {**ann, "Content-Type": "application/x-www-form-urlencoded"}
    for given in (console.csrf_of(ben), "", console.csrf_of(ann)[:-1]):
        body = urlencode({"csrf_token": given, "reason": "stop"}).encode()

        assert console.ask("POST", "/halt", body=body, headers=form).status == 403
    assert not journal.run_control().kill_switch_on


@pytest.mark.parametrize(
    "forged", [{"actor": "ben"}, {"role": "admin"}, {"is_rehearsal": True}, {"nonce": "n"}]
)
def test_nobody_says_in_a_body_who_they_are(console, journal, started, forged):
    path, asked = seen(console)
    reply = change(console, f"{path}/approve", asked | forged)

    assert reply.status == 422
    assert started == []
    assert journal.intent(path.rpartition("/")[2]).state is IntentState.PENDING_APPROVAL


def test_what_was_seen_of_one_intent_approves_no_other(console, journal, started):
    (of_one, asked), (other, _) = seen(console, "AAPL"), seen(console, "GOOG")
    reply = change(console, f"{other}/approve", asked)
    again = change(console, f"{of_one}/approve", asked, key="one-key")
    elsewhere = change(console, f"{other}/approve", asked, key="one-key")

    assert (reply.status, reply.json["code"]) == (409, "approval_refused")
    assert again.status == 200
    assert elsewhere.status == 422
    assert journal.intent(other.rpartition("/")[2]).state is IntentState.PENDING_APPROVAL
    assert started == [("execute", "us_five")]


def test_an_approval_while_halted_starts_nothing_and_a_retry_is_refused(console, journal, started):
    change(console, "/control/halt", {"reason": "odd prices"})
    path, asked = seen(console)
    approved = change(console, f"{path}/approve", asked)
    tried = change(
        console, "/control/retry", {"reason": "go", "book": "us_five", "session": str(states.SESSION)}
    )

    assert approved.json["item"]["execution"]["how"] == "not"
    assert (tried.status, tried.json["code"]) == (409, "gate_closed")
    assert started == []


def test_a_token_that_was_taken_back_acts_no_more(console, journal):
    made = console.tokens.make(name="night desk", role=Role.ADMIN, now=console.clock.instant)
    bearer = {"Authorization": f"Bearer {made.secret}", "Idempotency-Key": "k-taken-back"}
    before = console.ask("POST", "/api/v1/control/pause", body={"reason": "lunch"}, headers=bearer)
    console.tokens.revoke(made.token.token_id)
    after = console.ask("POST", "/api/v1/control/halt", body={"reason": "stop"}, headers=bearer)
    replayed = console.ask("POST", "/api/v1/control/pause", body={"reason": "lunch"}, headers=bearer)

    assert (before.status, after.status, replayed.status) == (200, 401, 401)
    assert (journal.run_control().paused, journal.run_control().kill_switch_on) == (True, False)


@pytest.mark.parametrize("name", [*sorted(NAMES_OF_MACHINES), "Executor", "\uff25xecutor", "order_status "])
def test_no_person_acts_under_a_name_of_the_desk_itself(console, journal, name):
    with pytest.raises(BadInput, match="not executor or order_status"):
        console.tokens.make(name=name, role=Role.ADMIN, now=console.clock.instant)
    with pytest.raises(BadInput, match="not executor or order_status"):
        console.links.issue(name=name, role=Role.ADMIN, now=console.clock.instant)
    with pytest.raises(BadInput, match="not executor or order_status"):
        actor_of(console.desk, name)


@pytest.mark.parametrize("name", ["night desk", "ann@desk.example", "a" * 64])
def test_whoever_a_token_names_can_flatten_since_a_verb_takes_the_name(console, journal, name):
    made = console.tokens.make(name=name, role=Role.ADMIN, now=console.clock.instant)

    assert actor_of(console.desk, made.token.name) == name
