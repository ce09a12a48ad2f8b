"""The programs in the engine's documentation do what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST, CHECKER = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "execution.md").read_text(encoding="utf-8"), re.DOTALL
)


def printed(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_first_example_prints_what_its_comments_say() -> None:
    isolation, outcomes, program = printed(FIRST)
    assert isolation.startswith("L")
    assert [outcomes, program] == ["['true', 'false']", "true"]


def test_the_checker_reads_a_file_of_functions_and_tells_what_each_came_to(tmp_path: Path) -> None:
    rows = [
        {"function": "def evaluate(response):\n    return len(response) > 3\n", "inputs": ["abcd", "a"]},
        {"function": "def evaluate(response):\n    return 1 / 0\n", "inputs": ["abcd"]},
    ]
    file = tmp_path / "functions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [
        line.rstrip() for line in printed(CHECKER.replace("minimum_isolation=2", "minimum_isolation=0"), str(file))
    ]
    assert lines == ["0 1 {'false': 1}", "1 0 {'error': 1} ZeroDivisionError: division by zero"]
