"""Every question of a journal, one file of SQL each, is understood by both engines."""

from __future__ import annotations

import re
from pathlib import Path

from resources.journal import questions
from resources.journal.statements import asked

QUESTIONS = sorted(path.stem for path in (Path(questions.__file__).parent / "sql").glob("*.sql"))
OF_ONE_ENGINE = {
    "find_tables": "sqlite",
    "find_tables_of_schema": "postgresql",
    "find_executor_lock": "postgresql",
}
NUMBERS = {"after", "attempt", "key", "limit", "most", "outbox_id", "until"}
"""What is a number wherever it is bound; all else is text, except in the questions below."""

COUNTED_BY = {
    "find_alert_events_since": {"first"},
    "find_last_advisor_calls": {"last"},
    "find_last_deliveries": {"last"},
    "find_last_empty_windows": {"last"},
    "find_last_messages": {"last"},
    "find_last_outbound_calls": {"last"},
    "find_last_reconciled": {"before"},
    "find_last_sessions": {"last"},
    "find_last_signal_windows": {"last"},
    "find_last_troubles": {"last"},
}


def bound_in(question: str) -> dict[str, str | int]:
    """Give a value of the right kind for everything that a question binds."""
    said = re.sub(r"--.*", "", questions.text_of(question))
    numbers = NUMBERS | COUNTED_BY.get(question, set())
    return {name: 0 if name in numbers else "x" for name in re.findall(r":([a-z_]+)", said)}


def test_each_engine_understands_every_question_that_is_asked_of_it(database):
    engine = "postgresql" if database.is_postgresql else "sqlite"
    wanted = [name for name in QUESTIONS if OF_ONE_ENGINE.get(name, engine) == engine]
    with database.open() as journal, journal.looking() as conn:
        told = {question: asked(conn, question, **bound_in(question)) for question in wanted}

    assert len(told) > 90
