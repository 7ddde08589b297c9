"""Rules compiled: they say what the plain ones say, and an edited rule is never answered by the old code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trading
from proof.guards import asked, worlds
from resources import compiled_rules as adapter
from resources.compiled_rules import compiled_rules, sources_digest
from trading import guards, verdicts
from trading.risk import VarBound, order_var

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cases(monkeypatch):
    """Give the cases that guards are asked about in some hundred drawn books."""
    seen = []

    def heard(case):
        seen.append(case)
        return guards.review(case)

    monkeypatch.setattr(verdicts, "review", heard)
    for world in worlds(5, 200):
        asked(world)
    return seen


def test_compiled_guards_and_risk_say_what_the_plain_ones_say(tmp_path, cases):
    rules = compiled_rules(tmp_path)
    review, var = rules.compiled(guards.review), rules.compiled(order_var)
    rng = np.random.default_rng(5)
    pnl = np.rint(rng.normal(0, 10**10, 250)).astype(np.int64)
    returns = np.rint(rng.normal(0, 15_000, 250)).astype(np.int64)
    orders = [(int(rng.integers(-5_000, 5_000)), VarBound(9_500, 2 * 10**10)) for _ in range(200)]

    assert [review(case) for case in cases] == [guards.review(case) for case in cases]
    assert len(cases) > 250
    short = rules.compiled(guards.tally)
    for case in cases[::20]:
        told, plain = (np.zeros((len(guards.GUARDS), 5), np.int64) for _ in range(2))
        assert short(case, told) == guards.tally(case, plain)
        assert told.tolist() == plain.tolist()
    assert [var(pnl, returns, quantity, 10**8, bound) for quantity, bound in orders] == [
        order_var(pnl, returns, quantity, 10**8, bound) for quantity, bound in orders
    ]
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".nbc", ".nbi", ".py"}


ASKS = """
import sys
from pathlib import Path
from resources.compiled_rules import compiled_rules
from trading import guards

parts = "Proposal Market Instrument Exposure Recent Risk Control Caps".split()
case = guards.Case(*(kind(*[0] * len(kind._fields)) for kind in (getattr(guards, part) for part in parts)))
case = case._replace(
    proposal=case.proposal._replace(sign=1, quantity=10, price_micros=100),
    market=case.market._replace(price_micros=100),
    caps=case.caps._replace(order_notional_micros_max=999),
)
rules = compiled_rules(Path(sys.argv[1]))
print(rules.compiled(guards.max_notional)(case).code == guards.max_notional(case).code == guards.PASS)
"""


def test_an_edited_guard_changes_what_the_compiled_one_says(tmp_path):
    for package in ("trading", "resources"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    rules, folder = tmp_path / "trading" / "guards.py", tmp_path / "compiled"

    def passes():
        ran = subprocess.run(
            [sys.executable, "-c", ASKS, str(folder)],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    assert passes() == "False"  # ten at 100 are over 999
    assert passes() == "False"
    assert len(list(folder.iterdir())) == 1
    text = rules.read_text("utf-8")
    shared = text.index("def bounded_notional(")
    looser = text[shared:].replace("if quantity > largest:", "if quantity > largest + 1:", 1)
    assert looser != text[shared:]
    rules.write_text(text[:shared] + looser, encoding="utf-8")
    assert passes() == "True"
    assert len(list(folder.iterdir())) == 2
    rules.write_text(text, encoding="utf-8")
    assert passes() == "False"
    assert len(list(folder.iterdir())) == 2


def test_the_digest_is_of_every_file_and_of_what_compiles_them(tmp_path, monkeypatch):
    package = tmp_path / "trading"
    (package / "strategies").mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "strategies" / "one.py").write_text("A = 1\n", encoding="utf-8")
    monkeypatch.setattr(trading, "__file__", str(package / "__init__.py"))
    digests = [sources_digest()]
    assert sources_digest() == digests[0]

    (package / "strategies" / "one.py").write_text("A = 2\n", encoding="utf-8")
    digests.append(sources_digest())
    (package / "two.py").write_text("", encoding="utf-8")
    digests.append(sources_digest())
    monkeypatch.setattr(adapter.numba, "__version__", "0.0")
    digests.append(sources_digest())
    monkeypatch.setattr(adapter.np, "__version__", "0.0")
    digests.append(sources_digest())
    monkeypatch.setattr(adapter.platform, "python_version", lambda: "0.0")
    digests.append(sources_digest())

    assert len(set(digests)) == len(digests)


def test_a_rule_is_compiled_without_what_multiplies_matrices(tmp_path):
    asked = (
        "import sys; from pathlib import Path; from resources.compiled_rules import compiled_rules;"
        f"from trading.quotes import split_price; rules = compiled_rules(Path({str(tmp_path)!r}));"
        "print(rules.compiled(split_price)(100, 2, 1), 'scipy.linalg' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["50", "False"]
