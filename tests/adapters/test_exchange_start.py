"""An exchange is put together once for a ledger, and tells what it was not asked for rightly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from resources.paper_exchange.application import Keys
from resources.paper_exchange.starting import Wanted, served_alone, time_of
from tests.graph.desk import CONFIG
from trading.errors import BadInput


def test_a_ledger_is_served_by_one_exchange_at_a_time(tmp_path):
    ledger = tmp_path / "exchange.db"

    with (
        served_alone(ledger),
        pytest.raises(BadInput, match="another exchange serves it; stop that one"),
        served_alone(ledger),
    ):
        pass
    with served_alone(ledger):
        pass


def test_the_systems_clock_is_not_told_where_to_begin(tmp_path):
    wanted = Wanted(
        book="us_five",
        ledger=tmp_path / "exchange.db",
        config_dir=CONFIG,
        books_file=CONFIG / "books.toml",
        keys=Keys("PKTEST", "secret"),
        is_simulated=False,
        starts_at=datetime(2013, 2, 27, 13, tzinfo=UTC),
    )

    with pytest.raises(BadInput, match="--starts-at: of a simulated clock alone"):
        time_of(wanted, None)
