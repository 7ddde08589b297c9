"""Circuit breakers, and one row for each call to somebody outside. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from resources.journal.migrations.triggers import Trigger, trigger_statements

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

TRIGGERS: tuple[Trigger, ...] = (
    Trigger("breakers_stay", "breakers", "delete", "", "a breaker is reset, never deleted"),
    Trigger(
        "breakers_step",
        "breakers",
        "update",
        "new.version <> old.version + 1 or new.name <> old.name",
        "a breaker changes one version at a time",
    ),
    # Old measurements may be taken away by whoever keeps the database small; none is ever made another.
    Trigger("outbound_calls_fixed", "outbound_calls", "update", "", "what was measured never changes"),
)


def upgrade() -> None:
    """Add to what the revisions before made."""
    op.create_table(
        "breakers",
        *map(_text, ("name", "state")),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        _text("until", is_nullable=True),
        *map(_text, ("holder", "word")),
        sa.Column("version", sa.BigInteger(), nullable=False),
        *map(_text, ("actor", "reason", "changed_at")),
        sa.CheckConstraint("state in ('closed', 'open', 'half_open')", name=op.f("ck_breakers_state")),
        sa.CheckConstraint("(state = 'closed') = (until is null)", name=op.f("ck_breakers_until")),
        sa.CheckConstraint("(state = 'half_open') = (holder <> '')", name=op.f("ck_breakers_holder")),
        sa.CheckConstraint(
            "failures >= 0 and trials >= 0 and version >= 1", name=op.f("ck_breakers_counters")
        ),
        sa.CheckConstraint("name <> '' and actor <> ''", name=op.f("ck_breakers_actor")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_breakers")),
    )
    op.create_table(
        "outbound_calls",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        *map(_text, ("at", "provider", "endpoint", "account", "kind")),
        sa.Column("status", sa.Integer(), nullable=False),
        _text("word"),
        sa.Column("latency_ms", sa.BigInteger(), nullable=False),
        sa.Column("waited_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("breaker"),
        sa.Column("was_cached", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind in ('read', 'send')", name=op.f("ck_outbound_calls_kind")),
        sa.CheckConstraint(
            "breaker in ('allowed', 'circuit_open', 'circuit_half_open')",
            name=op.f("ck_outbound_calls_breaker"),
        ),
        sa.CheckConstraint(
            "status between 0 and 999 and (status > 0 or word <> '')", name=op.f("ck_outbound_calls_status")
        ),
        sa.CheckConstraint(
            "latency_ms >= 0 and waited_ms >= 0 and attempt >= 0", name=op.f("ck_outbound_calls_counters")
        ),
        sa.CheckConstraint("kind = 'read' or attempt <= 1", name=op.f("ck_outbound_calls_one_attempt")),
        sa.CheckConstraint("was_cached in (0, 1)", name=op.f("ck_outbound_calls_was_cached")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbound_calls")),
    )
    op.create_index(op.f("ix_outbound_calls_account_at"), "outbound_calls", ["account", "at"], unique=False)
    op.create_index(op.f("ix_outbound_calls_at"), "outbound_calls", ["at"], unique=False)
    dialect = op.get_bind().dialect.name
    for statement in trigger_statements(dialect, TRIGGERS):
        op.execute(statement)
    if dialect == "postgresql":
        for table in ("breakers", "outbound_calls"):
            op.execute(
                f"create trigger {table}_whole before truncate on {table} for each statement"
                " execute function journal_refuses('what the journal holds is never emptied')"
            )


def _text(name: str, *, is_nullable: bool = False) -> sa.Column[str]:
    """Return a column of text in the order of its bytes, as all text of the journal is."""
    kind = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    return sa.Column(name, kind, nullable=is_nullable)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
