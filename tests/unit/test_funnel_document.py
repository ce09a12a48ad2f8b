"""The page on reading the funnel names stages and reasons as the code does."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_name_on_the_page_is_in_the_code() -> None:
    page = (ROOT / "docs/funnel.md").read_text(encoding="utf-8")
    tables = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    names = set(re.findall(r"`([a-z_]+)`", tables))
    assert len(names) > 20
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "autoif").rglob("*.py"))
    # Some reasons are put together: nli_<label>, too_few_<parts>.
    composed = {"nli_contradiction": 'f"nli_{', "too_few_functions": "too_few_"}
    assert {name for name in names if composed.get(name, f'"{name}"') not in code} == set()
