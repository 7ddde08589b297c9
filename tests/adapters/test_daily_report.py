"""The daily report shows what happened, the same bytes each time, and takes no text for markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.reports import ReportWriter, render_html, render_json
from trading.advice import AdviceVerdict, Ladder, no_advice
from trading.advisor_calls import ErrorBudget, budget_figures
from trading.alerts import AlertRow, Severity, fingerprint_of
from trading.decisions import DecisionRow, Outcome
from trading.inputs import InputRow, InputSource, InputStatus
from trading.metrics import SessionFacts, session_metrics
from trading.orders import ExecutionRow, OrderStatusRow
from trading.positions import Book, Mark, Position, book_rows
from trading.quotes import Quarantined
from trading.reporting import (
    DailyReport,
    EquityPoint,
    Lineage,
    ReportFacts,
    build_report,
    sparkline_svg,
)
from trading.testing import example_call, example_intent
from trading.values import IntentId, IntentKey, Side, Symbol
from trading.verdicts import Verdict

SESSION = date(2013, 3, 1)
AS_OF = datetime(2013, 3, 1, 21, 30, tzinfo=UTC)
HOSTILE = "<script>alert('$x_1$')</script>&amp;\"--><b>"
EQUITY = 100_004_000_000


def decision(symbol: str, outcome: Outcome, reason: str, quantity: int, side: Side = Side.BUY) -> DecisionRow:
    return DecisionRow(
        session=SESSION,
        symbol=Symbol(symbol),
        side=side,
        outcome=outcome,
        reason=reason,
        quantity=quantity,
        unadvised_quantity=quantity,
        price_micros=200_500_000,
        intent_id=IntentId(f"int-{symbol}"),
        intent_key=IntentKey(f"key-{symbol}"),
        payload_hash="p",
        account="a",
        lane="simulated",
        not_after=AS_OF,
        verdicts_sha="v",
        limits_sha="l",
        inputs_sha="i",
    )


def execution(symbol: str) -> ExecutionRow:
    return ExecutionRow(
        session=SESSION,
        symbol=Symbol(symbol),
        side=Side.BUY,
        intent_id=IntentId(f"int-{symbol}"),
        state="executed",
        stage="",
        reason="",
        client_order_id="ta-1",
        broker_order_id="b-1",
        submitted_quantity=10,
        filled_quantity=8,
        average_price_micros=200_600_000,
        commission_micros=1_000_000,
        arrival_price_micros=200_500_000,
        slippage_bps=4.99,
        status="cancelled",
        expected_adapter="paper",
        actual_adapter="paper",
        fallback_reason="",
        fallback_count=0,
    )


def left_for(reason: str) -> InputRow:
    return InputRow(
        session=SESSION,
        source=InputSource.ACCOUNT_ORDERS,
        contract="account.orders.v1",
        status=InputStatus.READY,
        attempted=2,
        ready=1,
        errors=1,
        expected="broker",
        used="journal",
        fallback_reason=reason,
        error_codes=reason,
        records=0,
        records_sha="r",
        payloads="[]",
        hydrated_at=AS_OF,
        remark=reason,
    )


def report(held: str = "AAPL", blocked: str = "IBM") -> DailyReport:
    """Return a session: one fill, one blocked, one waiting, one row quarantined, one alert.

    A model in the shadow would have shrunk the fill and said nothing of what waits.
    """
    asked = [example_intent(symbol, session=SESSION) for symbol in (held, "GOOG")]
    shrunk, unsaid = (
        no_advice(intent, source="small-1")._replace(ladder=Ladder.SHADOW.value) for intent in asked
    )
    advice = (
        shrunk._replace(
            verdict=AdviceVerdict.SHRINK, factor_bps=5_000, confidence_bps=8_000, rationale=f"half of {held}"
        ),
        unsaid._replace(error_type="http_5xx"),
    )
    calls = (
        example_call(intents=asked[0].intent_key, session=SESSION),
        example_call(intents=asked[1].intent_key, session=SESSION, ok=False, error_type="http_5xx"),
    )
    decisions = (
        decision(held, Outcome.APPROVED, "within_policy", 10),
        decision(blocked, Outcome.BLOCKED, "symbol_notional_cap_exceeded", 0),
        decision("GOOG", Outcome.PENDING_APPROVAL, "above_auto_approval", 50),
    )
    verdict = Verdict(
        intent_key=IntentKey(f"key-{blocked}"),
        symbol=Symbol(blocked),
        session=SESSION,
        guard="symbol_cap",
        passed=False,
        reason="symbol_notional_cap_exceeded",
        observed=25_000_500_000,
        limit=20_000_000_000,
        largest_quantity=99,
        limits_sha="l",
    )
    book = Book(
        currency="USD",
        cash_micros=98_394_200_000,
        deposits_micros=100_000_000_000,
        commissions_micros=1_000_000,
        positions=(Position(Symbol(held), 8, 1_604_800_000),),
    )
    positions = book_rows(book, session=SESSION, marks={Symbol(held): Mark(201_225_000, SESSION)})
    status = OrderStatusRow(
        session=SESSION,
        symbol=Symbol(held),
        side=Side.BUY,
        intent_id=IntentId(f"int-{held}"),
        client_order_id="ta-1",
        intent_state="executed",
        status="cancelled",
        terminal=True,
        progress_bps=8000,
        quantity=10,
        filled_quantity=8,
        notional_micros=1_604_800_000,
        commission_micros=1_000_000,
        complete=False,
        reason="",
    )
    metrics = session_metrics(
        SessionFacts(
            session=SESSION,
            quotes_count=5,
            quarantined_count=1,
            candidates=(),
            intents_count=3,
            verdicts=(verdict,),
            advice=(),
            decisions=decisions,
            executions=(execution(held),),
            order_status=(status,),
            positions=positions,
            previous_equities_micros=(100_000_000_000,),
            deposits_micros=100_000_000_000,
        )
    )
    quarantined = Quarantined(
        "r1",
        blocked,
        SESSION,
        "1",
        "2",
        "0",
        "1",
        "9",
        "file",
        7,
        "range_violation",
        HOSTILE,
        releasable=True,
    )
    alert = AlertRow(
        session=SESSION,
        book="us_five",
        code="drawdown_high",
        severity=Severity.WARNING,
        metric="pnl.drawdown",
        observed=0.2,
        threshold=0.1,
        message=f"watch {held}",
        runbook="docs/runbooks/drawdown_high.md",
        fingerprint=fingerprint_of(book="us_five", code="drawdown_high", severity=Severity.WARNING),
    )
    return build_report(
        ReportFacts(
            book="us_five",
            title="Five US names",
            mode="simulated",
            session=SESSION,
            as_of=AS_OF,
            currency="USD",
            unfit_reason="",
            inputs=(left_for(f"account.orders:read_broker:{held}"),),
            advice=advice,
            advisor_calls=calls,
            budget=budget_figures(calls, budget=ErrorBudget()),
            metrics=metrics,
            quarantined=(quarantined,),
            verdicts=(verdict,),
            decisions=decisions,
            pending_ids=frozenset({"int-GOOG"}),
            executions=(execution(held),),
            positions=positions,
            alerts=(alert,),
            equities=(EquityPoint(date(2013, 2, 28), 100_000_000_000), EquityPoint(SESSION, EQUITY)),
            lineage=(Lineage("us_five/market_quotes", "2013-02-28", "ab" * 32),),
        )
    )


class Page(HTMLParser):
    """Collect a page's tags, ids, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        self.ids += [value or "" for name, value in attributes if name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_the_page_shows_what_happened() -> None:
    text = " ".join(Page(render_html(report())).text.split())

    for shown in (
        "Five US names · 2013-03-01",
        "Equity 100,004.00 USD",
        "Session P&L +4.00 USD",
        "IBM BUY symbol_notional_cap_exceeded symbol_cap 25,000.50 USD 20,000.00 USD 99",
        "GOOG BUY 50 200.50 USD 10,025.00 USD",
        "AAPL BUY 8 of 10 200.60 USD 1.00 USD 4.99 cancelled",
        "range_violation 1",
        "account.orders by fallback: account.orders:read_broker:AAPL",
        "account.orders journal 2 1 1 account.orders:read_broker:AAPL",
        "warning drawdown_high watch AAPL",
        "Step of the ladder shadow Applied 0 Disagreed with the rules 100.00%",
        "Questions (failed) 2 (1) Tokens 2,000 Cost 0.000240 USD Error budget no data",
        "Asked: small-1. http_5xx: 1.",
        "AAPL shrink 5000 8000 no 0.000120 USD half of AAPL",
        "2 sessions: 100,000.00 USD on 2013-02-28, 100,004.00 USD on 2013-03-01.",
    ):
        assert shown in text


def test_hostile_text_stays_text_on_the_page_and_in_the_drawings() -> None:
    calm = Page(render_html(report()))
    hostile = Page(render_html(report(held=HOSTILE, blocked=HOSTILE + "2")))

    assert hostile.tags == calm.tags
    assert {name for name, _ in hostile.attributes} == {name for name, _ in calm.attributes}
    assert hostile.text.count(HOSTILE) >= 5
    assert HOSTILE not in render_html(report(held=HOSTILE))


def test_the_same_report_gives_the_same_bytes(tmp_path, monkeypatch) -> None:
    first = ReportWriter(tmp_path / "one").write(report())
    monkeypatch.setenv("TZ", "Asia/Seoul")
    second = ReportWriter(tmp_path / "two").write(report())

    assert first.html.read_bytes() == second.html.read_bytes()
    assert first.json.read_bytes() == second.json.read_bytes()


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    html = render_html(report())
    page = Page(html)

    assert "script" not in page.tags
    assert "link" not in page.tags
    assert [name for name, _ in page.attributes if name.startswith("on")] == []
    links = {value for name, value in page.attributes if name in {"href", "src", "xlink:href"}}
    assert {value for value in links if not value.startswith("#")} == set()
    assert set(re.findall(r"https?://[^\s\"<>)]+", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_every_drawing_says_in_words_what_it_shows_and_no_id_stands_twice() -> None:
    page = Page(render_html(report()))

    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert [label.split(" (")[0].split(".")[0] for label in labels] == [
        "Equity at the close",
        "From quotes to fills",
        "Exposure by symbol",
    ]
    assert len(page.ids) == len(set(page.ids))


def test_money_in_json_is_exact_text_and_no_data_is_null() -> None:
    document = json.loads(render_json(report()))

    assert document["as_of"] == "2013-03-01T21:30:00Z"
    assert document["mode"] == "simulated"
    assert document["pnl"]["equity"] == "100004.00"
    assert document["fills"][0]["average_price"] == "200.60"
    assert document["positions"][0]["mark"] == "201.225"
    assert document["pending_approvals"][0]["not_after"] == "2013-03-01T21:30:00Z"
    assert document["funnel"]["scanned"] is None
    assert document["inputs"] == [
        {
            "source": "account.orders",
            "status": "ready",
            "expected": "broker",
            "used": "journal",
            "attempted": 2,
            "ready": 1,
            "errors": 1,
            "fallback_reason": "account.orders:read_broker:AAPL",
            "why": "account.orders:read_broker:AAPL",
        }
    ]
    assert document["advice"]["disagreement"] == 1.0
    assert document["advice"]["spent"]["cost_usd"] == "0.00024"
    assert document["advice"]["errors"] == {"http_5xx": 1}
    assert [row["cost_usd"] for row in document["advice"]["intents"]] == ["0.00012", "0.00012"]
    assert document["advice"]["error_budget"]["state"] == "no_data"
    assert document["metrics"]["schema_version"] == "metrics.v1"
    assert document["lineage"] == [
        {"asset": "us_five/market_quotes", "partition": "2013-02-28", "sha": "ab" * 32}
    ]


def test_a_session_with_nothing_says_so_and_names_the_next_command() -> None:
    empty = session_metrics(
        SessionFacts(
            session=SESSION,
            quotes_count=None,
            quarantined_count=None,
            candidates=(),
            intents_count=None,
            verdicts=(),
            advice=(),
            decisions=(),
            executions=(),
            order_status=(),
            positions=(),
            previous_equities_micros=(),
            deposits_micros=100_000_000_000,
        )
    )
    nothing = build_report(
        ReportFacts(
            book="us_five",
            title="Five US names",
            mode="simulated",
            session=SESSION,
            as_of=AS_OF,
            currency="USD",
            unfit_reason="",
            inputs=(),
            advice=None,
            advisor_calls=(),
            budget=budget_figures((), budget=ErrorBudget()),
            metrics=empty,
            quarantined=(),
            verdicts=(),
            decisions=(),
            pending_ids=frozenset(),
            executions=(),
            positions=(),
            alerts=(),
            equities=(),
            lineage=(),
        )
    )

    text = " ".join(Page(render_html(nothing)).text.split())

    assert "Attention: not settled. Nothing was traded: quotes: no data, the stage did not run." in text
    assert "trading why --book us_five --session 2013-03-01" in text
    assert json.loads(render_json(nothing))["pnl"]["equity"] is None


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    writer = ReportWriter(tmp_path)
    paths = writer.write(report())
    before = paths.html.read_bytes()

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write(replace(report(), title="Another"))

    assert paths.html.read_bytes() == before
    assert sorted(path.name for path in paths.html.parent.iterdir()) == ["report.html", "report.json"]


@given(values=st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=200))
def test_a_sparkline_is_one_small_drawing_inside_its_frame_whatever_the_values(values) -> None:
    svg = sparkline_svg(values)

    points = [tuple(map(int, point.split(","))) for point in svg.split('points="')[1].split('"')[0].split()]
    assert len(svg) < 900
    assert points[0][0] == 0
    assert points[-1][0] == 120
    assert all(0 <= x <= 120 and 2 <= y <= 22 for x, y in points)


def test_a_sparkline_rises_with_its_values_and_is_empty_without_any() -> None:
    assert 'points="0,22 60,12 120,2"' in sparkline_svg([1.0, 2.0, 3.0])
    assert sparkline_svg([]) == ""
