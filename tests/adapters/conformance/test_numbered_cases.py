"""Every numbered case on every adapter that it can be put to, over real connections."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from resources.paper_broker import ledger
from tests.adapters.broker_rules import EARLY, request
from tests.adapters.conformance.adapters import Connected, Kind, connected
from tests.adapters.conformance.cases import CASES

CASES_MIN = 60
RUNS = [(case, kind) for case in CASES for kind in Kind if kind in case.kinds]


@pytest.mark.parametrize(
    ("case", "kind"), RUNS, ids=[f"{case.number}-{kind.name.lower()}" for case, kind in RUNS]
)
def test_an_adapter_passes_a_numbered_case(tmp_path, monkeypatch, case, kind):
    if kind is Kind.EMBEDDED:
        # Who finds the ledger locked waits for it; a case that locks it need not.
        monkeypatch.setattr(ledger, "BUSY_TIMEOUT_S", 0)
    with connected(kind, tmp_path, behaviour=case.behaviour) as to_a_broker:
        case.run(to_a_broker)


def test_there_are_enough_cases_each_under_an_id_of_its_own_that_both_adapters_pass():
    numbers = Counter(case.number for case in CASES)
    of_both = [case for case in CASES if {Kind.DOOR, Kind.ALPACA} <= case.kinds]

    assert set(numbers.values()) == {1}
    assert all(re.fullmatch(r"[A-Z][0-9]{2}", number) for number in numbers)
    assert len({case.statement for case in CASES}) == len(CASES)
    assert len(of_both) >= CASES_MIN


class Insistent:
    """Send again by itself what was not answered: what no adapter may do."""

    def __init__(self, broker):
        self._broker = broker

    def __getattr__(self, name):
        return getattr(self._broker, name)

    def submit(self, request, *, now):
        try:
            return self._broker.submit(request, now=now)
        except Exception:  # noqa: BLE001 - whatever it was, it insists
            return self._broker.submit(request, now=now)


def broken_by(kind, folder, numbers, spoil):
    broken = set()
    for case in CASES:
        if case.number in numbers:
            with connected(kind, folder / case.number, behaviour=case.behaviour) as to_a_broker:
                spoil(to_a_broker)
                try:
                    case.run(to_a_broker)
                except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however a case ends, it is broken
                    broken.add(case.number)
    return broken


def insist(to_a_broker: Connected) -> None:
    to_a_broker.broker = Insistent(to_a_broker.broker)


@pytest.mark.parametrize("kind", [Kind.DOOR, Kind.ALPACA])
def test_an_adapter_that_sends_again_by_itself_is_caught(tmp_path, kind):
    numbers = {"S01", "S02", "S06", "S08", "S28", "S29"}

    assert broken_by(kind, tmp_path, numbers, insist) == numbers


def test_an_adapter_that_believes_any_page_is_caught(tmp_path, monkeypatch):
    def believing(self, client_order_id, *, now):
        return None

    def deaf(to_a_broker: Connected) -> None:
        monkeypatch.setattr(type(to_a_broker.broker), "order_by_client_order_id", believing)

    assert "Q06" in broken_by(Kind.ALPACA, tmp_path, {"Q06"}, deaf)


def test_a_case_leaves_an_account_that_the_next_does_not_see(tmp_path):
    with connected(Kind.ALPACA, tmp_path) as to_a_broker:
        to_a_broker.broker.submit(request(), now=EARLY)
    with connected(Kind.ALPACA, tmp_path / "other") as to_another:
        assert to_another.truth.dump().orders == ()
