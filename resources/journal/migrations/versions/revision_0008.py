"""Where each order was to go and went: expected and actual adapter, fallback count and reason. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from resources.journal.migrations.triggers import Trigger, trigger_statements

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

TRIGGERS: tuple[Trigger, ...] = (
    Trigger(
        "orders_route_fixed",
        "orders",
        "update",
        "new.expected_adapter <> old.expected_adapter or new.actual_adapter <> old.actual_adapter"
        " or new.fallback_count <> old.fallback_count or new.fallback_reason <> old.fallback_reason",
        "an order stays with the adapter it was prepared for",
    ),
    Trigger(
        "orders_route_whole",
        "orders",
        "insert",
        "(new.expected_adapter = '') <> (new.actual_adapter = '')"
        " or (new.fallback_count > 0) <> (new.expected_adapter <> new.actual_adapter)"
        " or (new.fallback_count > 0) <> (new.fallback_reason <> '')"
        " or new.fallback_count < 0",
        "a fallback has its count and its reason, and nothing else has",
    ),
)


def upgrade() -> None:
    """Add to what the revisions before made; what was prepared before stays without a route."""
    op.add_column("orders", _text("expected_adapter"))
    op.add_column("orders", _text("actual_adapter"))
    op.add_column("orders", sa.Column("fallback_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", _text("fallback_reason"))
    op.create_index(
        op.f("ix_orders_account_lane_actual_adapter"),
        "orders",
        ["account", "lane", "actual_adapter"],
        unique=False,
    )
    for statement in trigger_statements(op.get_bind().dialect.name, TRIGGERS):
        op.execute(statement)


def _text(name: str) -> sa.Column[str]:
    """Return a column of text in the order of its bytes, as all text of the journal is; empty by default."""
    kind = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    return sa.Column(name, kind, nullable=False, server_default="")


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
