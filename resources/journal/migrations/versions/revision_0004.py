"""The approval chain, endorsements, cooldowns, stored modes and flatten commands. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from resources.journal.migrations.triggers import Trigger, trigger_statements

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

TRIGGERS: tuple[Trigger, ...] = (
    Trigger("approval_stages_stay", "approval_stages", "delete", "", "a stage is never deleted"),
    Trigger("approval_stages_fixed", "approval_stages", "update", "", "a verdict of a stage never changes"),
    Trigger("endorsements_stay", "endorsements", "delete", "", "an endorsement is never deleted"),
    Trigger("endorsements_fixed", "endorsements", "update", "", "an endorsement never changes"),
    Trigger("cooldowns_stay", "cooldowns", "delete", "", "a cooldown is ended, never deleted"),
    Trigger("modes_stay", "modes", "delete", "", "a mode is set anew, never deleted"),
    Trigger("flatten_commands_stay", "flatten_commands", "delete", "", "a flatten is never deleted"),
    Trigger(
        "flatten_commands_once",
        "flatten_commands",
        "update",
        "old.ordered_by <> '' or new.plan <> old.plan or new.previewed_by <> old.previewed_by",
        "a flatten is ordered once, as it was previewed",
    ),
)

TABLES = ("approval_stages", "cooldowns", "endorsements", "flatten_commands", "modes")


def upgrade() -> None:
    """Add to what the revisions before made."""
    op.create_table(
        "approval_stages",
        _text("intent_id"),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        *map(_text, ("stage", "verdict", "policy", "detail", "actor")),
        sa.Column("approvers", sa.Integer(), nullable=False),
        *map(_text, ("expires_at", "at")),
        sa.CheckConstraint(
            "stage in ('risk', 'compliance', 'shadow', 'person')", name=op.f("ck_approval_stages_stage")
        ),
        sa.CheckConstraint(
            "verdict in ('passed', 'failed', 'waiting', 'not_needed', 'endorsed')",
            name=op.f("ck_approval_stages_verdict"),
        ),
        sa.CheckConstraint("approvers >= 0", name=op.f("ck_approval_stages_approvers")),
        sa.ForeignKeyConstraint(
            ["intent_id"], ["intents.intent_id"], name=op.f("fk_approval_stages_intent_id")
        ),
        sa.PrimaryKeyConstraint("intent_id", "place", name=op.f("pk_approval_stages")),
    )
    op.create_table(
        "endorsements",
        *map(_text, ("nonce", "intent_id", "actor", "reason", "payload_hash")),
        sa.Column("version", sa.Integer(), nullable=False),
        _text("at"),
        sa.CheckConstraint("actor <> '' and nonce <> ''", name=op.f("ck_endorsements_actor")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_endorsements_intent_id")),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_endorsements")),
    )
    op.create_index(op.f("ix_endorsements_intent_id"), "endorsements", ["intent_id"], unique=False)
    op.create_table(
        "cooldowns",
        *map(_text, ("account", "lane")),
        sa.Column("failures", sa.Integer(), nullable=False),
        *map(_text, ("began_at", "until", "actor", "reason")),
        sa.Column("changed_seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "failures >= 1 and actor <> '' and reason <> ''", name=op.f("ck_cooldowns_cooldown")
        ),
        sa.PrimaryKeyConstraint("account", "lane", name=op.f("pk_cooldowns")),
    )
    op.create_table(
        "modes",
        *map(_text, ("name", "value", "actor", "reason", "changed_at")),
        sa.CheckConstraint("name in ('degrade', 'approval')", name=op.f("ck_modes_name")),
        sa.CheckConstraint("actor <> '' and reason <> ''", name=op.f("ck_modes_actor")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_modes")),
    )
    op.create_table(
        "flatten_commands",
        *map(_text, ("command_id", "book", "lane", "account", "session", "plan")),
        *map(_text, ("previewed_by", "previewed_at", "ordered_by", "reason")),
        _text("ordered_at", nullable=True),
        sa.CheckConstraint("previewed_by <> ''", name=op.f("ck_flatten_commands_previewed")),
        sa.CheckConstraint(
            "(ordered_at is null) = (ordered_by = '')", name=op.f("ck_flatten_commands_ordered")
        ),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_flatten_commands")),
    )
    op.create_index(
        op.f("ix_flatten_commands_book_lane_session"),
        "flatten_commands",
        ["book", "lane", "session"],
        unique=False,
    )
    dialect = op.get_bind().dialect.name
    for statement in trigger_statements(dialect, TRIGGERS):
        op.execute(statement)
    if dialect == "postgresql":
        for table in TABLES:
            op.execute(
                f"create trigger {table}_whole before truncate on {table} for each statement"
                f" execute function journal_refuses('what the journal holds is never emptied')"
            )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """Return a column of text in the order of its bytes, as all text of the journal is."""
    kind = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    return sa.Column(name, kind, nullable=nullable)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
