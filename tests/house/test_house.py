"""The house's own rules: what stands where, held by reading the files of this repository.

Not here: which room may import which (`[tool.importlinter]` in pyproject.toml).
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
from dagster._core.run_coordinator import QueuedRunCoordinator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("trading", "trading_assets", "resources", "jobs", "sensors", "console")
OUR_FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")

CRAFT_MAY_IMPORT = {"trading", "numpy", "numba"} | sys.stdlib_module_names
# The craft does no input or output: these parts of the standard library do little else.
CRAFT_NEVER_IMPORTS = {"asyncio", "http", "os", "pathlib", "random", "secrets", "shutil", "socket", "sqlite3"}
CRAFT_NEVER_IMPORTS |= {"subprocess", "tempfile", "threading", "time", "urllib", "uuid"}

# One letter in brackets, so that this file does not find itself.
INDEX_HOST = re.compile(
    r"--(extra-)?index-ur[l]|https?://[^\s\"'<>)]*/simpl[e]\b|pyp[i]\.org|files\.pythonhoste[d]"
)
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+|opt/wheel[s])/")

ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.getenvb")
OTHER_WAYS_OUT = ("httpx", "httpcore", "requests", "urllib.request", "urllib3", "aiohttp", "http.client")
ALLOWED_OUT = {
    "resources/outbound/client.py": {"httpx"},
    # Looks whether our own console answers on this machine.
    "console/serving.py": {"http.client"},
}
"""Who may speak HTTP; Apprise, which the notifier hands a message to, brings its own way (decision 0013)."""

CLOCK = (
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "pandas.Timestamp.now",
    "pandas.Timestamp.utcnow",
    "pandas.Timestamp.today",
    "time.time",
    "time.time_ns",
)


class Read(NamedTuple):
    """Hold what the rules ask of a file, so that it is parsed once however many ask; a tree is not kept."""

    docstring: str | None
    statements: int
    modules: set[str]
    asked: set[str]
    said: dict[str, list[int]]


@functools.cache
def read(path: Path) -> Read:
    """Give what stands in a file: its imports, top-level and in full, and each full name with its lines."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    asked = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    asked |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return Read(ast.get_docstring(tree), len(tree.body), imported_modules(nodes), asked, said_in(nodes))


@functools.cache
def owners() -> dict[str, list[str]]:
    """Give for each importable top-level name the distributions that bring it."""
    return dict(packages_distributions())


def name_of(path: Path) -> str:
    """Give a file's path below the repository, for messages and test ids."""
    return path.relative_to(ROOT).as_posix()


def problems(of: Callable[[Path], object], paths: Iterable[Path] = OUR_FILES) -> dict[str, object]:
    """Give what a rule finds in files, by the name of each in which it finds something.

    A rule asks all files in one test: one for each of hundreds took longer to report than to decide.
    """
    return {name_of(path): found for path in paths if (found := of(path))}


def tracked_files() -> list[Path]:
    """List the files that git tracks, as they stand in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def imported_modules(nodes: list[ast.AST]) -> set[str]:
    """List the top-level modules that a file imports, wherever in it."""
    modules: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").split(".")[0])
    return modules


def full_names(nodes: list[ast.AST]) -> dict[str, str]:
    """Give for each name that a file imports what it stands for: `dt` for `datetime.datetime`."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """Give `a.b.c` for an attribute or a name, as imported, and nothing for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def said_in(nodes: list[ast.AST]) -> dict[str, list[int]]:
    """Give for each full name that code says, under whatever alias, the lines that say it."""
    names = full_names(nodes)
    said: dict[str, list[int]] = {}
    for node in nodes:
        if name := dotted(node, names):
            said.setdefault(name, []).append(node.lineno)
    return said


def lines_naming(path: Path, forbidden: tuple[str, ...]) -> list[int]:
    """Give the lines of a file whose code says one of these names."""
    said = read(path).said
    return sorted(line for name in forbidden for line in said.get(name, ()))


@pytest.mark.parametrize("room", ROOMS)
def test_our_packages_are_ours(room: str) -> None:
    spec = importlib.util.find_spec(room)

    assert spec is not None
    assert spec.origin == str(ROOT / room / "__init__.py")


def test_no_installed_distribution_brings_a_package_named_like_ours() -> None:
    theirs = {room: set(owners().get(room, ())) - {"trading-assets"} for room in ROOMS}

    assert {room: names for room, names in theirs.items() if names} == {}


def test_no_module_is_named_like_one_of_the_standard_library_or_a_dependency() -> None:
    def foreign(path: Path) -> bool:
        module = path.parent.name if path.name == "__init__.py" else path.stem
        return module not in ROOMS and (module in sys.stdlib_module_names or module in owners())

    assert problems(foreign) == {}


def test_the_environment_is_read_in_the_settings_only() -> None:
    found = problems(lambda path: lines_naming(path, ENVIRONMENT))

    assert found.keys() == {"resources/settings.py"}, found


def test_the_clock_is_read_in_one_adapter_only() -> None:
    found = problems(lambda path: lines_naming(path, CLOCK))

    assert found.keys() == {"resources/clocks.py"}, found


def test_one_client_speaks_to_the_outside() -> None:
    def doors(path: Path) -> set[str]:
        asked = read(path).asked
        found = {
            name for name in asked for door in OTHER_WAYS_OUT if name == door or name.startswith(f"{door}.")
        }
        return found - ALLOWED_OUT.get(name_of(path), set())

    assert problems(doors) == {}


def test_a_package_says_what_it_holds_and_holds_no_code_itself() -> None:
    packages = [path for path in OUR_FILES if path.name == "__init__.py"]

    assert packages
    assert problems(lambda path: not read(path).docstring, packages) == {}
    assert problems(lambda path: read(path).statements != 1, packages) == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_with_modules_is_a_package(room: str) -> None:
    folders = {path.parent for path in (ROOT / room).rglob("*.py")}

    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_module_says_what_lives_in_it() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in OUR_FILES} == set(ROOMS)
    assert problems(lambda path: not read(path).docstring) == {}


def test_the_craft_imports_the_standard_library_and_numpy_only_and_touches_nothing_outside() -> None:
    craft = sorted((ROOT / "trading").rglob("*.py"))

    assert craft
    assert problems(lambda path: read(path).modules - CRAFT_MAY_IMPORT, craft) == {}
    assert problems(lambda path: read(path).modules & CRAFT_NEVER_IMPORTS, craft) == {}


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_tracked_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            if INDEX_HOST.search(line) or MACHINE_PATH.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")

    assert found == []


def locked() -> dict[str, list[str]]:
    """Give the versions that the lock holds, by canonical name."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", LOCK, flags=re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def declared() -> list[Requirement]:
    """List what pyproject.toml asks for, to run and to develop, and to build."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    named = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], *build]
    return [Requirement(requirement) for requirement in named]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_holds_what_the_project_asks_for(requirement: Requirement) -> None:
    versions = locked().get(canonicalize_name(requirement.name), [])

    assert versions
    assert [version for version in versions if not requirement.specifier.contains(version)] == []


def test_the_lock_names_packages_and_hashes_and_nothing_else() -> None:
    line = re.compile(r"[a-z0-9][\w.-]*==[\w.+!]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    odd = [text for text in LOCK.splitlines() if not line.fullmatch(text)]

    assert odd == []
    assert len(locked()) > len(declared())


def test_every_imported_package_is_declared() -> None:
    wanted = {canonicalize_name(Requirement(name).name) for name in PROJECT["dependencies"]}
    undeclared = {}
    for path in OUR_FILES:
        for module in read(path).modules - sys.stdlib_module_names - set(ROOMS):
            if not {canonicalize_name(owner) for owner in owners().get(module, ())} & wanted:
                undeclared.setdefault(module, name_of(path))

    assert undeclared == {}


def test_the_tests_of_the_mutants_find_every_room_they_import() -> None:
    mutmut = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    conftests = ["tests/conftest.py", "tests/trading/conftest.py"]
    asked, begun = (
        set(),
        [ROOT / name for name in (*conftests, *mutmut["pytest_add_cli_args_test_selection"])],
    )
    while begun:
        for module in read(begun.pop()).asked - asked:
            asked.add(module)
            begun += [path for path in [ROOT / (module.replace(".", "/") + ".py")] if path.is_file()]
    ours = {module.split(".")[0] for module in asked if (ROOT / module.split(".")[0]).is_dir()}

    assert ours <= {"tests", *mutmut["source_paths"], *mutmut["also_copy"]}


def test_dagster_starts_as_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        limits = {limit["key"]: limit["limit"] for limit in queue.tag_concurrency_limits}

        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        assert limits == {"dagster/backfill": 1, "trading/book": 1}
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert not instance.run_retries_enabled
        assert not instance.get_settings("run_retries")["retry_on_asset_or_op_failure"]
        assert instance.run_monitoring_enabled


def test_a_test_that_tries_to_leave_this_machine_fails() -> None:
    with socket.socket() as caller, pytest.raises(RuntimeError, match=r"192\.0\.2\.1"):
        caller.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match=r"example\.invalid"):
        socket.getaddrinfo("example.invalid", 80)


def test_a_test_reaches_a_server_on_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        host, _ = server.getsockname()

    assert host == "127.0.0.1"


SKIPPING = """
import pytest

@pytest.mark.skip(reason="no browser here")
def test_marked(): ...

def test_called():
    pytest.skip("no server here")

def test_passes(): ...
"""


@pytest.mark.parametrize(
    ("no_skip", "outcome"), [("0", "1 passed, 2 skipped"), ("1", "1 failed, 1 passed, 1 error")]
)
def test_a_skip_is_listed_with_its_reason_and_fails_in_the_build(
    tmp_path: Path, no_skip: str, outcome: str
) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests/conftest.py").read_bytes())
    (tmp_path / "test_skipping.py").write_text(SKIPPING, "utf-8")
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    run = subprocess.run(
        [*pytest_here, f"--rootdir={tmp_path}", str(tmp_path)],
        env=os.environ | {"TESTS_NO_SKIP": no_skip},
        capture_output=True,
        check=False,
        text=True,
    )

    assert outcome in run.stdout
    assert "no browser here" in run.stdout
    assert "no server here" in run.stdout
    assert run.returncode == int(no_skip)
