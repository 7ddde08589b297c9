"""A session that its settlement changed (an approval ran out, a rest cancelled) is told the same again."""

from __future__ import annotations

import shutil

from tests.graph.desk import CONFIG, FIRST, failure_of


def test_a_session_that_settlement_changed_is_told_again_by_the_same_bytes(imported, desk_on, tmp_path):
    config = shutil.copytree(CONFIG, tmp_path / "config")
    limits = config / "limits.toml"
    limits.write_text(
        limits.read_text().replace('auto_approve_notional = "80000"', 'auto_approve_notional = "1000"')
    )
    desk = desk_on(imported.folder, config_dir=config)
    first = desk.run("session", FIRST)
    assert first.success, failure_of(first)
    before = desk.current()
    told = {row.state for row in desk.rows("executions", FIRST)}

    again = desk.run("session", FIRST)

    assert again.success, failure_of(again)
    assert "pending_approval" in told
    assert "expired" in {row.intent_state for row in desk.rows("order_status", FIRST)}
    assert desk.current() == before


def test_an_order_filled_in_part_is_told_again_by_the_same_bytes(imported, desk_on, tmp_path):
    config = shutil.copytree(CONFIG, tmp_path / "config")
    books = config / "books.toml"
    books.write_text(books.read_text().replace("participation_bps = 500", "participation_bps = 1"))
    for name, old, new in (
        ("rules.toml", "step_bps = 600", "step_bps = 1800"),
        ("limits.toml", 'order_notional_max = "100000"', 'order_notional_max = "400000"'),
        ("limits.toml", 'auto_approve_notional = "80000"', 'auto_approve_notional = "400000"'),
        ("limits.toml", 'usual_order_notional = "15000"', 'usual_order_notional = "60000"'),
        ("control.toml", 'four_eyes_notional = "95000"', 'four_eyes_notional = "400000"'),
    ):
        (config / name).write_text((config / name).read_text().replace(old, new))
    desk = desk_on(imported.folder, config_dir=config, books_file=books)
    first = desk.run("session", FIRST)
    assert first.success, failure_of(first)
    before = desk.current()
    (sent,) = [row for row in desk.rows("executions", FIRST) if row.client_order_id]

    again = desk.run("session", FIRST)

    assert again.success, failure_of(again)
    assert (sent.status, 0 < sent.filled_quantity < sent.submitted_quantity) == ("partial_fill", True)
    assert [row.status for row in desk.rows("order_status", FIRST) if row.client_order_id] == ["cancelled"]
    assert desk.current() == before
