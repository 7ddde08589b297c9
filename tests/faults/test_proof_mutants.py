"""`make mutants`: what it takes for a known survivor, by a mutmut that says what it is given."""

from __future__ import annotations

import sys
import textwrap
import tomllib

import pytest

from proof import mutants
from proof.mutants import PROJECT, SURVIVORS, Survivor

KNOWN = Survivor("trading/one.py", "x <= 1", "nothing is 1")
LONG_AGO = Survivor("trading/one.py", "y <= 1", "nothing was 1")


@pytest.fixture
def make_mutants(tmp_path, monkeypatch, capfd):
    """Give a run on toy files by what is known and what survives; it returns the status and the output."""

    def run(known: tuple[Survivor, ...], changes: dict[str, str]) -> tuple[int, str]:
        (tmp_path / "pyproject.toml").write_text(
            '[tool.mutmut]\nonly_mutate = ["trading/one.py", "trading/two.py"]\n', encoding="utf-8"
        )
        names = ["trading.one.x_f__mutmut_", "trading.two.x_f__mutmut_"]
        killed = dict.fromkeys([f"{name}{number}" for name in names for number in range(10, 60)], "killed")
        results = killed | dict.fromkeys(changes, "survived")
        mutmut = tmp_path / "mutmut"
        mutmut.write_text(
            textwrap.dedent(f"""\
                #!{sys.executable}
                import sys
                match sys.argv[1]:
                    case "results":
                        for name, status in {results!r}.items():
                            print(f"    {{name}}: {{status}}")
                    case "show":
                        print("+++ the file\\n" + {changes!r}[sys.argv[2]])
            """),
            encoding="utf-8",
        )
        mutmut.chmod(0o700)
        monkeypatch.setattr(mutants, "PROJECT", tmp_path)
        monkeypatch.setattr(mutants, "SURVIVORS", known)
        monkeypatch.setattr(mutants, "_mutmut", lambda: str(mutmut))
        monkeypatch.setattr(sys, "argv", ["make mutants"])
        return mutants.main(), capfd.readouterr().out

    return run


def test_a_survivor_that_is_known_in_its_file_is_told_with_why(make_mutants):
    status, said = make_mutants((KNOWN,), {"trading.one.x_f__mutmut_1": "+    if x <= 1:"})

    assert status == 0
    assert "trading.one.x_f__mutmut_1 (survived): nothing is 1" in said


def test_a_survivor_that_reads_like_a_known_one_of_another_file_is_not_known(make_mutants):
    changes = {
        "trading.one.x_f__mutmut_1": "+    if x <= 1:",
        "trading.two.x_f__mutmut_1": "+    if x <= 1:",
    }
    status, said = make_mutants((KNOWN,), changes)

    assert status == 1
    assert "trading.two.x_f__mutmut_1 (survived): NOT KNOWN" in said


@pytest.mark.parametrize(
    "entry", [LONG_AGO, KNOWN._replace(path="trading/two.py")], ids=["a mutant gone", "another file"]
)
def test_an_entry_that_no_survivor_meets_fails_and_is_named(make_mutants, entry):
    status, said = make_mutants((KNOWN, entry), {"trading.one.x_f__mutmut_1": "+    if x <= 1:"})

    assert status == 1
    assert f"{entry.path}: no mutant that survived here says {entry.says!r}" in said


def test_every_entry_names_a_file_that_is_mutated():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))

    assert {entry.path for entry in SURVIVORS} <= set(project["tool"]["mutmut"]["only_mutate"])
