"""A small part of `make prove` on PostgreSQL, by the command itself: clients and servers ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from proof.forks import Found, is_shown
from proof.postgres import NOT_SYNCED

ROOT = Path(__file__).resolve().parents[2]
POINTS, SERVERS = 18, 2


def test_a_lost_commit_counts_as_found_by_the_order_that_nobody_wrote_down_and_by_nothing_else():
    lost = "INV2 ta-1: an order at the broker that was never prepared"
    others = (
        "INV7 int-1: a row that no event made",
        "the next process raised JournalError: the log is ahead",
    )

    assert is_shown(NOT_SYNCED, Found(1, (*others, lost)))
    assert not is_shown(NOT_SYNCED, Found(1, others))


def test_whoever_ends_with_a_journal_on_postgresql_no_order_is_sent_twice_and_no_intent_lost(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "proof", "postgres", "--json"),
            *("--points", str(POINTS), "--state", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    covered = json.loads(done.stdout)["suites"]["postgres"]["covered"]

    assert covered["violations"] == []
    assert covered["points"] == POINTS
    assert covered["is_planted_bug_caught"]
    assert sum(count for name, count in covered["parts"].items() if name.startswith("servers")) == SERVERS
