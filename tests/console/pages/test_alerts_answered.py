"""An alert is answered at its page: acknowledged, silenced and unsilenced, its runbook read.

And the post-mortem of an incident begun at its own. One desk of this module; each test has its own alert.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from console.alerts import alerts_of
from console.pages.overview import ALERTS_SHOWN
from console.pages.runbooks import FOLDER, WRITTEN_IN, blocks_of, runbook_link
from console.pages.templating import environment
from console.web.app import API
from console.web.identities import Role
from console.web.rates import Rate
from resources.alert_policy import load_alert_policy
from tests.console.pages.looking import Site, hidden_in, words_of
from tests.console.pages.populated import Texts, fire, populate
from tests.console.states import OPEN
from tests.console.web.serving import console_on
from trading.alerts import STALE

HOSTILE = "<script>window.taken=1</script></bdi>"
TICKS = "ticks.failed"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    state = populate(tmp_path_factory.mktemp("answered"), Texts(finding=HOSTILE))
    with console_on(state, requests=Rate(burst=10**6, per_s=10**6)) as console:
        # People speak at the time of what was told last; of nothing told it would be the machine's.
        fire(console.desk, TICKS, 1, about="first_schedule")
        yield Site(console)


def told_of(site: Site, kind: str):
    """Give the events of a kind, the latest last."""
    return [event for event in site.console.desk.journal.alert_events(first=0) if event.kind == kind]


def until(hours: float) -> str:
    """Give an instant so long after the last thing that this desk was told of."""
    return (OPEN + timedelta(hours=hours)).isoformat()


def test_an_acknowledgement_keeps_name_and_reason_in_the_journal(site):
    fingerprint = fire(site.console.desk, TICKS, 1, about="taken_on_schedule")
    offered = words_of(site.page(f"/alerts/{fingerprint}"))
    done = site.post(f"/alerts/{fingerprint}/acknowledge", reason=HOSTILE)
    shown = site.page(f"/alerts/{fingerprint}")

    assert "Acknowledge: I look after it" in offered
    assert (done.status, done.headers["location"]) == (303, f"/alerts/{fingerprint}")
    last = told_of(site, "alert_acknowledged")[-1]
    assert (last.actor, last.reason, last.body["fingerprint"]) == ("anna", HOSTILE, fingerprint)
    assert "Acknowledged by anna" in words_of(shown)
    assert HOSTILE in words_of(shown)
    assert "<script>window" not in shown


def test_an_alert_on_a_table_that_is_late_leads_to_the_table(site):
    fingerprint = fire(site.console.desk, STALE, 1, about="daily_report")

    assert "/assets/us_five/daily_report?view=partitions" in site.page(f"/alerts/{fingerprint}")


def test_an_alert_is_silenced_until_an_instant_that_was_shown_and_unsilenced(site):
    fingerprint = fire(site.console.desk, TICKS, 1, about="quiet_schedule")
    other = fire(site.console.desk, TICKS, 1, about="loud_schedule")
    offered = site.page(f"/alerts/{fingerprint}")
    (two_hours, *_) = re.findall(r'<option value="([^"]+)">2 hours, until 2013-02-28 16:30:00 UTC', offered)
    done = site.post(f"/alerts/{fingerprint}/silence", until=two_hours, reason="moving it")
    quiet, loud = site.page(f"/alerts/{fingerprint}"), site.page(f"/alerts/{other}")
    listed = site.page("/incidents")
    (path,) = re.findall(r'action="(/silences/[^"]+)"', quiet)
    seen = hidden_in(quiet)
    ended = site.post(path, **seen, reason="it is moved")
    over = site.page(f"/alerts/{fingerprint}")
    again = site.post(path, **seen, reason="it is moved")

    assert (done.status, done.headers["location"]) == (303, f"/alerts/{fingerprint}")
    silenced = told_of(site, "silence_set")[-1]
    assert (silenced.actor, silenced.reason) == ("anna", "moving it")
    assert silenced.body["ends_at"].startswith("2013-02-28T16:30:00")
    assert "▲ silenced" in quiet
    assert "Silenced until 2013-02-28 16:30:00 UTC by anna: moving it" in words_of(quiet)
    assert "Silence it" not in quiet
    assert "▲ firing" in loud
    assert f'action="{path}"' in listed
    assert (ended.status, ended.headers["location"]) == (303, f"/alerts/{fingerprint}")
    unsilenced = told_of(site, "silence_ended")[-1]
    assert (unsilenced.actor, unsilenced.reason) == ("anna", "it is moved")
    assert "▲ firing" in over
    assert again.status == 404


def test_a_silence_of_no_known_alert_is_ended_where_all_are_listed(site):
    made = site.console.ask(
        "POST",
        f"{API}/silences",
        role=Role.TRADER,
        body={"matchers": ["alertname=disk_low"], "minutes": 30, "reason": HOSTILE},
        headers={"Idempotency-Key": "disk"},
    )
    assert made.status == 200, made.body
    path = f"/silences/{made.json['item']['silence_id']}/end"
    listed = site.page("/incidents")
    ended = site.post(path, reason="wanted after all")

    assert f'action="{path}"' in listed
    assert f"alertname=disk_low by trader program: {HOSTILE}" in words_of(listed)
    assert "<script>window" not in listed
    assert (ended.status, ended.headers["location"]) == (303, "/incidents")
    assert path not in site.page("/incidents")


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"until": until(0)}, 400, "longer than nothing"),
        ({"until": until(-1)}, 400, "longer than nothing"),
        ({"until": until(24 * 31)}, 400, "at most 30 days"),
        ({"until": "2013-03-01T00:00:00"}, 422, "until"),
        ({"until": "tomorrow"}, 422, "until"),
        ({"until": until(1), "reason": " "}, 400, "reason"),
        ({"until": until(1), "reason": "x" * 501}, 422, "reason"),
        ({"reason": "no until"}, 422, "until"),
    ],
)
def test_a_silence_that_cannot_be_is_refused_with_its_reason(site, fields, status, words):
    fingerprint = fire(site.console.desk, TICKS, 1, about="stays_loud_schedule")
    before = len(told_of(site, "silence_set"))
    reply = site.post(f"/alerts/{fingerprint}/silence", **{"reason": "known", **fields})

    assert reply.status == status, reply.body.decode()
    assert words in words_of(reply.body.decode())
    assert len(told_of(site, "silence_set")) == before


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/alerts/nothing/silence", {"until": until(1)}, 404),
        ("/alerts/nothing/acknowledge", {}, 404),
        ("/silences/nothing/end", {}, 404),
        ("/silences/nothing/end", {"alert": "//evil.example"}, 422),
        ("/incidents/77/postmortem", {}, 404),
    ],
)
def test_what_is_not_there_is_not_answered(site, path, fields, status):
    assert site.post(path, **fields, reason="x").status == status


def test_an_alert_that_is_over_stays_in_the_list_and_asks_for_nothing(site):
    fingerprint = fire(site.console.desk, "checks.failed", 1, about="quotes:fresh", run_id="run-1")
    goes_on = fire(site.console.desk, "checks.failed", 1, about="quotes:whole", run_id="run-1")
    silenced = site.post(f"/alerts/{fingerprint}/silence", until=until(1), reason="known")
    fire(site.console.desk, "checks.failed", 0, about="quotes:fresh")
    listed, shown = site.page("/incidents"), site.page(f"/alerts/{fingerprint}")
    (over,) = re.findall(r"<h3>Over.*?</table>", listed, flags=re.DOTALL)
    late = site.post(f"/alerts/{fingerprint}/acknowledge", reason="late")

    assert silenced.status == 303
    assert f'href="/alerts/{fingerprint}"' in over
    assert f'href="/alerts/{fingerprint}"' not in listed.replace(over, "")
    assert f'href="/alerts/{goes_on}"' not in over
    assert "✓ resolved" in shown
    assert re.findall(r'action="(/(?:alerts|silences)/[a-z0-9]+)', shown)[0].startswith("/silences/")
    assert f'action="/alerts/{fingerprint}' not in shown
    assert late.status == 409


def test_who_may_only_look_sees_an_alert_its_silence_and_no_form(site):
    fingerprint = fire(site.console.desk, TICKS, 1, about="seen_schedule")
    site.post(f"/alerts/{fingerprint}/silence", until=until(1), reason="known")
    viewer = site.console.signed_in(Role.VIEWER, "vera")
    shown = [site.page(path, headers=viewer) for path in (f"/alerts/{fingerprint}", "/incidents")]

    assert "To acknowledge or silence it takes the role trader" in words_of(shown[0])
    assert all("by anna: known" in words_of(text) for text in shown)
    assert not any('<form method="post"' in text for text in shown)


def test_the_overview_leads_to_each_of_the_worst_alerts_that_fire(site):
    fire(site.console.desk, TICKS, 1, about="decide_schedule", run_id="run-1")
    shown = site.page("/")
    worst = alerts_of(site.console.desk)[:ALERTS_SHOWN]

    assert worst
    for row in worst:
        assert f'<a href="/alerts/{row.fingerprint}">{row.code.replace("_", " ")}' in shown


@pytest.mark.parametrize(
    ("metric", "about", "leads_to"),
    [
        ("slo.burn_1h", "availability", 'href="/slo"'),
        ("advisor.week_cost", "", 'href="/costs"'),
        ("checks.failed", "fx_rates:holds", "/assets/fx_rates?view=checks"),
        ("schedules.stopped", "weekly_schedule", "/locations/trading_assets/schedules/weekly_schedule"),
        ("ticks.under_way", "sweeper", "/locations/trading_assets/sensors/sweeper"),
    ],
)
def test_an_alert_of_no_book_leads_to_its_cause_as_well(site, metric, about, leads_to):
    fingerprint = fire(site.console.desk, metric, 1e6, about=about, book="")

    assert leads_to in site.page(f"/alerts/{fingerprint}")


# -------------------------------------------------------------------------------- runbooks


def test_every_rule_leads_from_its_alert_to_a_runbook_that_says_all_that_its_file_says(site):
    policy = load_alert_policy(site.console.desk.settings.config_dir / "alerts.toml")
    files = sorted(FOLDER.glob("*.md"))

    for file in files:
        shown = site.page(f"/runbooks/{file.stem}")
        text = words_of(shown)
        written = file.read_text(encoding="utf-8")
        assert f"{WRITTEN_IN}/{file.name}" in text
        assert [word for word in re.findall(r"`([^`]+)`", written) if word not in text] == []
        assert [word for word in re.findall(r"(?m)^## (.*)$", written) if word not in text] == []
        assert not re.search(r"\]\(|(?m:^\s*[|#-] )", re.sub(r"<[^>]+>", "", shown)), file.name
    stems = {file.stem for file in files}
    assert {runbook_link(rule.runbook).removeprefix("/runbooks/") for rule in policy.rules} <= stems


def test_an_alert_links_its_runbook_in_the_list_and_on_its_page(site):
    fingerprint = fire(site.console.desk, "disk.free_ratio", 0.01, about="state folder", book="")

    for path in ("/incidents", f"/alerts/{fingerprint}"):
        assert '<a href="/runbooks/disk_low">docs/runbooks/disk_low.md</a>' in site.page(path)


@pytest.mark.parametrize("name", ["none_such", "..%2falerts", "disk_low.md", "DISK_LOW", "x" * 200])
def test_nothing_but_a_runbook_is_a_runbook(site, name):
    assert site.console.ask("GET", f"/runbooks/{name}", headers=site.headers).status in {404, 422}


@pytest.mark.parametrize(
    "path", ["docs/how-to/approve.md", "docs/runbooks/../x.md", "javascript:alert(1)", ""]
)
def test_a_file_that_is_no_runbook_is_not_linked(path):
    assert runbook_link(path) == ""


def test_what_is_written_in_a_runbook_is_text_and_never_markup():
    text = f"# t\n\n{HOSTILE} [go](javascript:window.taken=1) `{HOSTILE}`\n\n- a\n  goes on\n- {HOSTILE}\n"
    view = {"name": "t", "path": "p", "blocks": list(blocks_of(text))}
    template = environment().from_string(
        "{% for b in blocks %}{% for row in b.rows %}{% for cell in row %}{% for part in cell %}"
        "{{ part.link }}|{{ part.text }};{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
    )
    shown = template.render(view)

    assert "<script>" not in shown
    assert "|a goes on;" in shown
    assert "javascript:" not in re.findall(r"([^;|]*)\|", shown)


# -------------------------------------------------------------------------------- post-mortems


def test_a_post_mortem_is_begun_once_at_its_incident_and_shows_what_people_write_into_it(site):
    viewer = site.console.signed_in(Role.VIEWER, "vera")
    none_yet = site.page("/incidents/1/postmortem", status=404)
    asked = words_of(site.page("/incidents/1", headers=viewer))
    offered = words_of(site.page("/incidents/1"))
    done = site.post("/incidents/1/postmortem")
    shown = site.page("/incidents/1/postmortem", headers=viewer)
    path = site.console.desk.settings.profile_dir / "postmortems" / "incident-1.md"
    path.write_text("It was the <b>line</b>.", encoding="utf-8")
    again = site.post("/incidents/1/postmortem")
    finished = site.page("/incidents/1/postmortem")

    assert "trading incidents postmortem 1" in words_of(none_yet)
    assert "to write it takes the role trader" in asked
    assert "Write the post-mortem" in offered
    assert (done.status, done.headers["location"]) == (303, "/incidents/1/postmortem")
    assert HOSTILE in words_of(shown)
    assert "<script>window" not in shown
    assert again.status == 303
    assert "It was the &lt;b&gt;line&lt;/b&gt;." in finished
    assert "Read the post-mortem" in words_of(site.page("/incidents/1", headers=viewer))
