"""Every `python run.py …` command of the README and docs/ is accepted: it composes, validates and plans."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDER = re.compile(r"\[|\.\.\.|…|<")
"""Marks a line that shows the form of commands rather than one to type."""


def documented() -> list[str]:
    """The commands, each once: whole lines of code blocks (continued lines joined) and code in running text."""
    found: list[str] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for match in re.finditer(r"(?:^|[$`]\s*)(?:\.venv/bin/)?python run\.py([^`\n]*)", text, flags=re.MULTILINE):
            command = match[1].split("#")[0].strip()
            if not PLACEHOLDER.search(command):
                found.append(command)
    return list(dict.fromkeys(found))


def test_documents_name_the_commands_a_user_needs() -> None:
    commands = documented()
    assert {"", "task=plan", "task=report", "--help"} <= set(commands)


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_is_accepted(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(command)
    if not any(argument.startswith("--") for argument in arguments):
        # What it would do is shown; nothing is run, and the user's own store is left alone.
        arguments = [a for a in arguments if not a.startswith("task=")]
        arguments += ["task=plan", f"paths.store={tmp_path}/store", f"paths.runs={tmp_path}/runs"]
    code = run.main(arguments)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert printed.out


@pytest.mark.parametrize("target", ["demo", "test", "lint", "setup", "slow"])
def test_the_makefile_has_the_documented_targets(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
