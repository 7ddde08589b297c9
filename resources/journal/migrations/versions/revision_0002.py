"""Executors' terms, halts of an account or instrument, busts, and what a cancel was asked for. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from resources.journal.migrations.triggers import Trigger, trigger_statements

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

TRIGGERS: tuple[Trigger, ...] = (
    Trigger("busts_stay", "busts", "delete", "", "a bust is never deleted"),
    Trigger("busts_fixed", "busts", "update", "", "a bust never changes"),
    Trigger("executors_stay", "executors", "delete", "", "a term is never deleted"),
    Trigger("executors_forward", "executors", "update", "new.term < old.term", "a term never goes back"),
    Trigger("halts_stay", "halts", "delete", "", "a halt is ended, never deleted"),
    Trigger("watch_list_stays", "watch_list", "delete", "", "a watched id is never deleted"),
)


def upgrade() -> None:
    """Add to what the first revision made."""
    op.add_column("orders", sa.Column("cancel_kind", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "busts",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("takes_back", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_busts_intent_id")),
        sa.ForeignKeyConstraint(["takes_back"], ["fills.execution_id"], name=op.f("fk_busts_takes_back")),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_busts")),
        sa.UniqueConstraint("takes_back", name=op.f("uq_busts_takes_back")),
    )
    op.create_table(
        "executors",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Text(), nullable=False),
        sa.Column("reconciled_at", sa.Text(), nullable=True),
        sa.CheckConstraint("term >= 1 and holder <> ''", name=op.f("ck_executors_term")),
        sa.PrimaryKeyConstraint("account", "lane", name=op.f("pk_executors")),
    )
    op.create_table(
        "halts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("is_on", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.CheckConstraint("is_on in (0, 1) and actor <> '' and reason <> ''", name=op.f("ck_halts_halt")),
        sa.PrimaryKeyConstraint("account", "symbol", name=op.f("pk_halts")),
    )
    for statement in trigger_statements(op.get_bind().dialect.name, TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
