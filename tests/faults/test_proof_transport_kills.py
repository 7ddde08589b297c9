"""A small part of the kills over HTTP, in a process of its own that forks the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PART = """
import json
from dataclasses import asdict
from proof.suite import Size
from proof.transport_kills import killed
told = killed(
    Size(points=4, seed=20130228, workers=1),
    lambda _: None,
    names=["time_out"],
    planted=["a client that repeats a POST after a reset"],
)
print(json.dumps(asdict(told)))
"""


def test_whoever_is_killed_while_trading_over_http_no_order_is_sent_twice_and_a_repeated_post_is_found():
    done = subprocess.run([sys.executable, "-c", PART], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)

    assert told["violations"] == []
    assert told["points"] == told["parts"]["time_out"] == 4
    assert told["is_planted_bug_caught"]
