"""One source of guards: the graph, the send and a replay call the same functions and hear the same."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.graph.desk import FIRST
from trading import guards
from trading.guards import GUARDS
from trading.positions import book_from_rows
from trading.session import decide_session

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("trading", "trading_assets", "resources", "jobs", "sensors", "console")
CALLERS = {"trading/verdicts.py"}
"""The one file that asks the guards; live, paper and replay reach them through it."""


def imported_from_guards(path):
    tree = ast.parse(path.read_text("utf-8"))
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "trading.guards"
        for alias in node.names
    }


def test_one_file_asks_the_guards_and_no_other_calls_one_by_itself():
    names = {guard.__name__ for _, guard in GUARDS} | {"review"}
    asking = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if imported_from_guards(path) & names
    }

    assert asking == CALLERS


def test_the_send_and_the_replay_look_again_by_the_same_function():
    found = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "review_at_send(" in path.read_text("utf-8")
    }

    assert found == {"trading/session.py", "trading_assets/stages/executions.py"}


def test_no_guard_is_written_twice():
    written = [
        node.name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and path.name != "guards.py"
        if node.name in {"max_notional", "buying_power", "symbol_cap", "price_collar", "value_at_risk"}
        # What the past returns of a book had at risk is a measure, and stops nothing.
        if (path.name, node.name) != ("performance.py", "value_at_risk")
    ]

    assert written == []
    assert {guard.__module__ for _, guard in GUARDS} == {guards.__name__}


def test_a_session_has_equal_verdicts_and_decisions_in_the_graph_and_in_a_replay(whole_session):
    desk, _ = whole_session
    profiled, book = desk.profiled, desk.book
    config = profiled.books[book]
    told = decide_session(
        config,
        lane="replay:again",
        window=profiled.windows[book].window_before(FIRST, config.rules.window_sessions),
        opening=book_from_rows(desk.rows("opening_book", FIRST)),
        actions=profiled.action_history[book].actions(),
        not_after=profiled.calendars[book].closes_at(FIRST),
        equities=[worth for _, worth in profiled.book_history[book].equities_before(FIRST)],
    )

    decided = desk.rows("decisions", FIRST)
    assert len(told.verdicts) == len(decided) * len(GUARDS) > 0
    assert told.verdicts == tuple(desk.rows("verdicts", FIRST))
    assert [(one.outcome, one.reason, one.quantity) for one in told.decisions] == [
        (row.outcome, row.reason, row.quantity) for row in decided
    ]
