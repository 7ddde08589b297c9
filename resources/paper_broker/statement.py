"""A paper broker's account as its ledger tells it, read only: deposit, executions, what was folded of them.

Nothing is asked of the broker, so that looking changes nothing and damage is named. How an account is folded
is trading/accounts.py; the ledger itself is ledger.py.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from resources.journal.condition import advice
from trading.accounts import Execution
from trading.brokers import Holdings
from trading.errors import BrokerUnavailable
from trading.values import Side, Symbol


class Folded(NamedTuple):
    """Hold an account as it was after a session: the executions up to number `through_fill` are in it."""

    through_session: date
    through_fill: int
    holdings: Holdings


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Hold what a ledger tells of its account: executions with their numbers, ascending.

    `checkpoint` is what the broker itself goes on from, `None` while it folds everything.
    """

    deposit_micros: int
    checkpoint: Folded | None
    executions: tuple[tuple[int, Execution], ...]


_EXECUTIONS = """
select f.seq, coalesce(nullif(f.session, ''), o.session) as session, o.symbol, o.side, f.quantity,
  f.price_micros, f.commission_micros, f.takes_back
from fills f join orders o on o.seq = f.order_seq
order by f.seq
"""
_EXECUTIONS_OF_VERSION_2 = """
select f.seq, o.session, o.symbol, o.side, f.quantity, f.price_micros, f.commission_micros, f.takes_back
from fills f join orders o on o.seq = f.order_seq
order by f.seq
"""


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a look at a ledger that changes nothing; raises `BrokerUnavailable` where it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as ledger:
            ledger.row_factory = sqlite3.Row
            ledger.execute("begin")
            yield ledger
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            raise BrokerUnavailable(
                f"paper broker {path}: cannot be read ({error}); keep the file; the next session brings one"
                " of an older version up to date"
            ) from error
        raise BrokerUnavailable(f"paper broker {path}: cannot be read: {advice(str(error))}") from error
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise BrokerUnavailable(damaged(path, error)) from error


def damaged(path: Path, error: Exception) -> str:
    """Return how a ledger is called that is none any more, and what a person does."""
    return (
        f"paper broker {path}: is damaged ({error}): keep the file, and restore its last copy; "
        "do not delete it, an empty account is not the one that the journal knows"
    )


def statement_of(path: Path) -> Statement | None:
    """Return what a ledger tells of its account, `None` where there is no ledger.

    Raises `BrokerUnavailable` where it cannot be read.
    """
    if not path.exists():
        return None
    with read_only(path) as ledger:
        account = ledger.execute("select deposit_micros from account").fetchone()
        folded = ledger.execute(
            "select through_session, through_fill, cash_micros, quantities from checkpoints"
        ).fetchone()
        # A ledger of an earlier version had orders of one session only.
        has_sessions = any(row["name"] == "session" for row in ledger.execute("pragma table_info (fills)"))
        executions = ledger.execute(_EXECUTIONS if has_sessions else _EXECUTIONS_OF_VERSION_2).fetchall()
        return Statement(
            deposit_micros=int(account["deposit_micros"]) if account else 0,
            checkpoint=None if folded is None else _folded(folded),
            executions=tuple((int(row["seq"]), _execution(row)) for row in executions),
        )


def _folded(row: sqlite3.Row) -> Folded:
    return Folded(
        through_session=date.fromisoformat(row["through_session"]),
        through_fill=int(row["through_fill"]),
        holdings=Holdings(
            quantities={
                Symbol(symbol): int(count) for symbol, count in json.loads(row["quantities"]).items()
            },
            cash_micros=int(row["cash_micros"]),
        ),
    )


def _execution(row: sqlite3.Row) -> Execution:
    return Execution(
        session=date.fromisoformat(row["session"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=int(row["quantity"]),
        price_micros=int(row["price_micros"]),
        commission_micros=int(row["commission_micros"]),
        is_bust=row["takes_back"] != "",
    )
