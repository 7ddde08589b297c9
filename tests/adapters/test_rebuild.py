"""The audit log alone gives the journal's rows again, after any life of a journal."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from proof.lives import Life
from resources.audit_log import events_in, project
from resources.journal import schema
from resources.journal.store import SqlJournal
from trading.lifecycle import Step
from trading.rebuild import rebuild

SEEDS = (1, 14, 17, 24)
STEPS = 1_000


def rows_of(path):
    """Read every table but the events themselves, rows in the order of their keys."""
    rows = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for table in schema.metadata.sorted_tables:
            keys = ", ".join(column.name for column in table.primary_key.columns)
            # The names are the schema's own.
            found = connection.execute(f"select * from {table.name} order by {keys}")  # noqa: S608
            rows[table.name] = [dict(row) for row in found]
    for told_by_no_event in {"events", *schema.MEASURED}:
        del rows[told_by_no_event]
    return rows


def test_the_log_alone_gives_every_row_of_every_table_again(tmp_path):
    kinds = set()
    for seed in SEEDS:
        path, log = tmp_path / f"{seed}.db", tmp_path / f"{seed}" / "audit.jsonl"
        with SqlJournal(f"sqlite:///{path}") as journal:
            life = Life(journal, seed=seed)
            for _ in range(STEPS):
                life.step()
            project(journal, log)
        events = list(events_in(log))
        kinds |= {event.kind for event in events}
        rebuilt, stored = rebuild(events), rows_of(path)

        assert set(rebuilt) == set(stored)
        for table, rows in stored.items():
            assert rebuilt[table] == rows, (seed, table)
    # What never happened was never compared.
    assert kinds >= {
        *set(Step),
        *("absent_at_broker", "present_at_broker", "incident", "messages_leased", "message_tried"),
        *("bust", "halted", "halt_lifted", "executor_began", "reconciled", "run_control", "mode_set"),
        *("cooldown_began", "cooldown_ended", "retried", "flatten_previewed", "flatten_ordered"),
        *("answer_refused", "breaker_changed", "stage_ran"),
    }


def test_each_prefix_of_a_log_can_be_rebuilt(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        life = Life(journal, seed=7)
        for _ in range(60):
            life.step()
        events = journal.events(after=0, limit=999)
    counts = [sum(map(len, rebuild(events[:end]).values())) for end in range(len(events) + 1)]

    assert counts[0] == 0
    assert counts == sorted(counts)
