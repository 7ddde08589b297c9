"""A reader who follows a page to the letter, in a folder like the project's, through the real command line.

Questions are answered with `y`. `WORD` stands for the word that `trading resume` told last. `make` targets
must exist and are not run: the build runs them. A verb with `&` goes on beside the others until `kill %1`. A
state folder that a page names begins with the quotes imported, since importing them takes longer than all the
rest.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from console.cli import main
from tests.docs.pages import ROOT, SHELLS, Block, Command, commands, name_of

ANSWERS = "y\n" * 5
STATE_DIR = "TRADING_STATE_DIR"


class Spoken(NamedTuple):
    """Hold what a command said and how it ended."""

    code: int
    out: str
    err: str


class Reader:
    """Follow pages in a project folder, which is the working directory of the test."""

    def __init__(self, project: Path, *, quotes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        self.heard = ""
        self._quotes = quotes
        self._patch = monkeypatch
        self._started: list[subprocess.Popen[str]] = []

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if block.deed == "file":
            self._write(block.place, block.body)
        elif block.deed == "append":
            path = self.project / block.place
            self._write(block.place, path.read_text("utf-8") + block.body)
        elif block.deed == "replace":
            self._replace(block)
        elif block.language in SHELLS:
            for command in commands(block):
                self.run(command)

    def run(self, command: Command) -> Spoken:
        """Run one command line, and hold it to the exit code that the page tells."""
        words = shlex.split(command.text)
        where = f"{name_of(command.page)}:{command.line}: {command.text}"
        match words:
            case ["trading", *arguments, "&"]:
                self._start(where, arguments)
            case ["kill", "%1"]:
                self.stop()
            case ["python", script]:
                done = self._python(script)
                assert done.returncode == command.exit_code, f"{where}: {done.stdout}{done.stderr}"
            case ["trading", *arguments]:
                spoken = self.trading(*arguments)
                assert spoken.code == command.exit_code, f"{where}: ended with {spoken}"
                return spoken
            case ["make", *targets]:
                makefile = (ROOT / "Makefile").read_text("utf-8")
                unknown = [one for one in targets if not re.search(rf"^{one}:", makefile, flags=re.MULTILINE)]
                assert targets, where
                assert unknown == [], where
            case [".", ".venv/bin/activate"]:
                assert "VENV := .venv\n" in (ROOT / "Makefile").read_text("utf-8"), where
            case ["export", *assignments]:
                for assignment in assignments:
                    self._export(*assignment.split("=", 1))
            case ["unset", *names]:
                for name in names:
                    self._patch.delenv(name)
            case ["cp", "-r", source, target]:
                shutil.copytree(self.project / source, self.project / target)
            case _:
                pytest.fail(f"{where}: no test knows how to run this")
        return Spoken(0, "", "")

    def trading(self, *arguments: str) -> Spoken:
        """Run a verb in this process, and remember what it said."""
        told = re.findall(r"--confirm (resume-\w+)", self.heard)
        words = [told[-1] if word == "WORD" and told else word for word in arguments]
        self._patch.setattr(sys, "stdin", io.StringIO(ANSWERS))
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            code = main(words)
        self.heard += out.getvalue()
        return Spoken(code, out.getvalue(), err.getvalue())

    def stop(self) -> None:
        """End what was started and goes on; once is enough."""
        for process in self._started:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        self._started.clear()

    def _start(self, where: str, arguments: list[str]) -> None:
        """Start a verb that goes on by itself, and wait until it has said something."""
        process = subprocess.Popen(
            [sys.executable, "-m", "console", *arguments],
            cwd=self.project,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline(), f"{where}: ended with {process.wait(60)}"

    def _python(self, script: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", script]
        return subprocess.run(command, cwd=self.project, capture_output=True, text=True, check=False)

    def _export(self, name: str, value: str) -> None:
        self._patch.setenv(name, value)
        if name == STATE_DIR and not (self.project / value).exists():
            copied(self._quotes, self.project / value)

    def _write(self, place: str, text: str) -> None:
        path = self.project / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        importlib.invalidate_caches()

    def _replace(self, block: Block) -> None:
        """Write a line over the one of the same key in its section."""
        header, line = block.body.splitlines()
        key = line.split(" = ")[0]
        before, _, section = (self.project / block.place).read_text("utf-8").partition(f"{header}\n")
        assert section, f"{name_of(block.page)}:{block.line}: no {header} in {block.place}"
        changed, count = re.subn(rf"^{key} = .*$", line, section, count=1, flags=re.MULTILINE)
        assert count == 1, f"{name_of(block.page)}:{block.line}: no {key} in {header}"
        self._write(block.place, f"{before}{header}\n{changed}")


def copied(source: Path, target: Path) -> Path:
    """Give a copy of a folder: of a desk's thousand files in a third of the time that shutil takes."""
    subprocess.run(["cp", "-R", source, target], check=True)
    return target


def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting of this machine out of the environment."""
    for name in list(os.environ):
        if name.upper().startswith("TRADING_"):
            monkeypatch.delenv(name)
