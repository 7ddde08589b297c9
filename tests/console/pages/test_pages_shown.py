"""What each page shows of a desk that has run, and of one that has not, over HTTP and behind the gate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from console.pages.replays import LINES_A_PAGE
from console.pages.templating import environment
from console.web.identities import Role
from console.web.rates import Rate
from resources.advisors.call_log import JournalCallLog
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from tests.console.pages.looking import Site, hidden_in, words_of
from tests.console.pages.populated import Texts, populate, replay_begun
from tests.console.states import CLOSE, NOW, OF, OPEN, SESSION, a_cooling_account, flattening
from tests.console.web.serving import console_on
from trading.journal import RunControlAction
from trading.lifecycle import IntentState
from trading.quotes import Quarantined
from trading.testing import example_call


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    """Serve a populated desk that no test of this module changes, as often as all of them together ask."""
    state = populate(tmp_path_factory.mktemp("populated"))
    with console_on(state, requests=Rate(burst=10**6, per_s=10**6)) as console:
        yield Site(console)


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Iterator[Site]:
    with console_on(tmp_path_factory.mktemp("empty")) as console:
        yield Site(console)


@pytest.fixture
def changing(tmp_path) -> Iterator[Site]:
    """Serve a populated desk of one test's own, which remembers what it is asked to execute."""
    with console_on(populate(tmp_path / "state")) as console:
        yield Site(console)


SHOWN = [
    ("/", ["simulated", "1 awaiting approval", "BUY 700 AAPL", "1 filled", "1 blocked", "3 candidates"]),
    (
        "/",
        [
            "Session P&L",
            "2013-02-27, 1 session behind",
            "drawdown 11 % is over 10 %",
            "Reconciled",
            "Exposure 1.02 % of 120.00 %",
        ],
    ),
    ("/", ["Equity over 4 sessions, 2013-02-25 to 2013-02-28", "From intents to fills over 4 sessions"]),
    ("/approvals", ["BUY 700 AAPL", "70,000.00 USD", "2013-02-28 21:00:00 UTC"]),
    (
        "/approvals/AAPL@2013-02-28",
        ["Weight before 0.00 %", "Weight after 6.99 %", "momentum and value agree"],
    ),
    ("/approvals/AAPL@2013-02-28", ["Approve and execute", "Largest size that passes 7", "2013-02-27"]),
    ("/intents", ["all 3", "blocked 1", "pending 1", "filled 1", "BUY IBM", "■ rejected"]),
    ("/intents?show=blocked", ["BUY IBM"]),
    (
        "/intents/IBM@2013-02-28",
        ["Stopped by symbol cap", "200,000.00 USD", "900.00 USD", "passes them all: 7"],
    ),
    ("/intents/IBM@2013-02-28", ["What happened to it", "registered"]),
    ("/orders", ["BUY 10 MSFT", "10 of 10", "101.00 USD", "100.0 bps", "✓ filled"]),
    (
        "/trace/MSFT@2013-02-28",
        ["They are what was decided on", "rank 3", "exe-123456", "b-77", "3 of 3 passed"],
    ),
    ("/trace/MSFT@2013-02-28", ["Approval by the policy, or not yet: within policy"]),
    ("/trace/AAPL@2013-02-28", ["Approval by the policy, or not yet: pending approval"]),
    ("/positions", ["GOOG", "990,000.00 USD", "10,200.00 USD", "+200.00 USD"]),
    ("/positions", ["2013-02-28 is not settled.", "follow at settlement", "BUY MSFT 10 101.00 USD"]),
    ("/incidents", ["■ GOOG of account SIM-FIVE", "the broker holds 7 shares more", "statement, then lift"]),
    ("/incidents", ["1 position mismatch", "▲ open", "Lift…"]),
    (
        "/incidents/1",
        [
            "the broker holds 7 shares more",
            "Acknowledged by nobody",
            "statement, then lift",
            "Lift the halt of GOOG",
        ],
    ),
    (
        "/halts/lift?account=SIM-FIVE&symbol=GOOG",
        ["Lift the halt of GOOG", "position_mismatch: the broker holds 7 shares more", "Lift this halt"],
    ),
    ("/flatten", ["Trading is not halted, so that orders would go on while you look"]),
    ("/incidents", ["run control resume", "ben", "prices look odd", "Pause trading", "drawdown 11 %"]),
    (
        "/slo",
        ["■ incident SEV-1", "1 incident is open", "none until it is over", "99.0 %", "answered by"],
    ),
    ("/costs", ["In all no data", "Per run no data", "No model was asked anything yet"]),
    ("/settings", ["order_notional_max", "a fat finger stops here", "TRADING_WEBHOOK_URL", "****"]),
    ("/settings", ["drawdown_sessions", 'what "of late" means, a quarter of a year']),
    ("/why", ["us_five 2013-02-28", "1 intent filled: something was traded", "passed the guards"]),
    ("/resume", ["Trading is not stopped"]),
    ("/search?q=AAPL", ["Intents of AAPL", "BUY 700 AAPL", "pending approval"]),
    ("/search?q=aapl", ["BUY 700 AAPL"]),
    (
        "/replays",
        [
            "Replays: 2",
            "half us_five 2011-01-03..2013-02-28 momentum:lookback=60 ● 2 of 3 years the same trading replay",
            "winter us_five tear sheet 2012-12-03..2013-01-31 momentum:lookback=60 ✓ whole",
            "1,012,345.00 USD 8.21% 1.23 -11.00% no data",
        ],
    ),
    (
        "/replays",
        [
            "Sweeps: 2",
            "half us_five all data lookback=63 ● 3 of 4 variants – – – – –",
            "lookbacks us_five page all data lookback=63 ✓ whole lookback=63 0.87 0.51 63.4% no data",
        ],
    ),
    (
        "/weeks",
        [
            "2013-W08 attention , 3 of 4 sessions run health summary the broker holds 7 shares more",
            "1 critical, 0 warnings compliance audit critical GOOG: prices look odd",
        ],
    ),
    ("/replays?name=winter", ["Replays and sweeps called winter", "Replays: 1", "None is called so"]),
]


@pytest.mark.parametrize(("path", "words"), SHOWN, ids=[f"{path} {words[0]}" for path, words in SHOWN])
def test_a_page_shows_what_the_desk_holds(site, path, words):
    text = words_of(site.page(path))

    assert [word for word in words if word not in text] == []


EMPTY = [
    ("/", "trading run-once --book us_five"),
    ("/approvals", "trading approvals list"),
    ("/intents", "trading run-once --book us_five"),
    ("/orders", "trading run-once --book us_five"),
    ("/positions", "trading run-once --book us_five"),
    ("/incidents", "trading verify"),
    ("/slo", "trading run-once --book us_five"),
    ("/costs", "trading advisor calls"),
    ("/why", "trading run-once --book us_five"),
    ("/resume", "trading status"),
    ("/settings", "Limits"),
    ("/weeks", "trading report week --book us_five"),
    ("/quarantine", "trading quotes import --book us_five"),
    ("/deliveries", "trading alerts"),
    ("/replays", "trading replay --book us_five"),
    ("/replays", "trading sweep --book us_five --grid momentum.lookback=63,126 --name lookbacks"),
    ("/search?q=2013-02-28", ""),
]


@pytest.mark.parametrize(("path", "command"), EMPTY)
def test_an_empty_page_names_the_next_command(empty, path, command):
    if not command:
        assert empty.led_to(path) == "/intents?book=us_five&session=2013-02-28"
        return

    assert command in words_of(empty.page(path))


def test_a_trace_tells_who_answered_and_what_was_said(changing):
    with SqlJournal(changing.console.desk.settings.journal_url) as journal:
        (row,) = [one for one in journal.intents(**OF) if one.state is IntentState.PENDING_APPROVAL]
        seen = {"version": row.version, "payload_hash": row.payload_hash, "nonce": "n-1"}
        journal.reject(row.intent_id, **seen, actor="anna", reason="too_dear today", now=NOW)

    text = words_of(changing.page(f"/trace/{row.intent_id}"))

    assert "Approval by anna: too_dear today" in text


def test_before_anything_was_counted_no_promise_is_kept_or_broken(empty):
    text = words_of(empty.page("/slo"))

    assert "✓ normal SEV-3" in text
    assert "No data yet" in text
    assert text.count("0 of 0") == 4
    assert "100.00 %" not in text


def test_what_models_cost_is_told_in_all_and_by_week_session_run_and_model(changing):
    with SqlJournal(changing.console.desk.settings.journal_url) as journal:
        for day in (27, 28):
            log = JournalCallLog(journal)
            log.record(example_call(call_id=f"call-{day}", run_id=f"run-{day}", session=date(2013, 2, day)))

    text = words_of(changing.page("/costs"))

    assert "In all 0.000240 USD Questions 2 Tokens 2,000 Per run 0.000120 USD Per intent 0.000120 USD" in text
    assert "2013-W09 2 2,000 0.000240 USD 2 0.000120 USD" in text
    assert "run-28 1 1,000 0.000120 USD 1 0.000120 USD" in text
    assert "Model cost over 2 sessions, 2013-02-27 to 2013-02-28" in text


PAGES = sorted({path for path, _ in SHOWN})


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_mode_time_search_and_halt_and_tells_the_way_to_the_others(site, path):
    page = site.page(path)

    assert '<span class="badge mode">simulated</span>' in page
    assert page.count("us_five XNYS") == 1
    assert 'action="/search"' in page
    assert 'action="/halt"' in page
    assert all(f'href="{other}"' in page for other in ("/", "/approvals", "/incidents", "/settings"))


@pytest.mark.parametrize("path", PAGES)
def test_no_page_needs_what_the_content_policy_forbids(site, path):
    page = site.page(path)

    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"\s(style|on[a-z]+)=", page)
    assert not re.search(r"(?:src|href|action)=[\"'](?:https?:)?//", page)


@pytest.mark.parametrize("path", PAGES)
def test_every_field_to_write_in_has_a_name_and_every_id_is_there_once(site, path):
    page = site.page(path)
    ids = re.findall(r'\sid="([^"]+)"', page)
    written_in = re.findall(r"<input(?![^>]*type=\"hidden\")[^>]*>", page)

    assert sorted(set(ids)) == sorted(ids)
    assert written_in
    for field in written_in:
        (identity,) = re.findall(r'\sid="([^"]+)"', field)
        assert f'<label for="{identity}">' in page or f'for="{identity}"' in page


@pytest.mark.parametrize("path", PAGES)
def test_every_link_of_a_page_leads_to_a_page(site, path):
    followed = {link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]*)"', site.page(path))}

    for link in sorted(followed - set(PAGES)):
        reply = site.console.ask("GET", link, headers=site.headers)
        assert reply.status in {200, 303}, link


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("2013-02-27", "/intents?book=us_five&session=2013-02-27"),
        ("IBM@2013-02-28", "/intents/{IBM}"),
        ("b-77", "/intents/{MSFT}"),
        ("exe-123456", "/intents/{MSFT}"),
        ("winter", "/replays?name=winter"),
        ("lookbacks", "/replays?name=lookbacks"),
    ],
)
def test_search_leads_to_what_an_id_belongs_to(site, asked, leads_to):
    ids = {name: site.intent(name).intent_id for name in ("IBM", "MSFT")}

    assert site.led_to(f"/search?q={asked}") == leads_to.format(**ids)


def test_search_finds_an_intent_by_the_beginning_of_its_own_id_and_by_its_key(site):
    row = site.intent("IBM")

    assert site.led_to(f"/search?q={row.intent_id[:14]}") == f"/intents/{row.intent_id}"
    assert "BUY 9 IBM" in words_of(site.page(f"/search?q={row.intent.intent_key[:20]}"))


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/intents/in-nothing-here", 404, "nothing is stored under it"),
        ("/search?q=zzzz", 404, "nothing is stored under it"),
        ("/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", 404, "<script>alert(1)</script>"),
        ("/intents?show=everything", 400, "one of all, blocked"),
        ("/intents?book=other", 400, "no such book"),
        ("/intents?session=yesterday", 422, "does not fit"),
        ("/nowhere", 404, "no such path"),
        ("/incidents/7", 404, "there is none"),
        ("/incidents/x", 422, "does not fit"),
        ("/halts/lift?account=SIM-FIVE", 404, "there is none"),
        ("/cooldowns/end?account=SIM-FIVE", 404, "it is in none"),
        ("/replays/us_five/half/page", 404, "no tear sheet yet"),
        ("/replays/us_five/%2e%2e/page", 404, "no such replay"),
        ("/replays/other/winter/page", 400, "no such book"),
        ("/sweeps/us_five/half/page", 404, "no page yet"),
        ("/sweeps/us_five/%2e%2e%2fus_five%2flookbacks/page", 404, "no such path"),
        ("/sweeps/us_five/none/page", 404, "has none of that name"),
        ("/sweeps/other/lookbacks/page", 400, "no such book"),
        ("/replays?page=0", 422, "does not fit"),
        ("/weeks/us_five/2013-W01/weekly_health", 404, "nothing is written of it"),
        ("/weeks/us_five/2013-W08/positions", 404, "nothing is written of it"),
        ("/weeks/us_five/%2e%2e/weekly_health", 400, "write it as 2013-W09"),
        ("/weeks/other/2013-W08/weekly_audit", 400, "no such book"),
        ("/alerts/drawdown", 404, "none has this code or fingerprint"),
        ("/quarantine?row=abc", 404, "nothing is quarantined under this id"),
        ("/quarantine?book=other", 400, "no such book"),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(site, path, status, words):
    page = site.page(path, status=status)

    assert words in words_of(page)
    assert "<script>" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/replays/us_five/winter/page",
        "/sweeps/us_five/lookbacks/page",
        "/weeks/us_five/2013-W08/weekly_health",
        "/weeks/us_five/2013-W08/weekly_audit",
    ],
)
def test_a_page_that_a_run_left_is_shown_as_it_is_and_may_do_nothing(site, path):
    reply = site.console.ask("GET", path, headers=site.headers)
    page = site.console.ask("GET", "/replays", headers=site.headers)

    assert (reply.status, reply.body.decode()) == (200, Texts().tear_sheet)
    assert reply.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src")
    assert reply.headers["x-frame-options"] == "DENY"
    assert "sandbox" not in page.headers["content-security-policy"]
    assert site.console.ask("GET", path).status == 401


def test_a_replay_that_is_made_anew_shows_what_it_was_worth_and_how_far_the_new_one_is(changing):
    folder = Path(changing.console.desk.lake.root) / "us_five" / "replays" / "winter"
    (folder / "begun.json").write_text(json.dumps({"replay_sha": "c" * 64}), encoding="utf-8")
    begun = words_of(changing.page("/replays?name=winter"))
    kept = folder / ("c" * 16) / "kept"
    kept.mkdir(parents=True)
    (kept / "2012.json").write_text("{}", encoding="utf-8")
    after_a_year = words_of(changing.page("/replays?name=winter"))

    assert "✓ whole, made anew: 0 of 2 years 1,012,345.00 USD" in begun
    assert "✓ whole, made anew: 1 of 2 years 1,012,345.00 USD" in after_a_year


def test_a_replay_that_was_refused_and_years_without_a_fill_are_told_with_the_reason(changing):
    folder = Path(changing.console.desk.lake.root) / "us_five" / "replays"
    begun = json.loads((folder / "half" / "begun.json").read_text("utf-8"))
    refused = folder / "half" / "refused.json"
    refused.write_text(json.dumps({**begun, "why": "skip 9 is no <lookback>"}), encoding="utf-8")
    manifest = folder / "winter" / ("a" * 16) / "manifest.json"
    told = json.loads(manifest.read_text("utf-8"))
    told["summary"]["warnings"] = [
        "2009 to 2012: 8 intents and no fill; the guard order_notional refused most"
    ]
    manifest.write_text(json.dumps(told), encoding="utf-8")
    words = words_of(changing.page("/replays"))

    assert "■ refused: skip 9 is no <lookback>" in words
    assert "2009 to 2012: 8 intents and no fill; the guard order notional refused most" in words
    refused.write_text(json.dumps({"replay_sha": "another", "why": "gone"}), encoding="utf-8")
    assert "the same trading replay goes on from there" in words_of(changing.page("/replays?name=half"))


def test_a_replay_whose_check_failed_is_marked_and_a_light_one_has_no_data_for_it(changing):
    folder = Path(changing.console.desk.lake.root) / "us_five" / "replays" / "winter"
    manifest = folder / ("a" * 16) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("true", "false"), encoding="utf-8")
    failed = changing.page("/replays?name=winter")
    request = folder / "request.json"
    request.write_text(request.read_text().replace('"light": false', '"light": true'), encoding="utf-8")
    light = changing.page("/replays?name=winter")

    assert "■ FAILED: value is conserved" in words_of(failed)
    assert '<tr class="stopped">' in failed
    assert "no data for value is conserved" in words_of(light)
    assert '<tr class="stopped">' not in light


def test_many_replays_are_shown_a_page_at_a_time_and_what_is_no_sweep_is_left_out(changing):
    settings = changing.console.desk.settings
    for number in range(LINES_A_PAGE):
        replay_begun(settings, f"many-{number:02}", Texts())
    (settings.profile_dir / "sweeps/named/us_five/half/progress.json").write_text("{}", encoding="utf-8")
    first, last = words_of(changing.page("/replays")), words_of(changing.page("/replays?page=9"))

    assert "Replays: 27" in first
    assert [name in first for name in ("half us_five", "many-23 us_five", "many-24 us_five")] == [1, 1, 0]
    assert [name in last for name in ("half us_five", "many-24 us_five", "winter us_five")] == [0, 1, 1]
    assert "page 2 of 2" in last
    assert "lookbacks us_five" in first
    assert "3 of 4 variants" not in first


# -------------------------------------------------------------------------------- acting


def test_an_approval_is_bound_to_what_was_shown_and_says_how_it_goes_on(changing):
    row = changing.intent("AAPL")
    given = {"payload_hash": row.payload_hash, "version": str(row.version), "reason": "read the news"}

    stale = changing.post(f"/approvals/{row.intent_id}/approve", **{**given, "version": "7"})
    other = changing.post(f"/approvals/{row.intent_id}/approve", **{**given, "payload_hash": "0" * 64})
    silent = changing.post(f"/approvals/{row.intent_id}/approve", **{**given, "reason": " "})
    approved = changing.post(f"/approvals/{row.intent_id}/approve", **given)
    again = changing.post(f"/approvals/{row.intent_id}/approve", **given)

    assert [reply.status for reply in (stale, other, silent, approved, again)] == [409, 409, 400, 200, 409]
    text = words_of(approved.body.decode())
    assert "approved by anna: read the news" in text
    assert "Execution: started in a process of its own" in text
    assert changing.console.started == [("execute", "us_five")]
    assert changing.intent("AAPL").state is IntentState.APPROVED


def test_a_rejection_starts_nothing(changing):
    row = changing.intent("AAPL")

    reply = changing.post(
        f"/approvals/{row.intent_id}/reject",
        payload_hash=row.payload_hash,
        version=str(row.version),
        reason="earnings tonight",
    )

    assert "rejected by anna: earnings tonight" in words_of(reply.body.decode())
    assert "Execution" not in reply.body.decode()
    assert changing.intent("AAPL").reason == "earnings tonight"


def test_a_halt_shows_on_every_page_and_ends_by_the_word_of_that_very_halt(changing, cancels_asked):
    halted = changing.post("/halt", reason="odd prices")
    page = changing.page("/settings")
    (word,) = re.findall(r'name="confirm" value="([^"]+)"', changing.page("/resume"))
    changing.post("/halt", reason="a second one")
    of_the_first = changing.post("/resume", confirm=word, reason="over")
    (word,) = re.findall(r'name="confirm" value="([^"]+)"', changing.page("/resume"))
    ended = changing.post("/resume", confirm=word, reason="over")

    assert (halted.status, halted.headers["location"]) == (303, "/")
    assert cancels_asked == [("anna", "odd prices"), ("anna", "a second one")]
    assert "■ HALTED" in page
    assert "by anna since" in words_of(page)
    assert of_the_first.status == 409
    assert ended.status == 303
    assert "▶ running" in changing.page("/")


def test_a_form_without_its_reason_is_told_which_field_it_is(changing):
    reply = changing.post("/halt", reason="")

    assert reply.status == 422
    assert "reason: Field required" in words_of(reply.body.decode())
    assert not changing.console.desk.journal.run_control().kill_switch_on


def test_a_degrade_shows_in_the_verdict_and_in_the_timeline(changing):
    with SqlJournal(changing.console.desk.settings.journal_url) as journal:
        journal.set_run_control(RunControlAction.DEGRADE, actor="ben", reason="thin", now=NOW)

    overview, incidents = words_of(changing.page("/")), words_of(changing.page("/incidents"))

    assert "DEGRADED by ben since 2013-02-28 14:00:00 UTC: thin" in overview
    assert "Degraded by ben since 2013-02-28 14:00:00 UTC: thin" in overview
    assert "mode set: degrade on ben thin" in incidents


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("compare `trading positions`, then lift", "compare <code>trading positions</code>, then lift"),
        ("`a < b` & `c`", "<code>a &lt; b</code> &amp; <code>c</code>"),
        ("one ` <b>alone", "one ` &lt;b&gt;alone"),
        ("", ""),
    ],
)
def test_what_to_do_shows_its_commands_as_such_and_all_else_as_text(text, shown):
    told = environment().get_template("parts.html").module.told

    assert told(text).strip() == shown


def test_a_finding_is_taken_on_and_its_halt_lifted_as_it_was_shown(changing):
    path = "/halts/lift?account=SIM-FIVE&symbol=GOOG"
    seen = hidden_in(changing.page(path))
    taken_on = changing.post("/incidents/1/acknowledge", reason="calling the broker")
    held, page = words_of(changing.page("/")), words_of(changing.page("/incidents/1"))
    with SqlJournal(changing.console.desk.settings.journal_url) as journal:
        journal.record_finding(
            kind="position_mismatch",
            account="SIM-FIVE",
            symbol="GOOG",
            intent_id="",
            detail="and 3 more",
            is_standing=True,
            now=OPEN,
        )
    of_the_first = changing.post("/halts/lift", **seen, reason="booked")
    both = words_of(changing.page(path))
    lifted = changing.post("/halts/lift", **hidden_in(changing.page(path)), reason="booked")

    assert (taken_on.status, taken_on.headers["location"]) == (303, "/incidents/1")
    assert "Acknowledged by anna" in page
    assert "7 shares more (acknowledged by anna)" in held
    assert of_the_first.status == 409
    assert "the broker holds 7 shares more" in both
    assert "and 3 more" in both
    assert (lifted.status, changing.console.desk.journal.halts()) == (303, [])
    assert "✓ answered" in changing.page("/incidents/1")
    assert changing.post("/incidents/1/acknowledge", reason="late").status == 409


def test_a_cooldown_is_ended_as_it_was_shown(tmp_path):
    with console_on(tmp_path) as console:
        console.desk.settings.profile_dir.mkdir(parents=True)
        with SqlJournal(console.desk.settings.journal_url) as journal:
            a_cooling_account(journal)
        site = Site(console)
        offered = site.page("/incidents")
        seen = hidden_in(site.page("/cooldowns/end?account=SIM-FIVE"))
        other = site.post("/cooldowns/end", **{**seen, "began_at": "2013-02-27T00:00:00+00:00"}, reason="x")
        ended = site.post("/cooldowns/end", **seen, reason="it was the line")
        over = site.page("/incidents")

    assert 'href="/cooldowns/end?account=SIM-FIVE"' in offered
    assert (other.status, ended.status) == (409, 303)
    assert "/cooldowns/end" not in over
    assert "cooldown ended" not in offered


def test_a_flatten_is_shown_and_sold_by_its_word_while_halted(changing, monkeypatch):
    asked_of_verb = []
    monkeypatch.setattr("console.doing.told_by_verb", flattening(asked_of_verb))
    running = changing.post("/flatten", book="us_five", reason="out")
    changing.post("/halt", reason="fire")
    for no_word in ("flatten-a\0b", "resume-1a2b3c4d", "flatten-1a2b3c4d --yes", "flatten-"):
        assert changing.post("/flatten", book="us_five", reason="out", confirm=no_word).status == 400
    assert asked_of_verb == []
    offered = words_of(changing.page("/flatten"))
    shown = changing.post("/flatten", book="us_five", reason="out").body.decode()
    sold = changing.post("/flatten", **hidden_in(shown), reason="out before the news")

    assert running.status == 409
    assert "Preview us_five" in offered
    for text in ("1 sale of 812.00 USD", "Nothing is sold yet", "Sell all of us_five"):
        assert text in words_of(shown)
    assert hidden_in(shown)["confirm"].startswith("flatten-")
    assert "Ordered by anna ( out before the news )" in words_of(sold.body.decode())
    assert [any(word.startswith("--confirm=") for word in words) for words in asked_of_verb] == [False, True]
    assert all("--as=anna" in words for words in asked_of_verb)


def test_a_trader_acknowledges_and_takes_an_admin_to_lift_flatten_or_end_a_cooldown(changing):
    trader = Site(changing.console, Role.TRADER)
    seen = hidden_in(changing.page("/halts/lift?account=SIM-FIVE&symbol=GOOG"))
    told = words_of(trader.page("/halts/lift?account=SIM-FIVE&symbol=GOOG"))
    lifted = trader.post("/halts/lift", **seen, reason="booked")
    taken_on = trader.post("/incidents/1/acknowledge", reason="looking")
    changing.post("/halt", reason="fire")
    flattened = trader.post("/flatten", book="us_five", reason="out")
    cooled = trader.post("/cooldowns/end", account="SIM-FIVE", began_at="2013-02-28T14:30:00Z", reason="x")

    assert "To lift a halt takes the role admin" in told
    assert "To flatten takes the role admin" in words_of(trader.page("/flatten"))
    assert (lifted.status, taken_on.status, flattened.status, cooled.status) == (403, 303, 403, 403)
    assert len(changing.console.desk.journal.halts()) == 1


def test_a_session_without_quarantined_rows_is_not_one_whose_quotes_nobody_judged(changing):
    lake = Lake(changing.console.desk.settings.lake_root)
    lake.write_rows(("us_five", "quarantined_quotes"), str(SESSION), Quarantined, [])

    judged = words_of(changing.page("/quarantine"))
    other = words_of(changing.page("/quarantine?session=2013-02-27"))

    assert f"No row of us_five {SESSION} is quarantined." in judged
    assert "were not judged yet: nothing is known of them" in other


def test_a_delivery_log_without_an_attempt_of_a_kind_says_so(changing):
    with SqlJournal(changing.console.desk.settings.journal_url) as journal:
        (message,) = journal.lease(now=NOW, lease_s=60, limit=1)
        journal.mark(
            message.outbox_id,
            attempt=message.attempts,
            is_delivered=True,
            reason="sent",
            retry_at=None,
            now=NOW,
        )

    every = words_of(changing.page("/deliveries"))
    none = words_of(changing.page("/deliveries?channel=webhook&reason=non_2xx"))

    assert "stdout sent 1" in every
    assert "✓ sent 1 warning drawdown 11 % is over 10 %" in every
    assert "No attempt through webhook ended as non 2xx." in none


def test_a_pause_shows_and_ends(changing):
    assert changing.post("/pause", reason="lunch").status == 303
    assert "‖ PAUSED" in changing.page("/")
    assert changing.post("/resume", confirm="", reason="back").status == 303
    assert not changing.console.desk.journal.run_control().paused


def test_a_trader_ends_a_pause_and_takes_an_admin_to_end_a_halt(changing):
    trader = Site(changing.console, Role.TRADER)
    changing.post("/pause", reason="lunch")
    offered = words_of(trader.page("/resume"))
    ended = trader.post("/resume", confirm="", reason="back")
    changing.post("/halt", reason="odd prices")
    (word,) = re.findall(r'name="confirm" value="([^"]+)"', changing.page("/resume"))
    refused = trader.post("/resume", confirm=word, reason="back")

    assert "End the pause" in offered
    assert ended.status == 303
    assert "a halt takes the role admin" in words_of(trader.page("/resume"))
    assert refused.status == 403
    assert changing.console.desk.journal.run_control().kill_switch_on


ACTS = ["/halt", "/pause", "/resume", "/approvals/in-1/approve", "/approvals/in-1/reject"]
ACTS += ["/incidents/1/acknowledge", "/incidents/1/postmortem", "/halts/lift", "/cooldowns/end", "/flatten"]
ACTS += ["/alerts/a1/acknowledge", "/alerts/a1/silence", "/silences/b2/end"]


LIFTING = "/halts/lift?account=SIM-FIVE&symbol=GOOG"
FIELDS = {"reason": "r", "confirm": "c", "payload_hash": "p", "version": "1", "book": "us_five"}
FIELDS |= {
    "account": "SIM-FIVE",
    "symbol": "GOOG",
    "changed_at": NOW.isoformat(),
    "began_at": NOW.isoformat(),
    "until": CLOSE.isoformat(),
}


@pytest.mark.parametrize("path", ACTS)
def test_who_may_only_look_gets_no_form_and_no_answer_to_one(site, path):
    viewer = site.console.signed_in(Role.VIEWER, "vera")

    reply = site.post(path, viewer, **FIELDS)

    assert reply.status == 403
    looked_at = ("/", "/incidents", "/approvals/AAPL@2013-02-28", "/incidents/1", "/flatten", LIFTING)
    shown = [site.page(page, headers=viewer) for page in looked_at]
    assert not any('<form method="post"' in page for page in shown)
    assert "takes the role trader" in shown[2]


@pytest.mark.parametrize("what", ["approve", "reject"])
def test_an_answer_by_who_may_only_look_is_kept_in_the_journal(changing, what):
    row = changing.intent("AAPL")
    viewer = changing.console.signed_in(Role.VIEWER, "vera")
    given = {"reason": "r", "payload_hash": row.payload_hash, "version": str(row.version)}
    refused = changing.post(f"/approvals/{row.intent_id}/{what}", viewer, **given)

    assert refused.status == 403
    assert changing.intent("AAPL") == row
    last = changing.console.desk.journal.events_of(row.intent_id)[-1]
    assert (last.kind, last.reason, last.actor) == ("answer_refused", "wrong_role", "vera")


def test_a_trader_may_halt_and_is_told_who_may_resume(changing):
    trader = changing.console.signed_in(Role.TRADER, "tim")

    assert changing.post("/halt", trader, reason="stop").status == 303
    assert "takes the role admin" in words_of(changing.page("/resume", headers=trader))
    assert changing.post("/resume", trader, confirm="x", reason="go").status == 403


@pytest.mark.parametrize("path", ACTS)
def test_a_form_without_the_token_of_its_page_changes_nothing(site, path):
    reply = site.post(path, csrf_token="guessed", **FIELDS)

    assert reply.status == 403
    assert len(site.console.desk.journal.halts()) == 1
    assert not site.console.desk.journal.run_control().kill_switch_on
