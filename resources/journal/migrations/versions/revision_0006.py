"""The evidence ledger: what is filed of replays and promotions, in a chain of its own. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from resources.journal.migrations.triggers import Trigger, trigger_statements

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

TRIGGERS: tuple[Trigger, ...] = (
    Trigger("evidence_stays", "evidence", "delete", "", "evidence is never deleted"),
    Trigger("evidence_fixed", "evidence", "update", "", "evidence never changes: file what is new beside it"),
)


def upgrade() -> None:
    """Add to what the revisions before made."""
    op.create_table(
        "evidence",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        *map(_text, ("kind", "digest", "run_id", "candidate_id", "strategy", "book", "content")),
        *map(_text, ("actor", "filed_at", "prev_hash", "hash")),
        sa.CheckConstraint("seq >= 1 and actor <> ''", name=op.f("ck_evidence_filed")),
        sa.CheckConstraint(
            "kind in ('run', 'candidate', 'fold', 'stress', 'promotion')", name=op.f("ck_evidence_kind")
        ),
        sa.CheckConstraint("(kind = 'promotion') = (run_id = '')", name=op.f("ck_evidence_run")),
        sa.CheckConstraint(
            "(kind in ('candidate', 'fold', 'stress')) = (candidate_id <> '')",
            name=op.f("ck_evidence_candidate"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_evidence")),
        sa.UniqueConstraint("digest", name=op.f("uq_evidence_digest")),
        sa.UniqueConstraint("prev_hash", name=op.f("uq_evidence_prev_hash")),
        sa.UniqueConstraint("hash", name=op.f("uq_evidence_hash")),
    )
    op.create_index(op.f("ix_evidence_run_id"), "evidence", ["run_id"], unique=False)
    dialect = op.get_bind().dialect.name
    for statement in trigger_statements(dialect, TRIGGERS):
        op.execute(statement)
    if dialect == "postgresql":
        op.execute(
            "create trigger evidence_whole before truncate on evidence for each statement"
            " execute function journal_refuses('what the journal holds is never emptied')"
        )


def _text(name: str) -> sa.Column[str]:
    """Return a column of text in the order of its bytes, as all text of the journal is."""
    kind = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    return sa.Column(name, kind, nullable=False)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
