"""The first schema: all tables, and the triggers that repeat the protocol's promises. Frozen."""

# ruff: noqa: E501 - rendered by Alembic from the tables, and never edited again
from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_TERMINAL = "('rejected', 'executed', 'failed', 'expired', 'cancelled')"
_DONE = "('filled', 'cancelled', 'rejected')"


def _changed(*columns: str) -> str:
    return " or ".join(f"new.{name} <> old.{name}" for name in columns)


TRIGGERS: tuple[tuple[str, str, str, str, str], ...] = (
    # name, table, deed, condition, what the refusal says
    ("intents_stay", "intents", "delete", "", "an intent is never deleted"),
    (
        "intents_terminal",
        "intents",
        "update",
        f"old.state in {_TERMINAL}",
        "a terminal intent never changes",
    ),
    (
        "intents_forward",
        "intents",
        "update",
        "new.version <> old.version + 1 or new.epoch < old.epoch or new.generation < old.generation or new.filled_quantity < old.filled_quantity",
        "version, epoch, generation and filled quantity never go back",
    ),
    (
        "intents_payload",
        "intents",
        "update",
        _changed(
            "intent_id", "account", "lane", "book", "session", "payload", "payload_hash", "quantity",
            "unadvised_quantity", "not_after", "verdicts_sha", "limits_sha", "inputs_sha",
        ),
        "what was decided never changes",
    ),
    ("events_stay", "events", "delete", "", "an event is never deleted"),
    ("events_fixed", "events", "update", "", "an event never changes"),
    ("verdicts_stay", "verdicts", "delete", "", "a verdict is never deleted"),
    ("verdicts_fixed", "verdicts", "update", "", "a verdict never changes"),
    ("approvals_stay", "approvals", "delete", "", "an approval is never deleted"),
    ("approvals_fixed", "approvals", "update", "", "an approval never changes"),
    ("fills_stay", "fills", "delete", "", "a fill is never deleted"),
    ("fills_fixed", "fills", "update", "", "a fill never changes"),
    ("orders_stay", "orders", "delete", "", "an order is never deleted"),
    (
        "orders_terminal",
        "orders",
        "update",
        f"old.status in {_DONE} and (new.status <> old.status or new.filled_quantity <> old.filled_quantity)",
        "a terminal order never changes",
    ),
    (
        "orders_request",
        "orders",
        "update",
        _changed("client_order_id", "intent_id", "generation", "lane", "is_live", "request", "request_sha", "quantity"),
        "what is sent under an id never changes",
    ),
    (
        "book_sessions_settled",
        "book_sessions",
        "update",
        f"old.settled_at is not null and ({_changed('opening_sha', 'closing_sha', 'settled_at', 'decisions_sha')})",
        "a settled session never changes",
    ),
    (
        "book_sessions_decided",
        "book_sessions",
        "update",
        "old.decided_at is not null and new.decisions_sha <> old.decisions_sha",
        "a decided session is not decided again",
    ),
)  # fmt: skip


def trigger_statements(dialect: str) -> Iterator[str]:
    """Yield the DDL of all triggers for `sqlite` or `postgresql`."""
    if dialect == "sqlite":
        for name, table, deed, condition, message in TRIGGERS:
            when = f" when {condition}" if condition else ""
            yield (
                f"create trigger {name} before {deed} on {table} for each row{when}"
                f" begin select raise(abort, '{message}'); end"
            )
        return
    yield (
        "create function journal_refuses() returns trigger language plpgsql as $$"
        " begin raise exception '%', tg_argv[0] using errcode = 'integrity_constraint_violation'; end $$"
    )
    for name, table, deed, condition, message in TRIGGERS:
        when = f" when ({condition})" if condition else ""
        yield (
            f"create trigger {name} before {deed} on {table} for each row{when}"
            f" execute function journal_refuses('{message}')"
        )


def upgrade() -> None:
    """Create everything in an empty database."""
    op.create_table(
        "book_sessions",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("opening", sa.Text(), nullable=True),
        sa.Column("opening_sha", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.Text(), nullable=True),
        sa.Column("decisions_sha", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.Text(), nullable=True),
        sa.Column("carried_by", sa.Text(), nullable=False),
        sa.Column("closing", sa.Text(), nullable=True),
        sa.Column("closing_sha", sa.Text(), nullable=False),
        sa.Column("refused_stage", sa.Text(), nullable=False),
        sa.Column("refused_reason", sa.Text(), nullable=False),
        sa.CheckConstraint("(closing is null) = (closing_sha = '')", name=op.f("ck_book_sessions_closing")),
        sa.CheckConstraint("(opening is null) = (opening_sha = '')", name=op.f("ck_book_sessions_opening")),
        sa.CheckConstraint("(settled_at is null) = (closing is null)", name=op.f("ck_book_sessions_settled")),
        sa.PrimaryKeyConstraint("book", "lane", "session", name=op.f("pk_book_sessions")),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_events_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("hash", name=op.f("uq_events_hash")),
        sa.UniqueConstraint("prev_hash", name=op.f("uq_events_prev_hash")),
    )
    op.create_index(op.f("ix_events_intent_id_seq"), "events", ["intent_id", "seq"], unique=False)
    op.create_index(op.f("ix_events_kind_seq"), "events", ["kind", "seq"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incidents")),
        sa.UniqueConstraint(
            "kind", "account", "intent_id", "detail", name=op.f("uq_incidents_kind_account_intent_id_detail")
        ),
    )
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unadvised_quantity", sa.BigInteger(), nullable=False),
        sa.Column("filled_quantity", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("not_after", sa.Text(), nullable=False),
        sa.Column("verdicts_sha", sa.Text(), nullable=False),
        sa.Column("limits_sha", sa.Text(), nullable=False),
        sa.Column("inputs_sha", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state = 'executed' and filled_quantity > 0) or state in ('executing', 'unknown') or (state <> 'executed' and filled_quantity = 0)",
            name=op.f("ck_intents_exposure_shows"),
        ),
        sa.CheckConstraint(
            "(state = 'executing' and stage in ('claimed', 'prepared', 'working')) or (state = 'unknown' and stage in ('', 'parked')) or (state not in ('executing', 'unknown') and stage = '')",
            name=op.f("ck_intents_stage"),
        ),
        sa.CheckConstraint("quantity > 0 or state = 'rejected'", name=op.f("ck_intents_sent_quantity")),
        sa.CheckConstraint("side in ('BUY', 'SELL')", name=op.f("ck_intents_side")),
        sa.CheckConstraint(
            "state in ('pending_approval', 'approved', 'executing', 'unknown', 'rejected', 'executed', 'failed', 'expired', 'cancelled')",
            name=op.f("ck_intents_state"),
        ),
        sa.CheckConstraint(
            "quantity >= 0 and filled_quantity between 0 and quantity", name=op.f("ck_intents_quantity")
        ),
        sa.CheckConstraint(
            "version >= 1 and epoch >= 0 and generation >= 0", name=op.f("ck_intents_counters")
        ),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_intents")),
    )
    op.create_index(
        op.f("ix_intents_account_lane_state"), "intents", ["account", "lane", "state"], unique=False
    )
    op.create_index(
        op.f("ix_intents_book_lane_session"), "intents", ["book", "lane", "session"], unique=False
    )
    op.create_index(op.f("ix_intents_state_changed_at"), "intents", ["state", "changed_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("outbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Text(), nullable=False),
        sa.CheckConstraint("status in ('waiting', 'delivered', 'dead')", name=op.f("ck_outbox_status")),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("channel", "dedup_key", name=op.f("uq_outbox_channel_dedup_key")),
    )
    op.create_index(op.f("ix_outbox_status_due_at"), "outbox", ["status", "due_at"], unique=False)
    op.create_table(
        "quote_releases",
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("released_at", sa.Text(), nullable=False),
        sa.CheckConstraint("actor <> '' and reason <> ''", name=op.f("ck_quote_releases_actor")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_quote_releases")),
    )
    op.create_table(
        "run_control",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("kill_switch_on", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.CheckConstraint("scope = 'all'", name=op.f("ck_run_control_scope")),
        sa.CheckConstraint(
            "kill_switch_on in (0, 1) and paused in (0, 1)", name=op.f("ck_run_control_switches")
        ),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_run_control")),
    )
    op.create_table(
        "approvals",
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.CheckConstraint("actor <> '' and nonce <> ''", name=op.f("ck_approvals_actor")),
        sa.CheckConstraint("answer in ('approved', 'rejected')", name=op.f("ck_approvals_answer")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_approvals_intent_id")),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_intent_id"), "approvals", ["intent_id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("is_delivered", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.CheckConstraint("is_delivered in (0, 1)", name=op.f("ck_deliveries_is_delivered")),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.outbox_id"], name=op.f("fk_deliveries_outbox_id")),
        sa.PrimaryKeyConstraint("outbox_id", "attempt", name=op.f("pk_deliveries")),
    )
    op.create_table(
        "orders",
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("is_live", sa.Integer(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("request_sha", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("filled_quantity", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("broker_order_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("absences", sa.Integer(), nullable=False),
        sa.Column("first_absent_at", sa.Text(), nullable=True),
        sa.Column("cancel_asked_at", sa.Text(), nullable=True),
        sa.Column("prepared_at", sa.Text(), nullable=False),
        sa.Column("send_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "is_live = 0 or (is_live = 1 and lane = 'live')", name=op.f("ck_orders_live_lane")
        ),
        sa.CheckConstraint(
            "status in ('prepared', 'working', 'partial_fill', 'filled', 'cancelled', 'rejected', 'unknown')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("attempts >= 1 and absences >= 0", name=op.f("ck_orders_counters")),
        sa.CheckConstraint("length(client_order_id) <= 48", name=op.f("ck_orders_client_order_id")),
        sa.CheckConstraint(
            "quantity > 0 and filled_quantity between 0 and quantity", name=op.f("ck_orders_quantity")
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_orders_intent_id")),
        sa.PrimaryKeyConstraint("client_order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("intent_id", "generation", name=op.f("uq_orders_intent_id_generation")),
    )
    op.create_index(op.f("ix_orders_book_lane_session"), "orders", ["book", "lane", "session"], unique=False)
    op.create_table(
        "verdicts",
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("guard", sa.Text(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("observed", sa.BigInteger(), nullable=False),
        sa.Column("limit_value", sa.BigInteger(), nullable=False),
        sa.Column("largest_quantity", sa.BigInteger(), nullable=False),
        sa.Column("limits_sha", sa.Text(), nullable=False),
        sa.CheckConstraint("passed in (0, 1)", name=op.f("ck_verdicts_passed")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_verdicts_intent_id")),
        sa.PrimaryKeyConstraint("intent_id", "place", name=op.f("pk_verdicts")),
    )
    op.create_table(
        "fills",
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("commission_micros", sa.BigInteger(), nullable=False),
        sa.Column("filled_at", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 and price_micros > 0 and commission_micros >= 0", name=op.f("ck_fills_amounts")
        ),
        sa.ForeignKeyConstraint(
            ["client_order_id"], ["orders.client_order_id"], name=op.f("fk_fills_client_order_id")
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_fills_intent_id")),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_fills")),
        sa.UniqueConstraint("seq", name=op.f("uq_fills_seq")),
    )
    op.create_index(
        op.f("ix_fills_book_lane_session_seq"), "fills", ["book", "lane", "session", "seq"], unique=False
    )
    op.create_index(op.f("ix_fills_client_order_id"), "fills", ["client_order_id"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity_left", sa.BigInteger(), nullable=False),
        sa.Column("micros_left", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity_left >= 0 and micros_left >= 0", name=op.f("ck_reservations_left")),
        sa.ForeignKeyConstraint(
            ["client_order_id"], ["orders.client_order_id"], name=op.f("fk_reservations_client_order_id")
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_reservations_intent_id")),
        sa.PrimaryKeyConstraint("client_order_id", name=op.f("pk_reservations")),
    )
    op.create_index(op.f("ix_reservations_book_lane"), "reservations", ["book", "lane"], unique=False)
    op.create_table(
        "watch_list",
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_order_id"], ["orders.client_order_id"], name=op.f("fk_watch_list_client_order_id")
        ),
        sa.PrimaryKeyConstraint("client_order_id", name=op.f("pk_watch_list")),
    )
    for statement in trigger_statements(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Refuse: history is never removed."""
    raise NotImplementedError("the journal only goes forward: restore a copy instead")
