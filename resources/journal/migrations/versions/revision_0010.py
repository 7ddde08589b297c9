"""One row for each question to the advisor's model. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from resources.journal.migrations.triggers import Trigger, trigger_statements

revision = "0010"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

TRIGGERS: tuple[Trigger, ...] = (
    # Old measurements may be taken away by whoever keeps the database small; none is ever made another.
    Trigger("advisor_calls_fixed", "advisor_calls", "update", "", "what was measured never changes"),
)


def upgrade() -> None:
    """Add to what the revisions before made."""
    op.create_table(
        "advisor_calls",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        *map(_text, ("call_id", "at", "session", "book", "lane", "run_id", "purpose", "strategies")),
        *map(_text, ("intents", "provider", "endpoint", "model", "tier", "prompt_name", "prompt_version")),
        *map(_text, ("prompt_sha", "schema_version")),
        *map(_number, ("prompt_tokens", "completion_tokens")),
        sa.Column("is_counted", sa.Integer(), nullable=False),
        *map(_number, ("cost_micros", "latency_ms")),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("ok", sa.Integer(), nullable=False),
        *map(_text, ("error_type", "breaker")),
        sa.Column("was_cached", sa.Integer(), nullable=False),
        sa.CheckConstraint("call_id <> ''", name=op.f("ck_advisor_calls_call_id")),
        sa.CheckConstraint(
            "purpose in ('advice', 'smoke', 'compare')", name=op.f("ck_advisor_calls_purpose")
        ),
        sa.CheckConstraint("tier in ('small', 'large')", name=op.f("ck_advisor_calls_tier")),
        sa.CheckConstraint(
            "breaker in ('allowed', 'circuit_open', 'circuit_half_open')",
            name=op.f("ck_advisor_calls_breaker"),
        ),
        sa.CheckConstraint(
            "prompt_tokens >= 0 and completion_tokens >= 0 and cost_micros >= 0 and latency_ms >= 0"
            " and attempts >= 0",
            name=op.f("ck_advisor_calls_counters"),
        ),
        sa.CheckConstraint(
            "is_counted in (0, 1) and ok in (0, 1) and was_cached in (0, 1)",
            name=op.f("ck_advisor_calls_flags"),
        ),
        sa.CheckConstraint("(ok = 1) = (error_type = '')", name=op.f("ck_advisor_calls_error_type")),
        sa.CheckConstraint(
            "attempts > 0 or (prompt_tokens = 0 and completion_tokens = 0)",
            name=op.f("ck_advisor_calls_tokens"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_advisor_calls")),
    )
    op.create_index(op.f("ix_advisor_calls_book_session"), "advisor_calls", ["book", "session"], unique=False)
    op.create_index(op.f("ix_advisor_calls_at"), "advisor_calls", ["at"], unique=False)
    dialect = op.get_bind().dialect.name
    for statement in trigger_statements(dialect, TRIGGERS):
        op.execute(statement)
    if dialect == "postgresql":
        op.execute(
            "create trigger advisor_calls_whole before truncate on advisor_calls for each statement"
            " execute function journal_refuses('what the journal holds is never emptied')"
        )


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str) -> sa.Column[str]:
    """Return a column of text in the order of its bytes, as all text of the journal is."""
    kind = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    return sa.Column(name, kind, nullable=False)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
