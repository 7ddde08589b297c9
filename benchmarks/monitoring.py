"""What watching costs: the metrics of a session with 10,000 intents, the policy over them, ten years asked.

The metrics are computed from rows of stages as the asset hands them over, and written into a lake as the
asset's table is. The years are sessions with windows, alerts, incidents and messages in one journal, asked as
the verbs and REST ask it.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import PROJECT, Figure, median, timed

from console.alerts import alerts_of
from console.autonomy import autonomy_of
from console.incident_reviews import review_of
from console.incidents import incidents_of
from console.signals import last_signals_of
from console.slo import slo_of
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.settings import Settings
from tests.trading.test_metrics import execution, status, verdict, worked_by_hand
from trading.alerts import AlertPolicy, evaluate, tell
from trading.metrics import MetricRow, SessionFacts, session_metrics

INTENTS = 10_000
GUARDS = 30
ROUNDS = 7
FRACTION_MS = 250
"""What a session's metrics and the policy over them may take together: a fraction of a second."""
