"""Compiled SQL kept by the kind of a database, for processes that open one journal after another.

SQLAlchemy keeps what it compiles with each database that is opened. A process of the product opens one; one
of a suite or of the tests opens thousands, and compiling the same statements anew is a tenth of its time.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


class Statements(dict[tuple[Any, ...], Any]):
    """Keep compiled statements by the kind of a database."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        """Return what a statement became at any database of this kind."""
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        """Keep a statement for every database of this kind."""
        super().__setitem__((type(key[0]), *key[1:]), compiled)


def share() -> None:
    """Let every database that this process and its forks open from now on share what is compiled."""
    statements = Statements()

    @sa.event.listens_for(sa.Engine, "engine_connect")
    def _use(connection: sa.Connection) -> None:
        connection.execution_options(compiled_cache=statements)
