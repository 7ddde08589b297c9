"""An index of open reservations; on PostgreSQL text in the order of its bytes, and no truncation. Frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add to what the revisions before made."""
    # A book's reservations are all there were; what a review needs are the few that are still open.
    op.drop_index(op.f("ix_reservations_book_lane"), table_name="reservations")
    is_open = sa.text("quantity_left > 0")
    op.create_index(
        op.f("ix_reservations_open"),
        "reservations",
        ["book", "lane"],
        unique=False,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    if op.get_bind().dialect.name == "postgresql":
        _order_by_bytes(op.get_bind())
        _refuse_truncation(op.get_bind())


def _order_by_bytes(conn: sa.Connection) -> None:
    """Give all text the order of its bytes, whatever the database's own: ids and instants sort by it."""
    # A trigger's condition holds its columns fast, so triggers are taken off and put back as they were.
    triggers = conn.exec_driver_sql(
        "select tgrelid::regclass::text, quote_ident(tgname), pg_get_triggerdef(pg_trigger.oid)"
        " from pg_trigger join pg_class on pg_class.oid = tgrelid"
        " where not tgisinternal and relnamespace = current_schema()::regnamespace"
    ).all()
    columns = conn.exec_driver_sql(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = current_schema() and data_type = 'text' order by table_name, column_name"
    ).all()
    for table, name, _ in triggers:
        op.execute(f"drop trigger {name} on {table}")
    for table, column in columns:
        op.execute(f'alter table {table} alter column {column} type text collate "C"')
    for *_, definition in triggers:
        op.execute(definition)


def _refuse_truncation(conn: sa.Connection) -> None:
    """Let no table be emptied past the triggers of its rows."""
    for table in sa.inspect(conn).get_table_names():
        if table != "alembic_version":
            op.execute(
                f"create trigger {table}_whole before truncate on {table} for each statement"
                f" execute function journal_refuses('what the journal holds is never emptied')"
            )


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
