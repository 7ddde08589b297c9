"""Triggers that repeat the protocol's promises, in each engine's words; what they promise is in versions/."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Trigger(NamedTuple):
    """Hold one refusal: on which table and deed, under which condition (empty: always), and what it says."""

    name: str
    table: str
    deed: str
    condition: str
    message: str


def trigger_statements(dialect: str, triggers: Sequence[Trigger]) -> Iterator[str]:
    """Yield the DDL of triggers for `sqlite`, or `postgresql` where the first revision made the function."""
    for name, table, deed, condition, message in triggers:
        if dialect == "sqlite":
            when = f" when {condition}" if condition else ""
            yield (
                f"create trigger {name} before {deed} on {table} for each row{when}"
                f" begin select raise(abort, '{message}'); end"
            )
        else:
            when = f" when ({condition})" if condition else ""
            yield (
                f"create trigger {name} before {deed} on {table} for each row{when}"
                f" execute function journal_refuses('{message}')"
            )
