"""The paper broker's ledger file: made once, brought forward, refused where it cannot be trusted."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from resources.paper_broker import ledger as paper_ledger
from resources.paper_broker.broker import PaperBroker
from resources.paper_broker.ledger import Ledger
from tests.adapters.broker_rules import (
    ACCOUNT,
    CALENDAR,
    DEPOSIT,
    EARLY,
    LATER,
    MODEL,
    SESSION,
    Market,
    request,
)
from trading.brokers import DuplicateClientOrderId
from trading.errors import BrokerUnavailable, TradingError
from trading.values import ClientOrderId


def opened(path):
    return PaperBroker(
        path,
        account=ACCOUNT,
        deposit_micros=DEPOSIT,
        market=Market(AAPL=10**6),
        fill_model=MODEL,
        calendar=CALENDAR,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "SIM.db"


def ledger_of_the_first_version(path, *, symbols):
    """Write what the first version of the ledger left of filled orders."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(paper_ledger._MIGRATIONS[0])
        for seq, symbol in enumerate(symbols, start=1):
            known = f"ta-{symbol}"
            connection.execute(
                "insert into orders values (?, ?, ?, '{}', ?, ?, 'BUY', 10, 10, 'filled', '', ?)",
                (known, seq, f"pb-{symbol}", SESSION.isoformat(), symbol, "2013-02-28T13:30:00.000000Z"),
            )
            connection.execute(
                "insert into fills values (?, ?, 10, 100000000, 1000, '2013-02-28T14:30:00.000000Z')",
                (f"exe-{symbol}", known),
            )
        connection.commit()


def test_a_ledger_of_the_first_version_keeps_its_orders_and_its_account_starts_with_them(path):
    ledger_of_the_first_version(path, symbols=["IBM", "AAPL"])
    broker = opened(path)
    held = broker.holdings(now=LATER)

    assert [order.symbol for order in broker.orders(since=SESSION, now=LATER)] == ["IBM", "AAPL"]
    assert [fill.execution_id for fill in broker.fills(ClientOrderId("ta-AAPL"), now=LATER)] == ["exe-AAPL"]
    assert held.quantities == {"AAPL": 10, "IBM": 10}
    assert held.cash_micros == DEPOSIT - 2 * (10 * 100_000_000 + 1000)
    with pytest.raises(DuplicateClientOrderId):
        broker.submit(request(), now=EARLY)


def test_a_ledger_of_a_later_version_is_refused_and_left_as_it_is(path):
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(BrokerUnavailable, match="version 99"):
        opened(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (99,)


def test_every_commit_waits_for_the_disk(path):
    opened(path)
    with Ledger(path).transaction(BrokerUnavailable) as connection:
        assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"
        assert connection.execute("pragma synchronous").fetchone()[0] == paper_ledger.FULL


def test_what_raises_inside_a_transaction_leaves_nothing(path):
    ledger = Ledger(path)

    def fail_half_way():
        with ledger.transaction(BrokerUnavailable) as connection:
            connection.execute("insert into account values (1, 'X', 5)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    with ledger.transaction(BrokerUnavailable) as connection:
        assert connection.execute("select count(*) from account").fetchone()[0] == 0


OPEN_AT_ONCE = """
import sys
from pathlib import Path
from resources.paper_broker.ledger import Ledger
sys.stdin.read()
Ledger(Path(sys.argv[1]))
"""


def test_processes_that_make_one_ledger_at_once_all_get_it(path):
    command = [sys.executable, "-c", OPEN_AT_ONCE, str(path)]
    here = Path(__file__).resolve().parents[2]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, cwd=here) for _ in range(4)]
    for process in started:
        process.stdin.close()
    codes = [process.wait(60) for process in started]

    assert codes == [0, 0, 0, 0]
    assert opened(path).holdings(now=LATER).cash_micros == DEPOSIT


def test_who_makes_a_ledger_waits_for_who_is_making_it(path):
    """SQLite answers "locked" at once to the second of two who turn a new file into WAL mode."""
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    making = threading.Thread(target=Ledger, args=(path,))
    making.start()
    making.join(0.3)
    made_early = path.exists()
    os.close(folder)
    making.join(30)

    assert (made_early, path.exists()) == (False, True)


def test_the_ledger_says_what_became_of_each_send_that_arrived(path):
    broker = opened(path)
    broker.submit(request(), now=EARLY)
    for again in (request(), request("IBM", quantity=0)):
        with pytest.raises(TradingError):
            broker.submit(again, now=EARLY)
    with closing(sqlite3.connect(path)) as connection:
        told = connection.execute("select client_order_id, outcome from arrivals order by seq").fetchall()

    assert told == [("ta-AAPL", "accepted"), ("ta-AAPL", "duplicate"), ("ta-IBM", "zero_quantity")]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerUnavailable, match="its folder cannot be made"):
        opened(tmp_path / "file" / "SIM.db")
