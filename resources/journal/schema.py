"""The journal's tables, and the constraints that repeat the protocol below the store.

Here: one schema for SQLite and PostgreSQL. Not here: how a file gets there and the triggers (migrations/),
what is written when (store.py). Money is BIGINT micro-units, quantities whole shares, sessions ISO dates
and instants fixed-width ISO text in UTC (they sort as they happen, and every engine reads them alike).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

intents = Table(
    "intents",
    metadata,
    Column("intent_id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("slot", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("payload_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unadvised_quantity", BigInteger, nullable=False),
    Column("filled_quantity", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("not_after", Text, nullable=False),
    Column("verdicts_sha", Text, nullable=False),
    Column("limits_sha", Text, nullable=False),
    Column("inputs_sha", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    CheckConstraint(
        "state in ('pending_approval', 'approved', 'executing', 'unknown',"
        " 'rejected', 'executed', 'failed', 'expired', 'cancelled')",
        name="state",
    ),
    CheckConstraint(
        "(state = 'executing' and stage in ('claimed', 'prepared', 'working'))"
        " or (state = 'unknown' and stage in ('', 'parked'))"
        " or (state not in ('executing', 'unknown') and stage = '')",
        name="stage",
    ),
    CheckConstraint("side in ('BUY', 'SELL')", name="side"),
    CheckConstraint("version >= 1 and epoch >= 0 and generation >= 0", name="counters"),
    CheckConstraint("quantity >= 0 and filled_quantity between 0 and quantity", name="quantity"),
    CheckConstraint("quantity > 0 or state = 'rejected'", name="sent_quantity"),
    CheckConstraint(
        "(state = 'executed' and filled_quantity > 0) or state in ('executing', 'unknown')"
        " or (state <> 'executed' and filled_quantity = 0)",
        name="exposure_shows",
    ),
    Index(None, "book", "lane", "session"),
    Index(None, "state", "changed_at"),
    Index(None, "account", "lane", "state"),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("intent_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("prev_hash"),
    UniqueConstraint("hash"),
    CheckConstraint("seq >= 1", name="seq"),
    Index(None, "intent_id", "seq"),
    Index(None, "kind", "seq"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("intent_id", Text, ForeignKey("intents.intent_id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("guard", Text, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("observed", BigInteger, nullable=False),
    Column("limit_value", BigInteger, nullable=False),
    Column("largest_quantity", BigInteger, nullable=False),
    Column("limits_sha", Text, nullable=False),
    CheckConstraint("passed in (0, 1)", name="passed"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("intent_id", Text, ForeignKey("intents.intent_id"), nullable=False),
    Column("answer", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload_hash", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Text, nullable=False),
    CheckConstraint("answer in ('approved', 'rejected')", name="answer"),
    CheckConstraint("actor <> '' and nonce <> ''", name="actor"),
    Index(None, "intent_id"),
)

orders = Table(
    "orders",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("intent_id", Text, ForeignKey("intents.intent_id"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("account", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("is_live", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("request_sha", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("filled_quantity", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("broker_order_id", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("absences", Integer, nullable=False),
    Column("first_absent_at", Text),
    Column("cancel_asked_at", Text),
    Column("cancel_kind", Text, nullable=False, server_default=""),
    Column("prepared_at", Text, nullable=False),
    Column("send_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("expected_adapter", Text, nullable=False, server_default=""),
    Column("actual_adapter", Text, nullable=False, server_default=""),
    Column("fallback_count", Integer, nullable=False, server_default="0"),
    Column("fallback_reason", Text, nullable=False, server_default=""),
    UniqueConstraint("intent_id", "generation"),
    CheckConstraint(
        "status in ('prepared', 'working', 'partial_fill', 'filled', 'cancelled', 'rejected', 'unknown')",
        name="status",
    ),
    CheckConstraint("is_live = 0 or (is_live = 1 and lane = 'live')", name="live_lane"),
    CheckConstraint("quantity > 0 and filled_quantity between 0 and quantity", name="quantity"),
    CheckConstraint("attempts >= 1 and absences >= 0", name="counters"),
    CheckConstraint("length(client_order_id) <= 48", name="client_order_id"),
    Index(None, "book", "lane", "session"),
    Index(None, "broker_order_id"),
    Index(None, "account", "lane", "actual_adapter"),
)

fills = Table(
    "fills",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("client_order_id", Text, ForeignKey("orders.client_order_id"), nullable=False),
    Column("intent_id", Text, ForeignKey("intents.intent_id"), nullable=False),
    Column("book", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price_micros", BigInteger, nullable=False),
    Column("commission_micros", BigInteger, nullable=False),
    Column("filled_at", Text, nullable=False),
    UniqueConstraint("seq"),
    CheckConstraint("quantity > 0 and price_micros > 0 and commission_micros >= 0", name="amounts"),
    Index(None, "book", "lane", "session", "seq"),
    Index(None, "client_order_id"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("client_order_id", Text, ForeignKey("orders.client_order_id"), primary_key=True),
    Column("intent_id", Text, ForeignKey("intents.intent_id"), nullable=False),
    Column("book", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("quantity_left", BigInteger, nullable=False),
    Column("micros_left", BigInteger, nullable=False),
    CheckConstraint("quantity_left >= 0 and micros_left >= 0", name="left"),
    Index(
        "ix_reservations_open",
        "book",
        "lane",
        sqlite_where=text("quantity_left > 0"),
        postgresql_where=text("quantity_left > 0"),
    ),
)

book_sessions = Table(
    "book_sessions",
    metadata,
    Column("book", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("session", Text, primary_key=True),
    Column("opening", Text),
    Column("opening_sha", Text, nullable=False),
    Column("decided_at", Text),
    Column("decisions_sha", Text, nullable=False),
    Column("settled_at", Text),
    Column("carried_by", Text, nullable=False),
    Column("closing", Text),
    Column("closing_sha", Text, nullable=False),
    Column("refused_stage", Text, nullable=False),
    Column("refused_reason", Text, nullable=False),
    CheckConstraint("(opening is null) = (opening_sha = '')", name="opening"),
    CheckConstraint("(closing is null) = (closing_sha = '')", name="closing"),
    CheckConstraint("(settled_at is null) = (closing is null)", name="settled"),
)

approval_stages = Table(
    "approval_stages",
    metadata,
    Column("intent_id", Text, ForeignKey("intents.intent_id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("stage", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("approvers", Integer, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("at", Text, nullable=False),
    CheckConstraint("stage in ('risk', 'compliance', 'shadow', 'person')", name="stage"),
    CheckConstraint("verdict in ('passed', 'failed', 'waiting', 'not_needed', 'endorsed')", name="verdict"),
    CheckConstraint("approvers >= 0", name="approvers"),
)

endorsements = Table(
    "endorsements",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("intent_id", Text, ForeignKey("intents.intent_id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload_hash", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Text, nullable=False),
    CheckConstraint("actor <> '' and nonce <> ''", name="actor"),
    Index(None, "intent_id"),
)

cooldowns = Table(
    "cooldowns",
    metadata,
    Column("account", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("began_at", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    CheckConstraint("failures >= 1 and actor <> '' and reason <> ''", name="cooldown"),
)

modes = Table(
    "modes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    CheckConstraint("name in ('degrade', 'approval')", name="name"),
    CheckConstraint("actor <> '' and reason <> ''", name="actor"),
)

flatten_commands = Table(
    "flatten_commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("book", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("previewed_by", Text, nullable=False),
    Column("previewed_at", Text, nullable=False),
    Column("ordered_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_at", Text),
    CheckConstraint("previewed_by <> ''", name="previewed"),
    CheckConstraint("(ordered_at is null) = (ordered_by = '')", name="ordered"),
    Index(None, "book", "lane", "session"),
)

run_control = Table(
    "run_control",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("kill_switch_on", Integer, nullable=False),
    Column("paused", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    CheckConstraint("scope = 'all'", name="scope"),
    CheckConstraint("kill_switch_on in (0, 1) and paused in (0, 1)", name="switches"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", BigInteger, primary_key=True, autoincrement=False),
    Column("dedup_key", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("due_at", Text, nullable=False),
    UniqueConstraint("channel", "dedup_key"),
    CheckConstraint("status in ('waiting', 'delivered', 'dead')", name="status"),
    Index(None, "status", "due_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("outbox_id", BigInteger, ForeignKey("outbox.outbox_id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("is_delivered", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Text, nullable=False),
    CheckConstraint("is_delivered in (0, 1)", name="is_delivered"),
)

quote_releases = Table(
    "quote_releases",
    metadata,
    Column("row_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_at", Text, nullable=False),
    CheckConstraint("actor <> '' and reason <> ''", name="actor"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("intent_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Text, nullable=False),
    UniqueConstraint("kind", "account", "intent_id", "detail"),
)

watch_list = Table(
    "watch_list",
    metadata,
    Column("client_order_id", Text, ForeignKey("orders.client_order_id"), primary_key=True),
    Column("account", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Text, nullable=False),
)

busts = Table(
    "busts",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("takes_back", Text, ForeignKey("fills.execution_id"), nullable=False),
    Column("intent_id", Text, ForeignKey("intents.intent_id"), nullable=False),
    Column("at", Text, nullable=False),
    UniqueConstraint("takes_back"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("candidate_id", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("filed_at", Text, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("digest"),
    UniqueConstraint("prev_hash"),
    UniqueConstraint("hash"),
    CheckConstraint("seq >= 1 and actor <> ''", name="filed"),
    CheckConstraint("kind in ('run', 'candidate', 'fold', 'stress', 'promotion')", name="kind"),
    CheckConstraint("(kind = 'promotion') = (run_id = '')", name="run"),
    CheckConstraint("(kind in ('candidate', 'fold', 'stress')) = (candidate_id <> '')", name="candidate"),
    Index(None, "run_id"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("until", Text),
    Column("holder", Text, nullable=False),
    Column("word", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    CheckConstraint("state in ('closed', 'open', 'half_open')", name="state"),
    CheckConstraint("(state = 'closed') = (until is null)", name="until"),
    CheckConstraint("(state = 'half_open') = (holder <> '')", name="holder"),
    CheckConstraint("failures >= 0 and trials >= 0 and version >= 1", name="counters"),
    CheckConstraint("name <> '' and actor <> ''", name="actor"),
)

outbound_calls = Table(
    "outbound_calls",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("word", Text, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("waited_ms", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("breaker", Text, nullable=False),
    Column("was_cached", Integer, nullable=False),
    CheckConstraint("kind in ('read', 'send')", name="kind"),
    CheckConstraint("breaker in ('allowed', 'circuit_open', 'circuit_half_open')", name="breaker"),
    CheckConstraint("status between 0 and 999 and (status > 0 or word <> '')", name="status"),
    CheckConstraint("latency_ms >= 0 and waited_ms >= 0 and attempt >= 0", name="counters"),
    CheckConstraint("kind = 'read' or attempt <= 1", name="one_attempt"),
    CheckConstraint("was_cached in (0, 1)", name="was_cached"),
    Index(None, "account", "at"),
    Index(None, "at"),
)

MEASURED = frozenset({"outbound_calls"})
"""The tables that no event tells of: one row is one measurement, and nothing is decided from it."""

executors = Table(
    "executors",
    metadata,
    Column("account", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("term", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("began_at", Text, nullable=False),
    Column("reconciled_at", Text),
    CheckConstraint("term >= 1 and holder <> ''", name="term"),
)

halts = Table(
    "halts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("symbol", Text, primary_key=True),
    Column("is_on", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    CheckConstraint("is_on in (0, 1) and actor <> '' and reason <> ''", name="halt"),
)
