"""What a person sees of the graph in a browser: nothing in the way, the roles, the checks, the tables."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from console.web.identities import Role
from console.web.sign_in import Links
from console.web.tokens import console_folder
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.clocks import system_now
from resources.journal.store import SqlJournal
from resources.settings import Settings
from tests.chromium import DRIVES_CHROMIUM, SHOWN_MS, chromium
from tests.docs.beginnings import FIVE as BOOK
from tests.docs.beginnings import TODAY, five_ran
from tests.docs.reader import copied
from tests.graph.desk import settings_in
from tests.served import Served, served
from trading.alert_log import alert_log_of
from trading.alerts import CHECKS_FAILED, TICKS_FAILED, evaluate_watched

pytestmark = DRIVES_CHROMIUM

SESSION = TODAY[BOOK]
DESK = {"width": 1500, "height": 1300}
GROUPS = ("commander", "executor", "monitor", "reporter", "scanner", "strategist", "supervisor")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a desk on which one session ran whole."""
    state = copied(five_ran(tmp_path_factory), tmp_path_factory.mktemp("pages") / "served")
    with served(state, has_console=True) as up:
        yield up


@pytest.fixture(scope="module")
def browser(desk):
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def visitor(browser):
    """Be somebody whose browser knows Dagster's scripts from the page before: most of what a page takes."""
    return browser.new_context(viewport=DESK)


@pytest.fixture
def page(visitor):
    """Open a page of the visitor's."""
    yield from opened(visitor)


@pytest.fixture
def first_page(browser):
    """Open the page of somebody who was never here."""
    yield from opened(browser.new_context(viewport=DESK))


def opened(context):
    """Give a page that remembers the errors its scripts raise, and close it."""
    page = context.new_page()
    page.set_default_timeout(SHOWN_MS)
    page.raised = []
    page.on("pageerror", lambda error: page.raised.append(str(error)))
    yield page
    page.close()


def dialogs(page) -> int:
    return page.locator("[role=dialog], [class*=dialog i]:visible").count()


def test_the_graph_opens_with_its_roles_and_nothing_over_it(desk, first_page):
    first_page.goto(f"{desk.url}/asset-groups")
    for group in GROUPS:
        first_page.get_by_text(group, exact=True).first.wait_for()

    assert dialogs(first_page) == 0
    assert first_page.get_by_text("Welcome to Dagster").count() == 0
    first_page.get_by_text("Materialize all").click(trial=True)  # a modal would be in the way
    assert first_page.raised == []


def test_a_book_shows_its_stages_inside_their_roles(desk, first_page):
    expanded = quote(",".join(f"global@global:{group}" for group in GROUPS), safe="")
    selected = quote(f'key:"{BOOK}/*"', safe="*")
    first_page.goto(f"{desk.url}/asset-groups~{selected}/?expanded={expanded}")

    for stage in (
        "market_quotes",
        "intents",
        "verdicts",
        "decisions",
        "executions",
        "positions",
        "daily_report",
    ):
        first_page.get_by_text(stage, exact=True).first.wait_for()
    assert dialogs(first_page) == 0


def test_decisions_show_their_checks_and_why_an_intent_was_blocked(desk, page):
    page.goto(f"{desk.url}/assets/{BOOK}/decisions?view=checks")
    page.get_by_text("Checks (7)").wait_for()
    page.get_by_text("trading_is_running").first.wait_for()
    page.get_by_text("no_intent_is_blocked").first.click()
    page.get_by_text("non-blocking").wait_for()

    page.get_by_role("cell", name="symbol_not_allowed").first.wait_for()
    page.get_by_role("cell", name="FB", exact=True).first.wait_for()


def test_a_session_of_positions_shows_its_table_and_where_it_lies(desk, page):
    page.goto(f"{desk.url}/assets/{BOOK}/positions?view=partitions&partition={SESSION}")
    page.get_by_text("Materialized", exact=True).first.wait_for()
    table = page.locator("table", has=page.get_by_text("marked on", exact=True)).last

    table.get_by_text(re.compile(r"^[\d,]+\.\d\d USD$")).first.wait_for()
    page.get_by_text(re.compile(r"/lake/us_five/positions/")).first.wait_for()


def test_columns_say_their_type_and_what_they_mean(desk, page):
    page.goto(f"{desk.url}/assets/{BOOK}/decisions")
    page.get_by_text("one of: blocked, vetoed, pending_approval, approved").wait_for()

    page.get_by_text("millionths of the currency's unit").first.wait_for()
    assert page.get_by_text("ForwardRef").count() == 0


def test_metrics_are_plotted(desk, page):
    page.goto(f"{desk.url}/assets/{BOOK}/metrics")
    page.get_by_role("button", name="Plots").click()
    page.get_by_role("button", name="Events").click()
    page.locator("canvas").first.wait_for()

    page.get_by_text("funnel.intents", exact=True).first.wait_for()


def test_lineage_leads_from_quotes_to_decisions_and_on(desk, page):
    page.goto(f"{desk.url}/assets/{BOOK}/decisions?view=lineage")

    for stage in ("market_quotes", "verdicts", "decisions", "executions"):
        page.get_by_text(stage, exact=True).first.wait_for()


@pytest.mark.parametrize("width", [1100, 390])
def test_the_daily_report_fits_a_desk_and_a_phone(desk, page, tmp_path_factory, width):
    report = next(
        Path(tmp_path_factory.getbasetemp()).glob(f"pages*/served/simulated/reports/{BOOK}/{SESSION}/*.html")
    )
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())

    page.get_by_text("From quotes to fills").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.raised == []


def test_the_console_is_served_beside_the_graph_and_lets_nobody_in_without_its_link(desk):
    connection = http.client.HTTPConnection("127.0.0.1", desk.console_port, timeout=30)
    connection.request("GET", "/")
    reply = connection.getresponse()
    reply.read()
    connection.close()

    assert reply.status == 401


class Led(NamedTuple):
    """Hold an alert's metric and subject, the link to click on it (none: its run), and what is there."""

    metric: str
    about: str
    link: str
    at: str
    shown: str


@pytest.mark.parametrize(
    "led",
    [
        Led(CHECKS_FAILED, "decisions:no_intent_is_blocked", "", "/runs/", "Success"),
        Led(
            CHECKS_FAILED,
            "decisions:no_intent_is_blocked",
            "no_intent_is_blocked of decisions",
            "checkDetail=no_intent_is_blocked",
            "non-blocking",
        ),
        Led(TICKS_FAILED, f"{BOOK}__decide_schedule", f"{BOOK}__decide_schedule", "/schedules/", "Tick"),
        Led(TICKS_FAILED, "watch", "watch", "/sensors/watch", "Tick"),
    ],
    ids=["run", "check", "schedule", "sensor"],
)
def test_an_alert_leads_to_what_dagster_knows_of_it_in_three_clicks(desk, page, tmp_path_factory, led):
    settings = settings_in(next(Path(tmp_path_factory.getbasetemp()).glob("pages*/served")))
    run_id = fired(desk, settings, led)
    code = Links(console_folder(settings)).issue(name="anna", role=Role.VIEWER, now=system_now())
    page.goto(f"http://127.0.0.1:{desk.console_port}/sign-in?code={code}")
    for name in ("Incidents", f"{CODES[led.metric]}: {led.about}", led.link or run_id):
        page.get_by_role("link", name=name).first.click()

    page.wait_for_url(re.compile(f"^{desk.url}.*{re.escape(led.at)}"), wait_until="commit")
    for text in (led.shown, led.about.rpartition(":")[2] if led.link else run_id[:8]):
        page.get_by_text(text).first.wait_for()
    assert led.link or page.url.endswith(f"/runs/{run_id}")
    assert page.raised == []


CODES = {CHECKS_FAILED: "check failed", TICKS_FAILED: "tick failed"}


def fired(desk: Served, settings: Settings, led: Led) -> str:
    """Have a rule fire as the watch does when it looks at a run of this desk; give the run that it names."""
    policy = load_alert_policy(settings.config_dir / "alerts.toml")
    is_of_a_run = led.metric == CHECKS_FAILED
    book = BOOK if is_of_a_run else ""
    found = evaluate_watched({led.metric: 1}, policy.rules, book=book, session=SESSION, about=led.about)
    runs = desk.ask("{ runsOrError { ... on Runs { results { runId } } } }")["runsOrError"]["results"]
    with SqlJournal(settings.journal_url) as journal:
        JournalAlerts(journal).observe(
            found,
            codes={one.code for one in found},
            policy=policy,
            book=book,
            session=SESSION,
            now=system_now(),
            about=led.about,
            run_id=runs[0]["runId"] if is_of_a_run else "",
        )
        # The desk's own watch may have seen the check fail before.
        log = alert_log_of(journal.events(after=0, limit=10_000))
    return log.alerts[found[0].fingerprint].run_id
