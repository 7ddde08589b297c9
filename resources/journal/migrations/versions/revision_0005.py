"""An index by which an order is found by the broker's id for it. Frozen."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add to what the revisions before made."""
    op.create_index(op.f("ix_orders_broker_order_id"), "orders", ["broker_order_id"], unique=False)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
