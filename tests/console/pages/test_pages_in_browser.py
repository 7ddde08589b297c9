"""The operator's pages in a real browser: few clicks, a phone's width, no script, hostile text, renewal.

One browser and, for each kind of desk, one server. What the pages say is test_pages_shown.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from console.alerts import acknowledge, alerts_of, silence_alert
from console.incident_reviews import write_postmortem
from console.incidents import incidents_of
from resources.lake.store import Lake
from tests.chromium import DRIVES_CHROMIUM, SHOWN_MS, chromium
from tests.console.pages.populated import Texts, fire, populate
from tests.console.states import OPEN, SESSION, a_cooling_account, flattening, parked_after_approval
from tests.console.web.serving import Console, console_on
from trading.journal import RunControlAction
from trading.lifecycle import IntentState
from trading.protocol import FindingKind
from trading.quotes import Quarantined
from trading.values import digest

pytestmark = DRIVES_CHROMIUM

CLICKS_MAX = 3
RENEWED_MS = 6_000
"""A page has asked again by then, in its own time."""
PHONE = {"width": 390, "height": 844}

HOSTILE = Texts(
    pending="<script>window.taken=1</script>",
    blocked="\"><img src=x onerror=window.taken=1>'",
    filled="\u202egnirts \u05e9\u05dc\u05d5\u05dd \u2067end",
    held="W" * 300,
    rationale="</bdi></p><script>window.taken=1</script>{{ 7 * 7 }} ${7*7} " + "R" * 300,
    reason="<svg onload=window.taken=1>\u202ereversed " + "x" * 300,
    actor="<b onmouseover=window.taken=1>ben</b>",
    finding="javascript:window.taken=1 <iframe srcdoc='<script>parent.taken=1</script>'>",
    alert="<a href=javascript:window.taken=1>\u2066alert</a>",
    broker_order_id="b'\"><form action=//evil.example>",
    execution_id="<style>*{display:none}</style>",
    unfinished="<b onmouseover=window.taken=1>" + "h" * 200,
    strategy="<img src=x onerror=window.taken=1>\u202emomentum",
    variant="<svg onload=window.taken=1>" + "v" * 300,
    tear_sheet="<style>h1 { color: rgb(1, 2, 3) }</style><h1 onclick=top.taken=1>sheet</h1>"
    "<script>document.title = 'taken'</script><form action=/halt method=post><button>Go</button></form>",
)
INJECTED = (
    "script:not([src]), img, iframe, style, b, svg[onload], [onerror], [onmouseover], form[action^='//']"
)


class Walker:
    """Be a person at a browser who counts clicks."""

    def __init__(self, page: Any, console: Console) -> None:
        self.page, self.console, self.clicks = page, console, 0
        self.url = f"http://127.0.0.1:{console.port}"

    def opens(self, path: str) -> None:
        """Open a page by its address; where a walk begins."""
        self.page.goto(f"{self.url}{path}")
        self.clicks = 0

    def clicks_on(self, role: str, name: str, *, is_whole: bool = False) -> None:
        """Click the first of a role by its name, or by a part of it."""
        self.page.get_by_role(role, name=name, exact=is_whole).first.click()
        self.clicks += 1

    def opens_halt(self) -> None:
        """Unfold what HALT asks for."""
        self.page.locator("details.halt > summary").click()
        self.clicks += 1

    def writes(self, label: str, text: str) -> None:
        """Write into a field by its label."""
        self.page.get_by_label(label, exact=True).locator("visible=true").fill(text)

    def reads(self, text: str) -> None:
        """Wait until a text is there."""
        self.page.get_by_text(text).locator("visible=true").first.wait_for()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def populated(tmp_path_factory) -> Iterator[Console]:
    """Serve a desk to look at."""
    with console_on(populate(tmp_path_factory.mktemp("looked at"))) as console:
        answered(console, texts=Texts())
        yield console


@pytest.fixture
def changing(tmp_path) -> Iterator[Console]:
    """Serve a desk of one test's own, which notes what it was asked to execute."""
    with console_on(populate(tmp_path / "state")) as console:
        yield console


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Iterator[Console]:
    with console_on(populate(tmp_path_factory.mktemp("hostile"), HOSTILE)) as console:
        answered(console, texts=HOSTILE)
        yield console


def opened(browser, **options: Any) -> Iterator[Any]:
    """Open a page in a browser of its own that remembers what its scripts complained of."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(SHOWN_MS)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()


@pytest.fixture(scope="module")
def desktop(browser) -> Iterator[Any]:
    yield from opened(browser)


@pytest.fixture(scope="module")
def phone(browser) -> Iterator[Any]:
    yield from opened(browser, viewport=PHONE)


@pytest.fixture(scope="module")
def phone_without_script(browser) -> Iterator[Any]:
    yield from opened(browser, java_script_enabled=False, viewport=PHONE)


def signed_in(page: Any, console: Console) -> Walker:
    """Let somebody new sit down at a page, in by a one-time link; nothing is left of who sat there before."""
    page.goto("about:blank")
    page.context.clear_cookies()
    page.complaints = []
    code = console.links.issue(name="anna", role=_admin(), now=console.clock.instant)
    page.goto(f"http://127.0.0.1:{console.port}/sign-in?code={code}")
    return Walker(page, console)


def _admin():
    from console.web.identities import Role

    return Role.ADMIN


@pytest.fixture
def walker(desktop, populated) -> Walker:
    return signed_in(desktop, populated)


@pytest.fixture
def acting(desktop, changing) -> Walker:
    return signed_in(desktop, changing)


@pytest.fixture
def timed(browser, changing) -> Iterator[Walker]:
    """Sit down at a page of the test's own: a clock that a test has set stays with the page."""
    for page in opened(browser):
        yield signed_in(page, changing)


@pytest.fixture
def without_script(phone_without_script, changing) -> Walker:
    return signed_in(phone_without_script, changing)


@pytest.fixture
def at_hostile(phone, hostile) -> Walker:
    return signed_in(phone, hostile)


def intent_of(console: Console, symbol: str):
    rows = console.desk.journal.intents(book="us_five", lane="simulated", session=SESSION)
    return next(row for row in rows if row.intent.symbol == symbol)


def pages_of(console: Console) -> list[str]:
    ids = [
        row.intent_id
        for row in console.desk.journal.intents(book="us_five", lane="simulated", session=SESSION)
    ]
    one_each = [f"/{page}/{ids[-1]}" for page in ("intents", "trace", "approvals")]
    lists = [
        "/",
        "/approvals",
        "/intents",
        "/orders",
        "/positions",
        "/incidents",
        "/settings",
        "/why",
        "/replays",
        "/weeks",
        "/quarantine",
        "/deliveries",
    ]
    lists += [
        "/resume",
        "/flatten",
        "/incidents/1",
        f"/halts/lift?account=SIM-FIVE&symbol={halted_in(console)}",
    ]
    lists += [f"/alerts/{row.fingerprint}" for row in alerts_of(console.desk)]
    lists += ["/runbooks/error_budget_burn_1h_high", "/incidents/1/postmortem"]
    return [*lists, "/search?q=AAPL", "/search?q=nothing-here", *one_each]


def answered(console: Console, *, texts: Texts) -> None:
    """Have an alert fire that somebody took on and silenced, one that is over, and a post-mortem written."""
    desk = console.desk
    over = fire(desk, "checks.failed", 1, about=texts.unfinished)
    fire(desk, "checks.failed", 0, about=texts.unfinished)
    fires = fire(desk, "checks.failed", 1, about=texts.held[:190])
    assert over != fires
    acknowledge(desk, fires, actor="anna", reason=texts.finding)
    until = OPEN + timedelta(hours=1)
    silence_alert(desk, fires, until=until, actor="anna", reason=texts.rationale)
    write_postmortem(desk, 1)


def halted_in(console: Console) -> str:
    (halt,) = console.desk.journal.halts()
    return quote(halt.symbol)


# -------------------------------------------------------------------------------- few clicks


def test_the_morning_check_takes_no_click(walker):
    walker.opens("/")

    for text in ("awaiting approval", "filled", "Session P&L", "quotes until", "Why?"):
        walker.reads(text)
    assert walker.page.complaints == []


def test_a_block_is_explained_in_two_clicks(walker):
    walker.opens("/")
    walker.clicks_on("link", "1 blocked")
    walker.clicks_on("link", "BUY IBM")
    walker.reads("Stopped by symbol cap")
    walker.reads("200,000.00 USD")

    assert walker.clicks <= CLICKS_MAX
    assert walker.page.complaints == []


def test_an_order_is_traced_in_two_clicks_or_by_its_id(walker):
    walker.opens("/")
    walker.clicks_on("link", "Orders")
    walker.clicks_on("link", "BUY 10 MSFT")
    walker.reads("exe-123456")
    by_clicks = walker.clicks

    walker.opens("/")
    walker.writes("Search by id, symbol or session", "b-77")
    walker.clicks_on("button", "Search")
    walker.clicks_on("link", "Trace it from quotes to P&L")
    walker.reads("exe-123456")

    assert max(by_clicks, walker.clicks) <= CLICKS_MAX
    assert walker.page.complaints == []


def test_a_halt_and_a_resume_take_two_clicks_each_and_name_each_other(acting):
    walker = acting
    walker.opens("/positions")
    walker.opens_halt()
    walker.writes("Why", "prices look wrong")
    walker.clicks_on("button", "Halt all trading")
    walker.reads("■ HALTED")
    walker.reads("prices look wrong")
    halting = walker.clicks
    was_on = walker.console.desk.journal.run_control().kill_switch_on

    walker.opens("/")
    walker.clicks_on("link", "Resume…")
    walker.writes("Why it is over", "prices are right again")
    walker.clicks_on("button", "End this halt")
    walker.reads("▶ running")

    assert max(halting, walker.clicks) <= CLICKS_MAX
    assert (was_on, walker.console.desk.journal.run_control().kill_switch_on) == (True, False)
    assert walker.page.complaints == []


def test_a_finding_is_taken_on_and_its_halt_lifted_in_three_clicks_each(acting):
    walker = acting
    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.clicks_on("link", "1 position mismatch")
    walker.reads("the broker holds 7 shares more")
    walker.writes("What you do about it", "calling the broker")
    walker.clicks_on("button", "Acknowledge: I look after it")
    walker.reads("calling the broker")
    taking_on = walker.clicks

    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.clicks_on("link", "Lift…")
    walker.reads("position_mismatch: the broker holds 7 shares more")
    walker.writes("Why it is over", "the transfer is booked")
    walker.clicks_on("button", "Lift this halt")
    walker.reads("No account and no instrument is halted.")

    assert max(taking_on, walker.clicks) <= CLICKS_MAX
    assert walker.console.desk.journal.halts() == []
    assert walker.page.complaints == []


def test_an_alert_leads_to_the_intent_and_the_limit_behind_it_in_three_clicks(acting):
    walker = acting
    fire(walker.console.desk, "execution.blocked_rate", 0.9)
    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.reads("execution blocked rate high")
    walker.reads("docs/runbooks/execution_blocked_rate_high.md")
    walker.clicks_on("link", "intents", is_whole=True)
    walker.clicks_on("link", "BUY IBM")
    walker.reads("Stopped by symbol cap")

    assert walker.clicks <= CLICKS_MAX
    assert walker.page.complaints == []


def test_an_alert_of_an_order_that_is_not_proven_leads_to_its_trace_in_two_clicks(acting):
    walker = acting
    row = intent_of(walker.console, "AAPL")
    with walker.console.desk.open_journal() as journal:
        parked_after_approval(journal, row)
    fire(walker.console.desk, "reconciliation.intents_stuck", 1)
    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.reads("intents stuck")
    walker.clicks_on("link", "BUY 700 AAPL")
    walker.reads("time out")

    assert walker.clicks <= CLICKS_MAX
    assert walker.page.url.endswith(f"/trace/{row.intent_id}")
    assert walker.page.complaints == []


def test_alerts_of_every_other_kind_lead_to_their_cause_in_three_clicks(acting):
    """Those on runs, checks, schedules and sensors lead into Dagster: tests/console/test_ui_in_browser.py."""
    walker, desk = acting, acting.console.desk
    waits, filled = intent_of(walker.console, "AAPL"), intent_of(walker.console, "MSFT")
    with desk.open_journal() as journal:
        parked_after_approval(journal, waits)
        journal.record_finding(
            kind=FindingKind.MISMATCHED,
            account="SIM-FIVE",
            symbol="MSFT",
            intent_id=filled.intent_id,
            detail="the broker has 10, the journal 9",
            is_standing=True,
            now=OPEN,
        )
    told = [
        ("portfolio_guard.blocked_ratio", "portfolio guard blocked ratio high", "BUY 9 IBM, blocked"),
        ("execution.slippage_bps", "slippage high", "BUY 10 MSFT, 100.0 bps"),
        ("pnl.drawdown", "drawdown high", "what is held"),
        ("slo.burn_1h", "error budget burn 1h high", "what spends the error budget"),
        ("advisor.day_cost", "advisor day cost high", "what each question cost"),
        ("reconciliation.findings", "broker disagrees", "order_mismatch: the broker has 10"),
        ("execution.intents_unknown", "execution unknown intents", "BUY 700 AAPL"),
    ]
    for metric, _, _ in told:
        fire(desk, metric, 1e6)
    walks = [(alert, cause) for _, alert, cause in told]
    # The incident that the critical one opened, and the finding itself.
    numbers = {row.kind: row.incident_id for row in incidents_of(desk)}
    walks += [(f"{numbers['execution_unknown_intents']} execution unknown intents", "BUY 700 AAPL")]
    walks += [(f"{numbers[FindingKind.MISMATCHED]} order mismatch", "Trace its intent")]
    seen = []
    for found, cause in walks:
        walker.opens("/")
        walker.clicks_on("link", "Incidents", is_whole=True)
        walker.clicks_on("link", found)
        walker.clicks_on("link", cause)
        walker.page.get_by_role("heading", level=1).first.wait_for()
        seen.append(walker.page.url.removeprefix(walker.url))
        assert walker.clicks <= CLICKS_MAX

    blocked = intent_of(walker.console, "IBM")
    traces = [f"/trace/{row.intent_id}" for row in (filled, waits)]
    assert seen == [
        f"/intents/{blocked.intent_id}",
        traces[0],
        "/positions",
        "/slo",
        "/costs",
        traces[0],
        traces[1],
        traces[1],
        traces[0],
    ]
    assert walker.page.complaints == []


RUN = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


def test_without_dagster_an_alert_names_its_run_and_what_opens_it(acting):
    walker = acting
    fire(walker.console.desk, "runs.failed", 1, about="decide", run_id=RUN)
    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.clicks_on("link", "run failed")
    walker.reads(RUN)
    walker.reads("trading ui --port 3000")
    walker.reads(f"http://127.0.0.1:3000/runs/{RUN}")

    assert walker.clicks <= CLICKS_MAX
    assert walker.page.complaints == []


def test_an_alert_on_data_leads_to_its_quarantined_row_in_three_clicks(acting):
    walker = acting
    held = quarantine(walker.console)
    fire(walker.console.desk, "quotes.quarantined_ratio", 0.4)
    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.clicks_on("link", "quarantined ratio high")
    walker.clicks_on("link", "AAPL: inconsistent range")
    marked = walker.page.locator("tr[aria-current=true]")
    marked.wait_for()

    assert walker.clicks <= CLICKS_MAX
    assert held[0].row_id[:12] in marked.inner_text()
    assert "high 9 is below low 10" in marked.inner_text()
    assert walker.page.get_by_role("row").count() == 1 + len(held)
    assert walker.page.complaints == []


def quarantine(console: Console) -> list[Quarantined]:
    """Hold back two rows of the latest session."""
    rows = [
        Quarantined(
            row_id=digest([symbol]),
            symbol=symbol,
            session=SESSION,
            open="10",
            high="9",
            low="10",
            close="10",
            volume="100",
            source="bars.csv",
            line=line,
            reason="inconsistent_range",
            detail="high 9 is below low 10",
            releasable=False,
        )
        for line, symbol in enumerate(("AAPL", "IBM"), start=7)
    ]
    Lake(console.desk.settings.lake_root).write_rows(
        ("us_five", "quarantined_quotes"), str(SESSION), Quarantined, rows
    )
    return rows


def test_an_alert_is_taken_on_and_how_people_were_told_is_seen_in_three_clicks_each(acting):
    walker = acting
    fire(walker.console.desk, "pnl.drawdown", 0.2)
    with walker.console.desk.open_journal() as journal:
        (message,) = journal.lease(now=OPEN, lease_s=60, limit=1)
        journal.mark(
            message.outbox_id,
            attempt=message.attempts,
            is_delivered=False,
            reason="non_2xx",
            retry_at=OPEN,
            now=OPEN,
        )
    walker.opens("/")
    walker.clicks_on("link", "drawdown high")
    walker.writes("What you do about it", "reducing since ten")
    walker.clicks_on("button", "Acknowledge: I look after it")
    walker.reads("anna, ")
    taking_on = walker.clicks

    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.clicks_on("link", "Delivery log")
    walker.clicks_on("link", "stdout non 2xx 1")
    walker.reads("drawdown 11 % is over 10 %")

    assert taking_on == 2
    assert walker.clicks <= CLICKS_MAX
    assert walker.page.complaints == []


def test_an_alert_is_silenced_and_unsilenced_in_three_clicks_each_without_script(without_script):
    walker = without_script
    desk = walker.console.desk
    fire(desk, "pnl.drawdown", 0.2)
    walker.opens("/incidents")
    walker.clicks_on("link", "drawdown high")
    walker.page.get_by_label("For how long").select_option(index=2)
    walker.writes("Why nobody needs to hear of it", "known since the gap")
    walker.clicks_on("button", "Silence it")
    walker.reads("known since the gap")
    silencing = walker.clicks
    (set_by,) = [event for event in desk.journal.alert_events(first=0) if event.kind == "silence_set"]

    walker.opens("/")
    walker.clicks_on("link", "drawdown high")
    walker.reads("▲ silenced")
    walker.writes("Why people should hear of it again", "the gap is closed")
    walker.clicks_on("button", "End this silence")
    walker.reads("▲ firing")
    (ended_by,) = [event for event in desk.journal.alert_events(first=0) if event.kind == "silence_ended"]

    assert max(silencing, walker.clicks) <= CLICKS_MAX
    assert (set_by.actor, set_by.reason) == ("anna", "known since the gap")
    assert set_by.body["ends_at"].startswith("2013-02-28T22:30")
    assert (ended_by.actor, ended_by.reason) == ("anna", "the gap is closed")


def test_a_runbook_and_a_post_mortem_are_read_in_three_clicks_each(acting):
    walker = acting
    fire(walker.console.desk, "execution.intents_unknown", 1)
    walker.opens("/")
    walker.clicks_on("link", "execution unknown intents")
    walker.clicks_on("link", "docs/runbooks/execution_unknown_intents.md")
    walker.reads("What to do")
    runbook = walker.clicks

    walker.opens("/")
    walker.clicks_on("link", "Incidents")
    walker.clicks_on("link", "1 position mismatch")
    walker.clicks_on("button", "Write the post-mortem")
    walker.reads("What you write into the file is shown here")
    walker.reads("the broker holds 7 shares more")

    assert max(runbook, walker.clicks) <= CLICKS_MAX
    assert walker.page.complaints == []


def test_a_flatten_takes_three_clicks_once_halted_on_a_phone_without_script(without_script, monkeypatch):
    asked_of_verb, walker = [], without_script
    monkeypatch.setattr("console.doing.told_by_verb", flattening(asked_of_verb))
    with walker.console.desk.open_journal() as journal:
        journal.set_run_control(
            RunControlAction.HALT, actor="ben", reason="fire", now=walker.console.clock.instant
        )
    walker.opens("/")
    walker.clicks_on("link", "Flatten…")
    walker.writes("Why", "out before the news")
    walker.clicks_on("button", "Preview us_five")
    walker.reads("Nothing is sold yet")
    walker.clicks_on("button", "Sell all of us_five")
    walker.reads("Flattened us_five")

    assert walker.clicks <= CLICKS_MAX
    assert [any(word.startswith("--confirm=") for word in words) for words in asked_of_verb] == [False, True]


def test_a_cooldown_is_ended_in_three_clicks(desktop, tmp_path):
    with console_on(tmp_path) as console:
        console.desk.settings.profile_dir.mkdir(parents=True)
        with console.desk.open_journal() as journal:
            a_cooling_account(journal)
        walker = signed_in(desktop, console)
        walker.opens("/")
        walker.clicks_on("link", "Incidents")
        walker.clicks_on("link", "End…")
        walker.writes("Why it is over", "it was the line")
        walker.clicks_on("button", "End this cooldown")
        walker.reads("cooled down,")

        assert walker.clicks <= CLICKS_MAX
        assert walker.page.get_by_role("link", name="End…").count() == 0


def test_an_approval_takes_two_clicks_on_a_phone_without_script(without_script):
    walker = without_script
    walker.opens("/")
    walker.clicks_on("link", "Look at BUY 700 AAPL")
    walker.reads("momentum and value agree")
    walker.writes("Why approve", "read the news")
    walker.clicks_on("button", "Approve and execute")
    walker.reads("started in a process of its own")

    assert walker.clicks <= CLICKS_MAX
    assert intent_of(walker.console, "AAPL").state is IntentState.APPROVED
    assert walker.console.started == [("execute", "us_five")]


def test_a_halt_works_on_a_phone_without_script(without_script):
    walker = without_script
    walker.opens("/orders")
    walker.opens_halt()
    walker.writes("Why", "no script here")
    walker.clicks_on("button", "Halt all trading")
    walker.reads("■ HALTED")
    walker.clicks_on("link", "Resume…")
    walker.writes("Why it is over", "it is over")
    walker.clicks_on("button", "End this halt")

    assert walker.clicks <= 2 * CLICKS_MAX
    assert not walker.console.desk.journal.run_control().kill_switch_on


# -------------------------------------------------------------------------------- renewal


def test_a_page_renews_itself_and_says_when_it_no_longer_does(timed):
    walker = timed
    walker.page.clock.install()
    walker.opens("/")
    walker.reads("▶ running")
    with walker.console.desk.open_journal() as journal:
        journal.set_run_control(
            RunControlAction.PAUSE, actor="ben", reason="lunch", now=walker.console.clock.instant
        )
    walker.page.clock.fast_forward(RENEWED_MS)
    walker.reads("‖ PAUSED")
    walker.reads("PAUSED by ben: lunch")
    renewed_without_complaint = list(walker.page.complaints)
    walker.page.context.clear_cookies()
    walker.page.clock.fast_forward(RENEWED_MS)
    walker.reads("This page is not renewing itself")

    assert renewed_without_complaint == []


# -------------------------------------------------------------------------------- a phone, and hostile text


def test_no_page_is_wider_than_a_phone(phone, populated):
    walker = signed_in(phone, populated)
    for path in pages_of(populated):
        walker.opens(path)
        width = walker.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], path


def test_hostile_text_stays_text_on_every_page_and_fits_a_phone(at_hostile):
    walker, seen = at_hostile, ""
    for path in [*pages_of(walker.console), "/search?q=%3Cscript%3Ewindow.taken=1%3C/script%3E"]:
        walker.opens(path)
        if walker.page.locator("details:not(.halt)").count():
            walker.page.locator("details:not(.halt) > summary").first.click()
        found = walker.page.evaluate(
            """injected => ({
                taken: window.taken === undefined ? "" : String(window.taken),
                injected: document.querySelectorAll(injected).length,
                width: document.documentElement.scrollWidth,
                text: document.body.innerText,
            })""",
            INJECTED,
        )
        seen += found["text"]

        assert (found["taken"], found["injected"]) == ("", 0), path
        assert found["width"] <= PHONE["width"], path
    for text in (HOSTILE.pending, HOSTILE.blocked, HOSTILE.filled, HOSTILE.held, HOSTILE.actor):
        assert text in seen, text
    for text in (HOSTILE.finding, HOSTILE.alert, HOSTILE.broker_order_id, HOSTILE.execution_id):
        assert text in seen, text
    for text in (HOSTILE.unfinished, HOSTILE.strategy, HOSTILE.variant):
        assert text in seen, text
    assert "{{ 7 * 7 }} ${7*7}" in seen
    errors = [text for text in walker.page.complaints if "404" not in text]
    assert errors == []


def test_a_tear_sheet_keeps_its_colours_and_nothing_in_it_runs_or_acts(phone, hostile):
    walker = signed_in(phone, hostile)
    walker.opens("/replays")
    walker.clicks_on("link", "tear sheet")
    walker.reads("sheet")
    address = walker.page.url
    walker.clicks_on("button", "Go")
    walker.clicks_on("heading", "sheet")
    colour = walker.page.locator("h1").evaluate("heading => getComputedStyle(heading).color")

    assert (colour, walker.page.title()) == ("rgb(1, 2, 3)", "")
    assert walker.page.url == address
    assert not hostile.desk.journal.run_control().kill_switch_on
