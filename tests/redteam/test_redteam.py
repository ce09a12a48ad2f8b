"""Hostile functions are contained: their own rows say so, and nothing else changes.

Both lanes, as the user who runs the tests and, where that is root, as an ordinary user too.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attack import GOOD_OUTCOMES, attack
from hostile import HOSTILE

from autoif.execution.confined import purity

NOBODY = 65534
LANES = ("shared", "own")
NEEDS_LANDLOCK = {"read_secret", "read_passwd", "list_root"} | {
    case.name for case in HOSTILE if case.name.startswith(("read_parent", "read_supervisor"))
}
"""Below level 2 files can be read, as the documentation says."""


@cache
def ordinary_interpreter() -> str:
    """A Python of the needed version that an ordinary user can start."""
    for candidate in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")):
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        try:
            if candidate and not subprocess.run([candidate, "-c", check], user=NOBODY, cwd="/").returncode:
                return candidate
        except PermissionError:
            continue
    pytest.skip("an ordinary user can start no Python >= 3.11 here: the interpreter lies in a private folder")


@pytest.fixture(scope="module")
def reports() -> Any:
    """(lane, user) → report, each made once."""
    made: dict[tuple[str, str], dict[str, Any]] = {}

    def report(lane: str, user: str) -> dict[str, Any]:
        if (lane, user) not in made:
            made[lane, user] = attack(lane) if user == "current" else as_ordinary_user(lane)
        return made[lane, user]

    def as_ordinary_user(lane: str) -> dict[str, Any]:
        if os.getuid() != 0:
            pytest.skip("only root can become another user; the current one is an ordinary user already")
        python = ordinary_interpreter()
        here = Path(__file__).parent
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            return in_folder(python, here, Path(folder), lane)

    def in_folder(python: str, here: Path, home: Path, lane: str) -> dict[str, Any]:
        shutil.copytree(here.parents[1] / "autoif" / "execution", home / "autoif" / "execution")
        for file in (here.parents[1] / "autoif").glob("*.py"):
            shutil.copy(file, home / "autoif")
        for name in ("attack", "case", "hostile", "hostile_sly"):
            shutil.copy(here / f"{name}.py", home)
        done = subprocess.run(
            [python, "attack.py", lane],
            cwd=home,
            env={"PYTHONPATH": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        assert result["user"] == NOBODY
        return result

    return report


everywhere = pytest.mark.parametrize(
    ("lane", "user"), [(lane, user) for user in ("current", "ordinary") for lane in LANES]
)


@everywhere
def test_every_hostile_function_comes_to_a_contained_outcome(lane: str, user: str, reports: Any) -> None:
    report = reports(lane, user)
    assert len(report["hostile"]) >= 60
    surprises = {}
    expected = {case.name: case.expected for case in HOSTILE}
    for name, (first, *others) in report["hostile"].items():
        if report["level"] < 2 and name in NEEDS_LANDLOCK:
            continue
        if first not in expected[name] or "true" in others:
            surprises[name] = (first, *others, *report["details"][name])
    assert not surprises, report["isolation"]


@everywhere
def test_neighbours_are_unchanged(lane: str, user: str, reports: Any) -> None:
    assert all(outcomes == GOOD_OUTCOMES for outcomes in reports(lane, user)["neighbours"])


@everywhere
def test_nothing_outside_is_touched(lane: str, user: str, reports: Any) -> None:
    report = reports(lane, user)
    assert report["canary_intact"]
    assert report["canary_mode"]
    assert report["written"] == []
    assert report["packets"] == []
    assert report["processes"] == []


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_the_gate_shares_only_what_it_should(case: Any) -> None:
    try:
        shared = purity.refusal(ast.parse(case.source)) is None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        shared = False
    assert shared == case.shared
