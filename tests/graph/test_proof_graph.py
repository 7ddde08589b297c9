"""A part of the proof of the graph with the tests: one round, and the bug that it has to find."""

from __future__ import annotations

import json
import subprocess
import sys

from proof import graph
from tests.graph.desk import PROJECT

SEED = next(seed for seed in range(100) if graph.kind_of(seed) == "ticks")
"""Three processes at once over one session, as in the round in which the planted bug is found.

test_rerun.py kills a session at every stage, faults/test_daemon_backfills.py queues a backfill over others.
"""


def test_each_kind_of_round_has_its_turn():
    assert {graph.kind_of(seed) for seed in range(len(graph.KINDS))} == set(graph.KINDS)


def test_a_backfill_is_compared_in_both_sessions_and_any_other_round_in_its_own():
    both = graph.SESSIONS

    assert [tuple(graph.sessions_of({kind})) for kind in ("backfill", "ticks")] == [both, both[:1]]


def test_overlapping_runs_leave_one_order_an_intent_and_a_planted_bug_is_found(tmp_path):
    # In a process of its own, as `make prove` runs it: what forks should have done nothing else before.
    asked = ["graph", "--points", "1", "--seed", str(SEED), "--workers", "1", "--json"]
    proof = subprocess.run(
        [sys.executable, "-m", "proof", *asked, "--state", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert proof.returncode == 0, proof.stderr
    told = json.loads(proof.stdout)["suites"]["graph"]["covered"]
    assert (told["points"], told["violations"], told["is_planted_bug_caught"]) == (1, [], True)
    assert told["parts"] == {"ticks": 1}
