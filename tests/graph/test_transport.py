"""Sessions over Alpaca's protocol and through the embedded broker: the same to the micro-unit."""

from __future__ import annotations

from proof.transport import compared
from tests.graph.desk import SESSIONS


def test_sessions_over_http_come_to_the_same_orders_fills_book_and_result(imported, tmp_path):
    differing, counts = compared(imported.folder, tmp_path, SESSIONS[:2])

    assert differing == ()
    assert counts["orders"] >= counts["fills"] > 0
